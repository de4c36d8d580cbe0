"""The layout of captured output on disk.

``output.log`` holds the raw bytes of both streams in order of arrival. ``output.index`` holds one record of fixed size
for each run of bytes: where it begins in the log, when it was captured, how long it is and of which stream it is. A
record is appended after its bytes, so what a record describes is always there, and a crash can only leave bytes
without a record (ignored) or a part of a record (ignored) at the end. Records are contiguous and ordered by offset.
"""

from __future__ import annotations

import os
from struct import Struct
from typing import Literal, NamedTuple, get_args

Stream = Literal["stdout", "stderr"]

STREAMS: tuple[Stream, ...] = get_args(Stream)
"""A stream's number on disk is its place here."""

RECORD = Struct("<QQIB3x")
"""Offset in the log, nanoseconds since the epoch, length in bytes, stream; little endian."""


class Record(NamedTuple):
    """One run of bytes of one stream."""

    offset: int
    time_ns: int
    length: int
    stream: int

    @property
    def end(self) -> int:
        """The offset after its last byte."""
        return self.offset + self.length


def read_record(index: int, number: int) -> Record:
    """Record ``number`` of the open index; it must be there."""
    return Record._make(RECORD.unpack(os.pread(index, RECORD.size, number * RECORD.size)))


def record_count(index: int) -> int:
    """Whole records in the open index."""
    return os.fstat(index).st_size // RECORD.size


def recorded_bytes(path: str) -> int:
    """Bytes of output that the index at ``path`` describes; 0 where there is none."""
    try:
        index = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return 0
    try:
        count = record_count(index)
        return read_record(index, count - 1).end if count else 0
    finally:
        os.close(index)
