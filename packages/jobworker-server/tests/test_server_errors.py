"""How each error is answered."""

from __future__ import annotations

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo  # type: ignore[import-untyped]  # googleapis-common-protos has no types
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # googleapis-common-protos has no types

from jobworker_lib import (
    ArgumentsTooLongError,
    CommandNotExecutableError,
    CommandNotFoundError,
    EngineError,
    InvalidArgumentError,
    IsolationError,
    JobNotFoundError,
    JobNotRunningError,
    JobRunningError,
    LimitNotEnforceableError,
    StartError,
    StateDirectoryError,
    WorkingDirectoryError,
)
from jobworker_server import errors
from jobworker_server.error_status import internal_status, status_of

Code = grpc.StatusCode


def unpacked(status: grpc.Status) -> tuple[ErrorInfo, BadRequest]:
    info, request = ErrorInfo(), BadRequest()
    for detail in Status.FromString(dict(status.trailing_metadata)["grpc-status-details-bin"]).details:
        assert detail.Unpack(info) or detail.Unpack(request)
    return info, request


@pytest.mark.parametrize(
    ("error", "code", "reason", "metadata"),
    [
        (JobNotFoundError("j"), Code.NOT_FOUND, "JOB_NOT_FOUND", {"job_id": "j"}),
        (JobNotRunningError("j"), Code.FAILED_PRECONDITION, "JOB_NOT_RUNNING", {"job_id": "j"}),
        (JobRunningError("j"), Code.FAILED_PRECONDITION, "JOB_RUNNING", {"job_id": "j"}),
        (LimitNotEnforceableError("cpus", "x"), Code.FAILED_PRECONDITION, "LIMIT_NOT_ENFORCEABLE", {"limit": "cpus"}),
        (IsolationError("pid", "x"), Code.FAILED_PRECONDITION, "ISOLATION_NOT_AVAILABLE", {"part": "pid"}),
        (CommandNotFoundError("j", "x"), Code.FAILED_PRECONDITION, "COMMAND_NOT_FOUND", {"job_id": "j"}),
        (CommandNotExecutableError("j", "x"), Code.FAILED_PRECONDITION, "COMMAND_NOT_EXECUTABLE", {"job_id": "j"}),
        (WorkingDirectoryError("j", "x"), Code.FAILED_PRECONDITION, "BAD_WORKING_DIRECTORY", {"job_id": "j"}),
        (ArgumentsTooLongError("j", "x"), Code.INVALID_ARGUMENT, "ARGUMENTS_TOO_LONG", {"job_id": "j"}),
        (StartError("j", "x"), Code.FAILED_PRECONDITION, "START_FAILED", {"job_id": "j"}),
        (errors.UnauthenticatedError("NO_ROLE", "x"), Code.UNAUTHENTICATED, "NO_ROLE", {}),
        (errors.PermissionDeniedError("NOT_ALLOWED", "x"), Code.PERMISSION_DENIED, "NOT_ALLOWED", {}),
        (errors.ShutdownError(), Code.UNAVAILABLE, "SERVER_STOPPING", {}),
    ],
)
def test_an_error_has_a_code_and_a_reason(error: Exception, code: Code, reason: str, metadata: dict[str, str]) -> None:
    status = status_of(error)
    assert status is not None
    info, request = unpacked(status)
    assert status.code is code
    assert status.details == str(error)
    assert (info.domain, info.reason, dict(info.metadata)) == ("jobworker", reason, metadata)
    assert not request.field_violations


@pytest.mark.parametrize("kind", [InvalidArgumentError, errors.InvalidRequestError])
def test_a_bad_argument_is_told_with_its_field(
    kind: type[InvalidArgumentError | errors.InvalidRequestError],
) -> None:
    status = status_of(kind("argv", "the command is missing"))
    assert status is not None
    info, request = unpacked(status)
    assert status.code is Code.INVALID_ARGUMENT
    assert info.reason == "INVALID_ARGUMENT"
    assert [(violation.field, violation.description) for violation in request.field_violations] == [
        ("argv", "the command is missing")
    ]


@pytest.mark.parametrize("error", [EngineError("x"), StateDirectoryError("x"), OSError("x"), KeyError("x")])
def test_a_fault_of_ours_has_no_answer_of_its_own(error: Exception) -> None:
    assert status_of(error) is None


def test_a_fault_of_ours_is_told_by_its_id_alone() -> None:
    status = internal_status("0123abcd")
    info, _ = unpacked(status)
    assert status.code is Code.INTERNAL
    assert "0123abcd" in status.details
    assert (info.reason, dict(info.metadata)) == ("INTERNAL", {"error_id": "0123abcd"})


@pytest.mark.parametrize("text", ["x" * 100_000, "ä€😀" * 30_000, "\udcff" * 100_000])
def test_an_answer_stays_far_below_what_clients_take(text: str) -> None:
    status = status_of(InvalidArgumentError(text, text))
    assert status is not None
    header = len(status.details.encode()) * 3
    assert header + len(dict(status.trailing_metadata)["grpc-status-details-bin"]) * 4 / 3 < 8 * 1024


def test_an_answer_is_always_text_that_can_be_sent() -> None:
    status = status_of(JobNotFoundError("caf\udce9"))
    assert status is not None
    assert status.details == "there is no job caf?"
