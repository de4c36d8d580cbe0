"""The layout of captured output on disk.

A log is a row of segments, as a rule one. A segment is two files: ``output.log`` holds the raw bytes of both streams in
order of arrival, ``output.index`` one record of fixed size for each run of bytes: where it begins in the output, when
it was captured, how long it is and of which stream it is. A record is appended after its bytes, so what a record
describes is always there, and a crash can only leave bytes without a record (ignored) or a part of a record (ignored)
at the end. Records are contiguous and ordered by offset.

Segments after the first are named by the offset at which they begin. They are begun, and the oldest removed, only to
keep an output limit that drops the oldest output.
"""

from __future__ import annotations

import os
import re
from struct import Struct
from typing import Literal, NamedTuple, get_args

Stream = Literal["stdout", "stderr"]

STREAMS: tuple[Stream, ...] = get_args(Stream)
"""A stream's number on disk is its place here."""

RECORD = Struct("<QQIB3x")
"""Offset in the output, nanoseconds since the epoch, length in bytes, stream; little endian."""

_FIRST = ("output.log", "output.index")
_INDEX_NAME = re.compile(r"output(?:\.([0-9]{20}))?\.index")


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


def segment_names(base: int) -> tuple[str, str]:
    """The names of log and index of the segment that begins at an offset."""
    return (f"output.{base:020}.log", f"output.{base:020}.index") if base else _FIRST


def segment_base(name: str) -> int | None:
    """Where the segment begins whose index has this name; None for any other file."""
    match = _INDEX_NAME.fullmatch(name)
    return int(match[1] or 0) if match else None


def segment_bases(directory: str | os.PathLike[str]) -> list[int]:
    """Where the segments in a job's directory begin, in order; a segment is there when its index is."""
    try:
        return sorted(base for name in os.listdir(directory) if (base := segment_base(name)) is not None)
    except FileNotFoundError:  # the job was deleted
        return []
