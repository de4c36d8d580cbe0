"""Where in the output a reader begins that was asked for a time or for the last lines.

Neither takes longer for a longer log: a time is found by bisection, lines are counted backwards from the end.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from jobworker_lib.output.format import segment_bases
from jobworker_lib.output.segment import Segment

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from jobworker_lib.job.directory import JobDirectory

_BLOCK_RECORDS = 64
_MOST_RECORDS = 4096
_BLOCK_BYTES = 64 << 10
_BYTES_AT_ONCE = 4 << 20


def offset_since(directory: JobDirectory, time_ns: int) -> int:
    """Where the output begins that was captured then or later.

    0 where all that is kept was: so may have been what was dropped before it.
    """
    for segment in _newest_first(directory):
        number = segment.at_time(time_ns)
        if number:
            return segment.records(number - 1, 1)[0].end
    return 0


def offset_of_tail(directory: JobDirectory, lines: int, stream: int | None, end: int) -> Generator[None, None, int]:
    """Where the last ``lines`` of a stream before ``end`` begin; 0 where there are no more than are kept.

    It pauses now and then, for whoever asks for many lines may not hold up others.
    """
    if lines == 0:
        return end
    wanted = lines
    at_end = True
    looked_at = 0
    for start, block in _blocks_backwards(directory, stream, end):
        looked_at += len(block) or _BLOCK_BYTES
        if looked_at >= _BYTES_AT_ONCE:
            looked_at = 0
            yield
        if not block:
            continue
        wanted += at_end and block.endswith(b"\n")  # the newline at the very end ends the last line
        at_end = False
        found = block.count(b"\n")
        if found >= wanted:
            return start + _nth_newline_from_end(block, wanted) + 1
        wanted -= found
    return 0


def _nth_newline_from_end(block: bytes, number: int) -> int:
    position = len(block)
    for _ in range(number):
        position = block.rindex(b"\n", 0, position)
    return position


def _blocks_backwards(directory: JobDirectory, stream: int | None, end: int) -> Iterator[tuple[int, bytes]]:
    """The bytes of a stream before ``end``, the last first, in blocks with their offsets; some may be empty."""
    for segment in _newest_first(directory):
        for first, last in _runs_backwards(segment, stream, end):
            if first >= last:
                yield last, b""
            while first < last:
                start = max(first, last - _BLOCK_BYTES)
                yield start, _read(segment, start, last)
                last = start  # noqa: PLW2901  # what is left of the run


def _runs_backwards(segment: Segment, stream: int | None, end: int) -> Iterator[tuple[int, int]]:
    """Where the bytes of a stream before ``end`` are in a segment, the last first; what is adjacent is joined.

    Empty where some records have none of them.
    """
    left = min(segment.count(), segment.at_offset(end) + 1)
    most = _BLOCK_RECORDS
    while left:
        block = segment.records(max(0, left - most), min(left, most))
        left -= len(block)
        most = min(2 * most, _MOST_RECORDS)
        begin = stop = end
        for record in reversed(block):
            if stream not in (None, record.stream) or record.offset >= end:
                continue
            if record.end < begin:
                if begin < stop:
                    yield begin, stop
                stop = record.end
            begin = record.offset
        yield begin, stop


def _read(segment: Segment, start: int, end: int) -> bytes:
    data = segment.read(start, end - start)
    while start + len(data) < end:
        data += segment.read(start + len(data), end - start - len(data))
    return data


def _newest_first(directory: JobDirectory) -> Iterator[Segment]:
    """The segments that are kept, one open at a time."""
    for base in reversed(segment_bases(directory.path)):
        try:
            segment = Segment(directory, base)
        except FileNotFoundError:  # dropped meanwhile, and so are those before it
            return
        with closing(segment):
            yield segment
