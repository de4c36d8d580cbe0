"""The server's log: one line an event, on standard error, and never waited for.

Where that is the journal of systemd, which knows the time itself, each line begins with its priority (sd-daemon(3)).

Who reads standard error may be slow, or stop reading, and a server that waited for them would stop as well. So a thread
writes, what waits for it is bounded, and what finds no room is dropped, and its number told.
"""

from __future__ import annotations

import logging
import os
import select
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_FORMAT = "%(asctime)s %(levelname)s %(message)s"
_JOURNAL_FORMAT = "%(levelname)s %(message)s"
_PRIORITIES = {logging.CRITICAL: 2, logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6, logging.DEBUG: 7}
"""As syslog(3) has them."""
_MOST_WAITING_BYTES = 1 << 20
_LONGEST_END_SECONDS = 2.0
"""How long the end of the process is put off for lines that are not written yet."""


class OneLineFormatter(logging.Formatter):
    """Keeps each event on one line, a traceback included, so that nothing a client sends can forge another."""

    def format(self, record: logging.LogRecord) -> str:
        """The event as one line of printable characters."""
        return "".join(map(_escaped, super().format(record)))


class JournalFormatter(OneLineFormatter):
    """Says how urgent each is, so that ``journalctl --priority`` finds it."""

    def format(self, record: logging.LogRecord) -> str:
        """The event as one line, with its priority before it."""
        return f"<{_PRIORITIES.get(record.levelno, 6)}>{super().format(record)}"


class UnhurriedHandler(logging.Handler):
    """Writes to a descriptor from a thread of its own, so that no caller ever waits for who reads there."""

    def __init__(self, descriptor: int, most_waiting_bytes: int = _MOST_WAITING_BYTES) -> None:
        """Begin. At most ``most_waiting_bytes`` wait to be written, in whole lines."""
        super().__init__()
        self._descriptor = descriptor
        self._most_waiting_bytes = most_waiting_bytes
        self._lines: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._dropped = 0
        self._changed = threading.Condition()
        self._is_closed = False
        threading.Thread(target=self._write_lines, name="jobworker-log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Leave a line to the thread; drop it where there is no room for it."""
        try:
            line = self._as_line(record)
        except Exception:  # noqa: BLE001  as every handler does: who logs is not to be disturbed
            self.handleError(record)
            return
        with self._changed:
            if self._waiting_bytes + len(line) > self._most_waiting_bytes:
                self._dropped += 1
                return
            if self._dropped:
                self._append(self._how_many_were_dropped())
            self._append(line)

    def close(self) -> None:
        """Wait, but not for long, until all is written. Idempotent."""
        with self._changed:
            if not self._is_closed:
                self._is_closed = True
                self._changed.notify_all()
                self._changed.wait_for(lambda: not (self._lines or self._dropped), _LONGEST_END_SECONDS)
        super().close()

    def _append(self, line: bytes) -> None:
        self._lines.append(line)
        self._waiting_bytes += len(line)
        self._changed.notify_all()

    def _how_many_were_dropped(self) -> bytes:
        count, self._dropped = self._dropped, 0
        message = "%d lines were dropped here, because nobody read what stood before them"
        record = logging.LogRecord(__name__, logging.WARNING, __file__, 0, message, (count,), None)
        return self._as_line(record)

    def _as_line(self, record: logging.LogRecord) -> bytes:
        return (self.format(record) + "\n").encode(errors="backslashreplace")

    def _write_lines(self) -> None:
        while (line := self._first_line()) is not None:
            self._write(line)
            with self._changed:
                self._lines.popleft()
                self._waiting_bytes -= len(line)
                self._changed.notify_all()

    def _first_line(self) -> bytes | None:
        """Wait for a line; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._lines or self._dropped or self._is_closed)
            if not self._lines and self._dropped:
                self._append(self._how_many_were_dropped())
            return self._lines[0] if self._lines else None

    def _write(self, data: bytes) -> None:
        with suppress(OSError):  # nobody can read any more
            while data:
                try:
                    data = data[os.write(self._descriptor, data) :]
                except BlockingIOError:  # others who have the file made it so
                    select.select((), (self._descriptor,), ())


def is_journal(descriptor: int) -> bool:
    """Whether systemd has connected it to the journal, and says so in the environment."""
    try:
        found = os.fstat(descriptor)
    except OSError:
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


def complain(message: str) -> None:
    """Write an error to standard error before there is a log, or after it."""
    print(f"<{_PRIORITIES[logging.ERROR]}>{message}" if is_journal(2) else message, file=sys.stderr)


@contextmanager
def to_standard_error() -> Iterator[None]:
    """Send the log of this process to standard error; at the end of the block it is written, if anybody reads it."""
    handler = UnhurriedHandler(sys.stderr.fileno())
    handler.setFormatter(JournalFormatter(_JOURNAL_FORMAT) if is_journal(2) else OneLineFormatter(_FORMAT))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    try:
        yield
    finally:
        handler.close()


def _escaped(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode()
