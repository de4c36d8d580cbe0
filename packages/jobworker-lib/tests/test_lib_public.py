from __future__ import annotations

import pytest

import jobworker_lib


@pytest.mark.parametrize("name", jobworker_lib.__all__)
def test_public_names_are_there_and_documented(name: str) -> None:
    assert getattr(jobworker_lib, name).__doc__


def test_public_errors_are_all_of_one_tree() -> None:
    errors = [getattr(jobworker_lib, name) for name in jobworker_lib.__all__ if name.endswith("Error")]
    assert len(errors) > 10
    assert all(issubclass(error, jobworker_lib.JobworkerError) for error in errors)
