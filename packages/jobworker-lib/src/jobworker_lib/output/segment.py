"""One open segment of a log, for reading."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from jobworker_lib.output.format import RECORD, Record, segment_bases, segment_names

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobworker_lib.job.directory import JobDirectory


class Segment:
    """A segment's files. They can be read until closed, also when the segment is dropped meanwhile."""

    def __init__(self, directory: JobDirectory, base: int) -> None:
        """Open the segment that begins at ``base``. FileNotFoundError where it is not there (any more)."""
        log, index = (directory.file(name) for name in segment_names(base))
        self.base = base
        self._index = os.open(index, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._log = os.open(log, os.O_RDONLY | os.O_CLOEXEC)
        except BaseException:
            os.close(self._index)
            raise

    def close(self) -> None:
        """Let go of the files."""
        os.close(self._log)
        os.close(self._index)

    def count(self) -> int:
        """Whole records."""
        return os.fstat(self._index).st_size // RECORD.size

    def records(self, first: int, most: int) -> list[Record]:
        """Records from number ``first`` on, as far as they are there."""
        raw = os.pread(self._index, most * RECORD.size, first * RECORD.size)
        raw = raw[: len(raw) // RECORD.size * RECORD.size]
        return [Record._make(fields) for fields in RECORD.iter_unpack(raw)]

    def end(self) -> int:
        """The offset after the last byte that is recorded."""
        count = self.count()
        return self.records(count - 1, 1)[0].end if count else self.base

    def at_offset(self, offset: int) -> int:
        """The number of the record that holds the offset, or that the next record will have."""
        return self._bisect(lambda record: record.end <= offset)

    def at_time(self, time_ns: int) -> int:
        """The number of the first record that was captured then or later, or that the next record will have."""
        return self._bisect(lambda record: record.time_ns < time_ns)

    def read(self, offset: int, length: int) -> bytes:
        """Recorded bytes, at least one; fewer than asked for where the kernel gives fewer at once."""
        data = os.pread(self._log, length, offset - self.base)
        if not data:
            raise OSError(f"{segment_names(self.base)[0]} is shorter than its index says")
        return data

    def _bisect(self, is_before: Callable[[Record], bool]) -> int:
        low, high = 0, self.count()
        while low < high:
            middle = (low + high) // 2
            if is_before(self.records(middle, 1)[0]):
                low = middle + 1
            else:
                high = middle
        return low


def open_segment(directory: JobDirectory, offset: int) -> Segment | None:
    """The segment that holds an offset, or else the first one after it; None where there is none at all."""
    missing = None
    while True:
        bases = segment_bases(directory.path)
        if not bases:
            return None
        base = max((base for base in bases if base <= offset), default=bases[0])
        try:
            return Segment(directory, base)
        except FileNotFoundError:  # dropped since it was listed, or the job was deleted
            if base == missing and base in segment_bases(directory.path):
                raise  # it is listed again and again: its log is missing
            missing = base


def recorded_bytes(directory: JobDirectory, *, in_segments: bool = True) -> int:
    """Bytes of output that were captured, those that were dropped since included.

    It is quicker where there can't be more than one segment.
    """
    while bases := segment_bases(directory.path) if in_segments else [0]:
        with suppress(FileNotFoundError):  # dropped since it was listed; or nothing was captured yet
            return _recorded_end(directory, bases[-1])
        if not in_segments:
            break
    return 0


def _recorded_end(directory: JobDirectory, base: int) -> int:
    index = os.open(directory.file(segment_names(base)[1]), os.O_RDONLY | os.O_CLOEXEC)
    try:
        count = os.fstat(index).st_size // RECORD.size
        last = os.pread(index, RECORD.size, (count - 1) * RECORD.size) if count else b""
    finally:
        os.close(index)
    return Record._make(RECORD.unpack(last)).end if last else base
