"""A state directory for one life of one job, and what strikes it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from crash import strace
from crash.jobs import Life


@pytest.fixture(autouse=True)
def _strace() -> None:
    if reason := strace.why_not():
        pytest.skip(reason)


@pytest.fixture
def new_life(tmp_path: Path) -> Callable[[], Life]:
    """Makes a place for each trial."""
    numbers = itertools.count(1)

    def make() -> Life:
        path = tmp_path / str(next(numbers))
        path.mkdir()
        return Life(path)

    return make
