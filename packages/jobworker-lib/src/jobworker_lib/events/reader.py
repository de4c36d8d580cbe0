"""Reads the event log. It never waits: it says what is there, and its caller decides how to wait for more."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from typing import Self

from jobworker_lib.errors import CursorExpiredError
from jobworker_lib.events import log
from jobworker_lib.events.event import Cursor, Event

_READ_BYTES = 64 << 10


def end_of(events: str) -> Cursor:
    """The place after all events that are there now."""
    with log.locked(events, fcntl.LOCK_SH) as (_, head):
        try:
            size = os.stat(log.segment_path(events, head.base)).st_size
        except FileNotFoundError:
            size = 0
        return Cursor(head.log_id, head.base + size)


def beginning_of(events: str) -> tuple[Cursor, int]:
    """The place before all events that are kept, and from when on none is missing, in nanoseconds since the epoch."""
    with log.locked(events, fcntl.LOCK_SH) as (_, head):
        base = next(iter(log.segments(events)), head.base)
        return Cursor(head.log_id, base), _time_of_segment(events, base)


class EventReader:
    """One reader's place in the log; holds a descriptor and no events. Any number may read, in any process."""

    def __init__(self, events: str, cursor: Cursor) -> None:
        """Begin at a place. CursorExpiredError where what follows it is not there any more, or never was."""
        self._events = events
        self._segment = -1
        self._base = 0
        self.cursor = cursor
        self._open()

    def next_batch(self) -> list[Event]:
        """The next events that are there, a few hundred at most; empty: none yet. CursorExpiredError."""
        while True:
            data = self._read() or self._read_after_rotation()
            if not data:
                return []
            if events := self._parse(data):
                return events

    def close(self) -> None:
        """Let go of the file."""
        if self._segment >= 0:
            os.close(self._segment)
            self._segment = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open(self) -> None:
        """Open the segment that holds the place."""
        self.close()
        head = self._head()
        bases = [base for base in log.segments(self._events) if base <= self.cursor.offset]
        if not bases:
            raise CursorExpiredError
        with suppress(FileNotFoundError):  # dropped just now
            self._base = bases[-1]
            self._segment = os.open(log.segment_path(self._events, self._base), os.O_RDONLY | os.O_CLOEXEC)
        if self._segment < 0 or (self._base <= head.base and self.cursor.offset > self._end()):
            self.close()
            raise CursorExpiredError

    def _head(self) -> log.Head:
        try:
            head = log.read_head(self._events)
        except FileNotFoundError:
            head = None
        if head is None or head.log_id != self.cursor.log_id:
            raise CursorExpiredError
        return head

    def _end(self) -> int:
        return self._base + os.fstat(self._segment).st_size

    def _read(self) -> bytes:
        """Whole lines from the place on; what never becomes a line is passed over."""
        data = os.pread(self._segment, _READ_BYTES, self.cursor.offset - self._base)
        if not data and self._end() < self.cursor.offset:  # somebody has cut it off
            raise CursorExpiredError
        end = data.rfind(b"\n") + 1
        return data[:end] if end or len(data) < _READ_BYTES else data

    def _read_after_rotation(self) -> bytes:
        """The same, where the place is at the end of its segment and there is a newer one."""
        while self._head().base > self._base:
            if data := self._read():  # appended before the newer one was begun
                return data
            end = self._end()
            newer = [base for base in log.segments(self._events) if base > self._base]
            if not newer or newer[0] != end:
                raise CursorExpiredError
            self.cursor = self.cursor._replace(offset=end)
            self._open()
            if data := self._read():
                return data
        return b""

    def _parse(self, data: bytes) -> list[Event]:
        events = []
        log_id, offset = self.cursor
        for line in data.splitlines(keepends=True):
            offset += len(line)
            if event := Event.from_line(line, f"{log_id}-{offset}"):
                events.append(event)
        self.cursor = self.cursor._replace(offset=offset)
        return events


def _time_of_segment(events: str, base: int) -> int:
    try:
        with open(log.segment_path(events, base), "rb") as segment:
            return log.time_of_segment(segment.readline())
    except OSError:
        return 0
