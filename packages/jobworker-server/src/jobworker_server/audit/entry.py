"""What is known of one call, and whether and how it is told in the audit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from google.protobuf.message import Message

from jobworker_lib import StartError
from jobworker_server.audit import line
from jobworker_server.audit.line import Line
from jobworker_server.error_status import outcome_of
from jobworker_server.errors import InvalidRequestError, QuotaError
from jobworker_server.identity import Identity
from jobworker_server.policy import Operation

if TYPE_CHECKING:
    from jobworker_server.audit.audit import Audit

_CHANGES = frozenset(
    {Operation.START, Operation.STOP, Operation.SIGNAL, Operation.DELETE, Operation.UPDATE, Operation.INPUT}
)
_REFUSALS = frozenset({"UNAUTHENTICATED", "PERMISSION_DENIED", "INVALID_ARGUMENT", "NOT_FOUND", "RESOURCE_EXHAUSTED"})

_REFUSED_BY_ROLE = "NOT_ALLOWED"


class Entry:
    """A call: the gate and the RPC fill in what they learn of it."""

    def __init__(
        self, audit: Audit, operation: Operation, peer: str, asked: Callable[[], Message] | None = None
    ) -> None:
        """``asked`` reads the request. Raises InvalidRequestError."""
        self._audit = audit
        self._asked = asked
        self._is_told = False
        self._omitted = 0
        self.operation = operation
        self._peer = unquote(peer)
        self.certificate: x509.Certificate | None = None
        self.caller: Identity | None = None
        self.is_admitted = False
        self.job: str | None = None
        self.request_id: str | None = None
        self.argv: Iterable[str] | None = None
        self.work: asyncio.Task[Any] | None = None
        """What changes something, and runs to its end although the call may have ended before it."""

    async def begun(self) -> None:
        """Tell of something that goes on for long, now that it may; its end is told where it is a refusal."""
        if not self._audit.is_on:
            return
        self._is_told = True
        await self._audit.write(self._line("OK", None))

    async def ended(self, error: Exception | None) -> None:
        """Tell of the call, where there is anything to tell."""
        if not self._audit.is_on:
            return
        if error and self.work and self._tell_later(self.work):
            return
        if isinstance(error, QuotaError):
            if error.omitted is None:
                return
            self._omitted = error.omitted
        found = self._last_line(error)
        self._is_told = True
        if found:
            await self._audit.write(found)

    def abandoned(self) -> None:
        """The same where the client is gone, or the server is about to end."""
        if not self._audit.is_on or self._is_told:
            return
        if self.work:
            if not self._tell_later(self.work):
                self._tell_end(self.work)
        elif self.operation in _CHANGES:
            self._audit.put(self._line("CANCELLED", None))

    def _tell_later(self, work: asyncio.Task[Any]) -> bool:
        """Tell of what was begun, when it has ended; not where it failed with what the call has failed with."""
        if work.done() and not work.cancelled() and work.exception():
            return False
        work.add_done_callback(self._tell_end)
        return True

    def _tell_end(self, work: asyncio.Task[Any]) -> None:
        if work.cancelled():
            self._audit.put(self._line("CANCELLED", None))
            return
        error = work.exception()
        found = self._last_line(error if isinstance(error, Exception) else None)
        if found:
            self._audit.put(found)

    def _last_line(self, error: Exception | None) -> Line | None:
        outcome, reason = outcome_of(error) if error else ("OK", None)
        if isinstance(error, StartError):
            self.job = error.job_id
        if reason == _REFUSED_BY_ROLE and not self.is_admitted and self._asked:
            self._learn(self._asked)
        is_change = self.operation in _CHANGES and not self._is_told
        return self._line(outcome, reason) if is_change or outcome in _REFUSALS else None

    def _learn(self, asked: Callable[[], Message]) -> None:
        """Learn what was asked for: who is refused by the role is so before the request is read."""
        with suppress(InvalidRequestError):
            request = asked()
            self.job = getattr(request, "job_id", None) or None
            self.request_id = getattr(request, "request_id", None) or None
            self.argv = getattr(request, "argv", None)

    def _line(self, outcome: str, reason: str | None) -> Line:
        refused = outcome in _REFUSALS or not self.is_admitted
        caller, certificate = self.caller, self.certificate
        fields: dict[str, str | int | None] = {
            "time": datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "name": caller.name if caller else None,
            "fingerprint": _fingerprint(certificate) if certificate else None,
            "serial": f"{certificate.serial_number:X}" if certificate else None,
            "owner": caller.owner if caller else None,
            "role": caller.role if caller else None,
            "roleSource": caller.role_source if caller else None,
            "peer": self._peer,
            "operation": self.operation.value,
            "job": self.job,
            "decision": "refused" if refused else "allowed",
            "outcome": outcome,
            "reason": reason,
            "requestId": self.request_id,
        }
        if self._omitted:
            fields["omitted"] = self._omitted
        return line.made(fields, self.argv if self._audit.tells_argv else None, refused=refused)


@lru_cache(1024)
def _fingerprint(certificate: x509.Certificate) -> str:
    return certificate.fingerprint(hashes.SHA256()).hex()
