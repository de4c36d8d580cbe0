"""Everything that jobworker_cli raises of its own.

::

    ClientError
    ├── ConfigurationError
    │   ├── CredentialsError
    │   └── TlsVersionError
    ├── InvalidRequestError
    ├── AmbiguousIdError
    ├── JobNotFoundError
    ├── NotAuthenticatedError
    ├── PermissionDeniedError
    ├── RefusedError
    │   ├── JobNotRunningError
    │   ├── JobRunningError
    │   ├── QuotaExceededError
    │   ├── TooManyCallsError
    │   ├── NoInputError
    │   ├── InputClosedError
    │   ├── LimitNotEnforceableError
    │   ├── IsolationNotAvailableError
    │   └── StartFailedError
    │       └── CommandNotFoundError
    ├── CursorExpiredError
    ├── NoAnswerError
    │   └── OutputInterruptedError
    └── ServerError
        └── StartLostError

``exit_status.py`` maps them to the exit statuses of the command line.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from jobworker_cli.models import Job


class ClientError(Exception):
    """The root of the errors of this package. ``hint`` says what to do about it, and may be empty."""

    offset: int | None = None
    """Where to go on with the output that it cut; None where there was none."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class ConfigurationError(ClientError):
    """A flag, an environment variable or the configuration file holds something that can't be used."""


class CredentialsError(ConfigurationError):
    """A file can't be used; ``role`` is ``ca``, ``cert``, ``key`` or ``token_file``, and ``path`` the file."""

    def __init__(self, role: str, path: Path, problem: str, hint: str = "") -> None:
        super().__init__(f"the {_FILES[role]} {path} {problem}", hint)
        self.role = role
        self.path = path
        self.problem = problem


class TlsVersionError(ConfigurationError):
    """grpc was imported before this package, so it can't be held to TLS 1.3."""

    def __init__(self) -> None:
        super().__init__(
            "grpc was imported before jobworker_cli, too early to be held to TLS 1.3", "import jobworker_cli first"
        )


class InvalidRequestError(ClientError):
    """The server, or the client before it asked, found something wrong with the request."""


class AmbiguousIdError(ClientError):
    """Several jobs have an id that begins so; ``candidates`` holds them, the newest first."""

    def __init__(self, prefix: str, candidates: Sequence[Job]) -> None:
        super().__init__(f"several jobs have an id that begins with {prefix}", "give more of the id")
        self.prefix = prefix
        self.candidates = tuple(candidates)


class JobNotFoundError(ClientError):
    """There is no such job, or none that the caller may know of."""


class NotAuthenticatedError(ClientError):
    """The server does not accept the client's certificate, or finds no role in it."""


class PermissionDeniedError(ClientError):
    """The server knows the client, and does not allow it what it asked for."""


class RefusedError(ClientError):
    """The request was understood and is allowed, but can't be done as things are."""


class JobNotRunningError(RefusedError):
    """The job has ended, so it can't be stopped or signalled."""


class JobRunningError(RefusedError):
    """The job has not ended, so it can't be removed."""


class QuotaExceededError(RefusedError):
    """As many jobs run, or wait, as the server allows."""


class TooManyCallsError(RefusedError):
    """The client calls more often than the server takes of one, or has too many calls open; it may in a moment."""


class NoInputError(RefusedError):
    """The job was started without a standard input and without a terminal, so it can't be written to."""


class InputClosedError(RefusedError):
    """The job takes no more input: it has closed it, who is attached has, or it has ended."""


class LimitNotEnforceableError(RefusedError):
    """The server's host can't enforce a limit that was asked for."""


class IsolationNotAvailableError(RefusedError):
    """The server's host, or the user that it runs as, can't isolate a job as was asked for."""


class StartFailedError(RefusedError):
    """The command could not be executed: not executable, a bad working directory, too many arguments."""


class CommandNotFoundError(StartFailedError):
    """There is no such command on the server's host."""


class CursorExpiredError(ClientError):
    """The events after a cursor are not kept any more."""


class NoAnswerError(ClientError):
    """The server can't be reached, can't be trusted, or does not answer in time."""


class OutputInterruptedError(NoAnswerError):
    """The connection broke while output was streamed; ``offset`` is where to go on."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


class ServerError(ClientError):
    """A fault of the server, or one that does not know this call."""


_FILES = {"ca": "CA certificate", "cert": "client certificate", "key": "client key", "token_file": "token file"}


class StartLostError(ServerError):
    """The job was lost while it was started; whether its command was executed is not known."""
