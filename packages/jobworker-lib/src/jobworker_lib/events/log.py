"""Appends to the event log, from any process.

``events/head`` names the log and its newest segment, and whoever appends holds an exclusive flock(2) on it. A segment
is named by the place in the log where it begins. What is appended is a line; one that was cut off is ended by the next
writer, so that it can't spoil what follows. ``docs/state-directory.md`` describes the format.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from jobworker_lib.host.procfs import boot_id
from jobworker_lib.job.directory import DIRECTORY_MODE, FILE_MODE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobworker_lib.events.event import Event

DIRECTORY = "events"
HEAD = "head"
SEGMENT_BYTES = 16 << 20
"""A segment that has so many takes no more."""
SEGMENTS_KEPT = 4

_HEAD = re.compile(rb"([0-9a-f]{16}) (\S{36}) ([0-9]{20})\n")
_READ_BYTES = 128


class Head(NamedTuple):
    """What ``events/head`` holds; of one length, to be written in place."""

    log_id: str
    boot_id: str
    base: int
    """Where the newest segment begins."""

    def to_bytes(self) -> bytes:
        """What is written."""
        return f"{self.log_id} {self.boot_id} {self.base:020d}\n".encode()


def prepare(events: str) -> None:
    """Make the log where there is none, and begin it anew where it is damaged or from before the last boot.

    It is not synced to the disk, so nobody knows what of it a crash of the host took.
    """
    os.makedirs(events, DIRECTORY_MODE, exist_ok=True)
    boot = boot_id()
    with suppress(FileNotFoundError):
        if _is_of(read_head(events), boot):
            return
    descriptor = os.open(f"{events}/{HEAD}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if not _is_of(_parse(os.pread(descriptor, _READ_BYTES, 0)), boot):  # nobody else was faster
            base = _end_of_all(events)
            _create_segment(events, base)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, Head(os.urandom(8).hex(), boot, base).to_bytes(), 0)
            _drop_segments(events, segments(events)[:-1])
    finally:
        os.close(descriptor)


def append(events: str, event: Event) -> None:
    """Append an event. OSError where that can't be done; nothing of it is in the log then."""
    line = event.to_line()
    with locked(events, fcntl.LOCK_EX) as (descriptor, head):
        segment = os.open(segment_path(events, head.base), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        try:
            size = os.fstat(segment).st_size
            if size >= SEGMENT_BYTES:
                os.close(segment)
                segment, size = _rotate(events, descriptor, head, size)
            if size and os.pread(segment, 1, size - 1) != b"\n":
                line = b"\n" + line
            _write(segment, line, size)
        finally:
            os.close(segment)


@contextmanager
def locked(events: str, operation: int) -> Iterator[tuple[int, Head]]:
    """Hold the log's lock: the descriptor of the head, and what it says. FileNotFoundError where there is no log."""
    descriptor = os.open(f"{events}/{HEAD}", os.O_RDWR | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, operation)
        head = _parse(os.pread(descriptor, _READ_BYTES, 0))
        if head is None:
            raise FileNotFoundError(errno.ENOENT, "the event log is damaged", events)
        yield descriptor, head
    finally:
        os.close(descriptor)


def read_head(events: str) -> Head | None:
    """What the head says now; None where it is damaged. FileNotFoundError where there is none."""
    descriptor = os.open(f"{events}/{HEAD}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return _parse(os.pread(descriptor, _READ_BYTES, 0))
    finally:
        os.close(descriptor)


def segments(events: str) -> list[int]:
    """Where each segment that is kept begins, the oldest first."""
    return sorted(int(name) for name in os.listdir(events) if name.isdigit())


def segment_path(events: str, base: int) -> str:
    """The file of the segment that begins at ``base``."""
    return f"{events}/{base:020d}"


def time_of_segment(first_line: bytes) -> int:
    """From when on the segment with this first line tells everything, in nanoseconds since the epoch; 0: not known."""
    try:
        return int(json.loads(first_line)["time_ns"])
    except (ValueError, KeyError, TypeError):
        return 0


def _is_of(head: Head | None, boot: str) -> bool:
    return head is not None and head.boot_id == boot


def _parse(data: bytes) -> Head | None:
    match = _HEAD.fullmatch(data)
    return Head(match[1].decode(), match[2].decode(), int(match[3])) if match else None


def _rotate(events: str, descriptor: int, head: Head, size: int) -> tuple[int, int]:
    """Begin a new segment and drop the oldest: the descriptor and the size of the new one."""
    base = head.base + size
    _drop_segments(events, [other for other in segments(events) if other > head.base])  # begun by who was killed at it
    written = _create_segment(events, base)
    os.pwrite(descriptor, head._replace(base=base).to_bytes(), 0)
    _drop_segments(events, segments(events)[:-SEGMENTS_KEPT])
    return os.open(segment_path(events, base), os.O_RDWR | os.O_CLOEXEC), written


def _create_segment(events: str, base: int) -> int:
    """Make a segment: the size of its head line, which tells from when on the log is whole."""
    head = json.dumps({"segment": base, "time_ns": time.time_ns()}).encode() + b"\n"
    segment = os.open(segment_path(events, base), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, FILE_MODE)
    try:
        _write(segment, head, 0)
    finally:
        os.close(segment)
    return len(head)


def _write(segment: int, data: bytes, size: int) -> None:
    if os.pwrite(segment, data, size) < len(data):
        os.ftruncate(segment, size)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _end_of_all(events: str) -> int:
    """A place after everything that was ever written here, so that no segment is named as an older one."""
    known = segments(events)
    return known[-1] + os.stat(segment_path(events, known[-1])).st_size if known else 0


def _drop_segments(events: str, bases: list[int]) -> None:
    for base in bases:
        with suppress(FileNotFoundError):
            os.unlink(segment_path(events, base))
