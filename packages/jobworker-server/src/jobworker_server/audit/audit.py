"""The audit of a server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from google.protobuf.message import Message

from jobworker_server.audit.entry import Entry
from jobworker_server.audit.file import AuditFile
from jobworker_server.audit.line import Line
from jobworker_server.audit.settings import AuditSettings
from jobworker_server.audit.syslog import SystemLog
from jobworker_server.audit.writer import Writer
from jobworker_server.policy import Operation


class Audit:
    """Tells of calls that change something, or are refused; without settings it tells nobody.

    Raises:
        AuditError: it can't be written.
    """

    def __init__(self, settings: AuditSettings | None = None) -> None:
        settings = settings or AuditSettings()
        self._writer = _writer(settings)
        self.tells_argv = settings.argv

    @property
    def is_on(self) -> bool:
        """Whether anybody is told."""
        return self._writer is not None

    def entry(self, operation: Operation, peer: str, asked: Callable[[], Message] | None = None) -> Entry:
        """What is to be told of one call; ``asked`` reads its request."""
        return Entry(self, operation, peer, asked)

    async def write(self, line: Line) -> None:
        """Write a line, and wait until that is done, but not for long."""
        if self._writer:
            await self._writer.write(line)

    def put(self, line: Line) -> None:
        """Have a line written."""
        if self._writer:
            self._writer.put(line)

    async def aclose(self) -> None:
        """Write what is left, but not for long."""
        if self._writer:
            await asyncio.to_thread(self._writer.close)


def _writer(settings: AuditSettings) -> Writer | None:
    if settings.file:
        return Writer(AuditFile(settings.file, settings.max_bytes, settings.keep))
    if settings.syslog:
        return Writer(SystemLog(settings.syslog))
    return None
