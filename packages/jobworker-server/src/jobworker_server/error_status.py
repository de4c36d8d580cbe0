"""How an error is answered: the one table from errors to gRPC status codes and ``google.rpc.ErrorInfo`` reasons."""

from __future__ import annotations

import math
from collections.abc import Iterator

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo  # type: ignore[import-untyped]  # googleapis-common-protos has no types
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # googleapis-common-protos has no types
from grpc_status.rpc_status import to_status  # type: ignore[import-untyped]  # grpcio-status has no types

from jobworker_lib import (
    ArgumentsTooLongError,
    CommandNotExecutableError,
    CommandNotFoundError,
    CursorExpiredError,
    InvalidArgumentError,
    IsolationError,
    JobDamagedError,
    JobNotFoundError,
    JobNotRunningError,
    JobRunningError,
    LimitNotEnforceableError,
    NoInputError,
    NoTerminalError,
    QuotaExceededError,
    StartError,
    StartLostError,
    WorkingDirectoryError,
)
from jobworker_server import errors

DOMAIN = "jobworker"

_INVALID_ARGUMENT = grpc.StatusCode.INVALID_ARGUMENT
_FAILED_PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION

_CALL_CODES: dict[type[errors.CallError], grpc.StatusCode] = {
    errors.UnauthenticatedError: grpc.StatusCode.UNAUTHENTICATED,
    errors.PermissionDeniedError: grpc.StatusCode.PERMISSION_DENIED,
    errors.InvalidRequestError: _INVALID_ARGUMENT,
    errors.QuotaError: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.ShutdownError: grpc.StatusCode.UNAVAILABLE,
}

_ENGINE_ERRORS: dict[type[Exception], tuple[grpc.StatusCode, str]] = {
    InvalidArgumentError: (_INVALID_ARGUMENT, "INVALID_ARGUMENT"),
    JobDamagedError: (grpc.StatusCode.DATA_LOSS, "JOB_DAMAGED"),
    JobNotFoundError: (grpc.StatusCode.NOT_FOUND, "JOB_NOT_FOUND"),
    JobNotRunningError: (_FAILED_PRECONDITION, "JOB_NOT_RUNNING"),
    NoInputError: (_FAILED_PRECONDITION, "NO_INPUT"),
    NoTerminalError: (_FAILED_PRECONDITION, "NO_TERMINAL"),
    JobRunningError: (_FAILED_PRECONDITION, "JOB_RUNNING"),
    IsolationError: (_FAILED_PRECONDITION, "ISOLATION_NOT_AVAILABLE"),
    LimitNotEnforceableError: (_FAILED_PRECONDITION, "LIMIT_NOT_ENFORCEABLE"),
    CursorExpiredError: (grpc.StatusCode.OUT_OF_RANGE, "CURSOR_EXPIRED"),
    QuotaExceededError: (grpc.StatusCode.RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED"),
    CommandNotFoundError: (_FAILED_PRECONDITION, "COMMAND_NOT_FOUND"),
    CommandNotExecutableError: (_FAILED_PRECONDITION, "COMMAND_NOT_EXECUTABLE"),
    WorkingDirectoryError: (_FAILED_PRECONDITION, "BAD_WORKING_DIRECTORY"),
    ArgumentsTooLongError: (_INVALID_ARGUMENT, "ARGUMENTS_TOO_LONG"),
    StartLostError: (grpc.StatusCode.ABORTED, "START_LOST"),
    StartError: (_FAILED_PRECONDITION, "START_FAILED"),
}

_OF_ONE_JOB = (
    JobDamagedError,
    JobNotFoundError,
    JobNotRunningError,
    JobRunningError,
    NoInputError,
    NoTerminalError,
    StartError,
)

# A message is sent up to three times: as a percent-encoded header, which can triple it, and in the base64 of the
# details. Clients refuse headers over 8 KiB.
_LONGEST_MESSAGE = 1024


def status_of(error: Exception) -> grpc.Status | None:
    """The status that tells a client of ``error``; None where it is a fault of ours, of which clients learn nothing."""
    if isinstance(error, errors.CallError):
        return _status(_CALL_CODES[type(error)], error.reason, error)
    for kind in type(error).__mro__:
        if kind in _ENGINE_ERRORS:
            return _status(*_ENGINE_ERRORS[kind], error)
    return None


def outcome_of(error: Exception) -> tuple[str, str]:
    """The name of the code and the reason with which an error is answered."""
    if isinstance(error, errors.CallError):
        return _CALL_CODES[type(error)].name, error.reason
    for kind in type(error).__mro__:
        if kind in _ENGINE_ERRORS:
            code, reason = _ENGINE_ERRORS[kind]
            return code.name, reason
    return grpc.StatusCode.INTERNAL.name, "INTERNAL"


def internal_status(error_id: str) -> grpc.Status:
    """The status of a fault of ours; its details are in the log under ``error_id``."""
    fault = errors.CallError("INTERNAL", f"a fault of the server; its log has the details under {error_id}")
    return _status(grpc.StatusCode.INTERNAL, fault.reason, fault, error_id=error_id)


def _status(code: grpc.StatusCode, reason: str, error: Exception, **metadata: str) -> grpc.Status:
    details = [_error_info(reason, error, metadata), *_field_violations(error), *_retry_info(error)]
    number: int = code.value[0]
    status: grpc.Status = to_status(Status(code=number, message=_bounded(str(error)), details=map(_packed, details)))
    return status


def _error_info(reason: str, error: Exception, metadata: dict[str, str]) -> ErrorInfo:
    if isinstance(error, _OF_ONE_JOB):
        metadata["job_id"] = _bounded(error.job_id)
    if isinstance(error, LimitNotEnforceableError):
        metadata["limit"] = error.limit
    if isinstance(error, IsolationError):
        metadata["part"] = error.part
    return ErrorInfo(reason=reason, domain=DOMAIN, metadata=metadata)


def _field_violations(error: Exception) -> Iterator[BadRequest]:
    if isinstance(error, InvalidArgumentError | errors.InvalidRequestError):
        violation = BadRequest.FieldViolation(field=_bounded(error.field), description=_bounded(error.problem))
        yield BadRequest(field_violations=[violation])


def _retry_info(error: Exception) -> Iterator[RetryInfo]:
    if isinstance(error, errors.QuotaError):
        info = RetryInfo()
        info.retry_delay.FromMilliseconds(math.ceil(error.retry_seconds * 1000))
        yield info


def _packed(detail: Message) -> Any:
    packed = Any()
    packed.Pack(detail)
    return packed


def _bounded(text: str) -> str:
    data = text.encode("utf-8", "replace")
    if len(data) > _LONGEST_MESSAGE:
        data = data[: _LONGEST_MESSAGE - 3] + b"..."
    return data.decode("utf-8", "ignore")
