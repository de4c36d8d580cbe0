"""Writes lines from a thread of its own, so that a disk that hangs holds up nobody but who waits for a line."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from contextlib import suppress
from typing import Protocol

from jobworker_server.audit.line import Line
from jobworker_server.errors import AuditError

_MOST_WAITING = 1000
"""Lines, of at most 8 KiB."""
_PATIENCE_SECONDS = 1.0
"""How long a call waits for its line to be written."""
_LONGEST_END_SECONDS = 2.0

_log = logging.getLogger(__name__)


class Sink(Protocol):
    """Where lines go."""

    def write(self, line: Line) -> None:
        """Write a line. Raises OSError or AuditError where it was not written."""

    def close(self) -> None:
        """Let go of it."""


class Writer:
    """Hands lines on to a sink, in their order. What can't be written is told in the log, the line included."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._waiting: deque[tuple[Line, asyncio.Future[None] | None]] = deque()
        self._changed = threading.Condition()
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="jobworker-audit", daemon=True)
        self._thread.start()

    async def write(self, line: Line) -> None:
        """Write a line, and wait until that is done, but not for long."""
        loop = asyncio.get_running_loop()
        done = loop.create_future()
        self.put(line, done)
        impatience = loop.call_later(_PATIENCE_SECONDS, _set, done)
        try:
            await done
        finally:
            impatience.cancel()

    def put(self, line: Line, done: asyncio.Future[None] | None = None) -> None:
        """Have a line written; ``done`` is told when it is, or can't be."""
        with self._changed:
            if len(self._waiting) < _MOST_WAITING and not self._is_closed:
                self._waiting.append((line, done))
                self._changed.notify()
                return
        _tell("it waits for too many others", line)
        if done:
            done.set_result(None)

    def close(self) -> None:
        """Write what is left, but not for long, and end. Idempotent."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join(_LONGEST_END_SECONDS)
        with self._changed:
            left = list(self._waiting)
            self._waiting.clear()
        for line, _ in left:
            _tell("the server ends", line)

    def _run(self) -> None:
        while found := self._next():
            line, done = found
            self._write(line)
            if done:
                with suppress(RuntimeError):  # the loop is closed: nobody waits
                    done.get_loop().call_soon_threadsafe(_set, done)
        self._sink.close()

    def _next(self) -> tuple[Line, asyncio.Future[None] | None] | None:
        """The next that waits; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._is_closed)
            return self._waiting.popleft() if self._waiting else None

    def _write(self, line: Line) -> None:
        try:
            self._sink.write(line)
        except OSError as error:
            _tell(error.strerror or str(error), line)
        except AuditError as error:
            _tell(str(error), line)


def _tell(problem: str, line: Line) -> None:
    _log.error("a line of the audit was not written: %s: %s", problem, line.data.decode().rstrip("\n"))


def _set(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)
