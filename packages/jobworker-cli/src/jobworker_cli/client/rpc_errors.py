"""From gRPC's errors to those of ``errors.py``, by the code and the ErrorInfo and BadRequest details."""

from __future__ import annotations

from typing import cast

import grpc

from jobworker_cli import errors

_BY_REASON: dict[str, type[errors.ClientError]] = {
    "JOB_NOT_RUNNING": errors.JobNotRunningError,
    "CURSOR_EXPIRED": errors.CursorExpiredError,
    "JOB_RUNNING": errors.JobRunningError,
    "QUOTA_EXCEEDED": errors.QuotaExceededError,
    "RATE_LIMITED": errors.TooManyCallsError,
    "TOO_MANY_STREAMS": errors.TooManyCallsError,
    "NO_INPUT": errors.NoInputError,
    "LIMIT_NOT_ENFORCEABLE": errors.LimitNotEnforceableError,
    "ISOLATION_NOT_AVAILABLE": errors.IsolationNotAvailableError,
    "COMMAND_NOT_FOUND": errors.CommandNotFoundError,
    "COMMAND_NOT_EXECUTABLE": errors.StartFailedError,
    "BAD_WORKING_DIRECTORY": errors.StartFailedError,
    "START_FAILED": errors.StartFailedError,
    "START_LOST": errors.StartLostError,
    "ARGUMENTS_TOO_LONG": errors.StartFailedError,
}

_BY_CODE: dict[grpc.StatusCode, type[errors.ClientError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: errors.InvalidRequestError,
    grpc.StatusCode.NOT_FOUND: errors.JobNotFoundError,
    grpc.StatusCode.UNAUTHENTICATED: errors.NotAuthenticatedError,
    grpc.StatusCode.PERMISSION_DENIED: errors.PermissionDeniedError,
    grpc.StatusCode.FAILED_PRECONDITION: errors.RefusedError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: errors.RefusedError,
    grpc.StatusCode.UNAVAILABLE: errors.NoAnswerError,
    grpc.StatusCode.DEADLINE_EXCEEDED: errors.NoAnswerError,
    grpc.StatusCode.CANCELLED: errors.NoAnswerError,
}

_DOCTOR = "`jobworker-server doctor` on the server's host tells what it can do"
_HINTS: dict[type[errors.ClientError], str] = {
    errors.JobNotFoundError: "`jobworker-cli list --all-owners` shows the jobs",
    errors.JobNotRunningError: "`jobworker-cli status ID` tells how it ended",
    errors.JobRunningError: "`jobworker-cli stop ID` stops it",
    errors.QuotaExceededError: "try again when one has ended; `jobworker-cli list` shows yours",
    errors.TooManyCallsError: "try again in a moment; `quotas` in the server's configuration has the bounds",
    errors.NoInputError: "`jobworker-cli attach --no-stdin ID` only watches",
    errors.LimitNotEnforceableError: _DOCTOR,
    errors.IsolationNotAvailableError: _DOCTOR,
    errors.StartLostError: "start it again if it may be executed twice; nothing of this one is left",
    errors.NotAuthenticatedError: "`jobworker-pki show FILE` tells what a certificate says",
    errors.PermissionDeniedError: "another client certificate (--name or --cert) may have the role for it",
}
_HINTS_BY_REASON = {
    "NO_TOKEN": "--token-file FILE, before the command's name, sends one; `jobworker-pki token` makes tokens",
    "BAD_TOKEN": "`jobworker-pki token` makes one for your certificate",
    "TOKEN_EXPIRED": "`jobworker-pki token` makes a new one",
}


def code_of(error: grpc.RpcError) -> grpc.StatusCode:
    """The status code of a call that failed."""
    return _call(error).code()


def from_rpc(error: grpc.RpcError) -> errors.ClientError:
    """The error that stands for ``error``, with the server's message."""
    code = code_of(error)
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return errors.ServerError("the server does not know this call", "is it an older version of jobworker-server?")
    reason, violations = _details(error)
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED and not reason:  # It is gRPC that refuses, by the size.
        return errors.RefusedError("the request is larger than the server takes", "pass large data in a file")
    kind = _BY_REASON.get(reason) or _BY_CODE.get(code, errors.ServerError)
    message = "; ".join(violations) or _call(error).details() or f"the server answered {code.name}"
    return kind(message, _HINTS_BY_REASON.get(reason) or _HINTS.get(kind, ""))


def is_no_answer(error: grpc.RpcError) -> bool:
    """Whether the call may be answered when it is repeated: there is no connection, or the server is just stopping.

    Also where a proxy in between has cut it off: not who called cancels it then.
    """
    return _BY_CODE.get(code_of(error)) is errors.NoAnswerError


def retry_seconds(error: grpc.RpcError) -> float | None:
    """After how long the server says that the call may be made again; None: it does not say that."""
    from jobworker_cli.client import error_details  # not before: calls seldom fail

    return error_details.retry_seconds(error)


def is_transport_failure(error: grpc.RpcError) -> bool:
    """Whether it is gRPC that speaks of a connection, and not the server itself that says it is unavailable."""
    return code_of(error) is grpc.StatusCode.UNAVAILABLE and not _details(error)[0]


def _call(error: grpc.RpcError) -> grpc.Call:
    # The error of a call is that call, which the type stubs don't know.
    return cast("grpc.Call", error)


def _details(error: grpc.RpcError) -> tuple[str, list[str]]:
    """The reason given, and field violations as text; both empty where the server gave none."""
    from jobworker_cli.client import error_details  # not before: calls seldom fail

    return error_details.read(error)
