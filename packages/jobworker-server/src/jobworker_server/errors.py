"""Everything that jobworker_server raises of its own.

::

    ServerError                     the server can't start, or can't go on
    ├── ConfigError
    ├── CertificateError
    ├── AuditError
    ├── TlsVersionError
    └── ListenError
    CallError                       a call is refused
    ├── UnauthenticatedError
    ├── PermissionDeniedError
    ├── InvalidRequestError
    ├── QuotaError
    └── ShutdownError

``error_status.py`` tells how a ``CallError``, or an error of the engine, is answered.
"""

from __future__ import annotations


class ServerError(Exception):
    """The root of what keeps a server from starting."""


class ConfigError(ServerError):
    """A flag, an environment variable or the configuration file holds something that can't be used."""


class CertificateError(ServerError):
    """A certificate or key can't be used."""


class AuditError(ServerError):
    """The audit can't be written."""


class TlsVersionError(ServerError):
    """grpc was imported before this package, so it can't be held to TLS 1.3."""

    def __init__(self) -> None:
        super().__init__(
            "grpc was imported before jobworker_server, too early to be held to TLS 1.3; import jobworker_server first"
        )


class ListenError(ServerError):
    """The address can't be listened on."""


class CallError(Exception):
    """The root of what refuses a call. ``reason`` is a stable name for programs, the message is for people."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class UnauthenticatedError(CallError):
    """The caller has no usable identity."""


class PermissionDeniedError(CallError):
    """The caller is known, and not allowed to do this."""


class InvalidRequestError(CallError):
    """``field`` of the request has a value that can't be used, because of ``problem``."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__("INVALID_ARGUMENT", f"{field}: {problem}")
        self.field = field
        self.problem = problem


class QuotaError(CallError):
    """The caller asks for more than one client may; in ``retry_seconds`` it may be answered.

    ``omitted`` is how many like it were not told of in the audit since one was; None: this one is not either.
    """

    def __init__(self, reason: str, message: str, retry_seconds: float, *, omitted: int | None = 0) -> None:
        super().__init__(reason, message)
        self.retry_seconds = retry_seconds
        self.omitted = omitted


class ShutdownError(CallError):
    """The server is about to stop; another call may be answered by the next one."""

    def __init__(self) -> None:
        super().__init__("SERVER_STOPPING", "the server is stopping; jobs run on, try again when it is back")
