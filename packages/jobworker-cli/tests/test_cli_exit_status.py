"""One exit status for each kind of error, and a shell's for the end of a job."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cli_samples import JOB
from jobworker_cli import errors, exit_status
from jobworker_cli.models import JobState


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.ServerError("x"), 1),
        (errors.RefusedError("x"), 1),
        (errors.CommandNotFoundError("x"), 1),
        (errors.ConfigurationError("x"), 2),
        (errors.CredentialsError("ca", Path("x"), "y"), 2),
        (errors.InvalidRequestError("x"), 2),
        (errors.AmbiguousIdError("x", ()), 2),
        (errors.JobNotFoundError("x"), 3),
        (errors.NotAuthenticatedError("x"), 4),
        (errors.PermissionDeniedError("x"), 4),
        (errors.NoAnswerError("x"), 5),
        (errors.OutputInterruptedError("x", 1), 5),
    ],
)
def test_of_error(error: errors.ClientError, status: int) -> None:
    assert exit_status.of_error(error) == status


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.CommandNotFoundError("x"), 127),
        (errors.StartFailedError("x"), 126),
        (errors.RefusedError("x"), 1),
        (errors.StartLostError("x"), 125),
        (errors.NoAnswerError("x"), 5),
    ],
)
def test_of_failed_start(error: errors.ClientError, status: int) -> None:
    assert exit_status.of_failed_start(error) == status


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"state": JobState.EXITED, "exit_code": 3}, 3),
        ({"state": JobState.STOPPED, "exit_code": 0}, 0),
        ({"state": JobState.STOPPED, "signal": 15}, 143),
        ({"state": JobState.STOPPED, "started_at": None}, 143),
        ({"state": JobState.FAILED, "error": "the start deadline has passed: it was still queued"}, 125),
        ({"state": JobState.FAILED, "error": "command not found: x"}, 127),
        ({"state": JobState.FAILED, "error": "x is not executable"}, 126),
        ({"state": JobState.LOST}, 125),
    ],
)
def test_of_job(changes: dict[str, Any], status: int) -> None:
    assert exit_status.of_job(replace(JOB, **changes)) == status
