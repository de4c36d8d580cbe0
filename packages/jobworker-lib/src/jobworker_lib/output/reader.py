"""Reads captured output. It never waits: it says what is there, and its caller decides how to wait for more."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from jobworker_lib.output.beginning import offset_of_tail, offset_since
from jobworker_lib.output.chunk import Chunk, Gap
from jobworker_lib.output.format import STREAMS, Record, segment_bases
from jobworker_lib.output.segment import Segment, open_segment, recorded_bytes
from jobworker_lib.output.selection import OutputOptions, Selection

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import TracebackType
    from typing import Unpack

    from jobworker_lib.job.directory import JobDirectory

_BATCH_BYTES = 1 << 20
_DONE = object()
_FEWEST_RECORDS = 64
_MOST_RECORDS = 4096


class OutputReader:
    """One reader's place in a job's output.

    Holds two descriptors and no output; any number of readers may be open, in any process. A reader whose place was
    dropped goes on at the oldest byte that is kept, and its next chunk tells of the gap.
    """

    def __init__(
        self, directory: JobDirectory, *, has_ended: Callable[[], bool], **options: Unpack[OutputOptions]
    ) -> None:
        """Prepare to read the part that the options select.

        Raises:
            InvalidArgumentError: an option can't be used.
        """
        self._directory = directory
        self._has_ended = has_ended
        self._selection = Selection(**options)
        self._stream = self._selection.stream_number
        self._since_ns = self._selection.since_ns
        self._offset = self._selection.offset
        self._end = 1 << 64 if self._selection.end is None else self._selection.end
        self._begun = False
        self._search: Generator[None, None, None] | None = None
        self._segment: Segment | None = None
        self._record = 0
        self._records_at_once = _FEWEST_RECORDS
        self._gap: Gap | None = None
        self._hold = -1
        with suppress(FileNotFoundError):  # deleted just now
            self._hold = directory.hold()

    def begin(self) -> None:
        """Find out where to begin and to end, by what is there now; the first batch does it otherwise.

        It takes longer than a batch where many lines are asked for, or few of a stream that is seldom written to.
        """
        while not self.begin_some():
            pass

    def begin_some(self) -> bool:
        """A part of :meth:`begin`, for a driver that must not be held up long. False: there may be more of it."""
        if not self._begun:
            self._search = self._search or self._searching()
            self._begun = next(self._search, _DONE) is _DONE
        return self._begun

    def _searching(self) -> Generator[None, None, None]:
        if self._since_ns:
            self._offset = max(self._offset, offset_since(self._directory, self._since_ns))
        if self._selection.tail is None and self._selection.follow:
            return
        there = min(self._end, recorded_bytes(self._directory))
        if self._selection.tail is not None:
            self._offset = yield from offset_of_tail(self._directory, self._selection.tail, self._stream, there)
        if not self._selection.follow:
            self._end = there

    def seek(self) -> bool:
        """Pass some of what is not wanted: for a driver that must not be held up long. False: there may be more of it.

        The next batch does it otherwise, all at once; a stream that is seldom written to may take long to find.
        """
        if self._stream is None and not self._since_ns:
            return True
        self.begin()
        segment = self._segment or self._enter()
        return segment is None or self._pass_unwanted(segment) is not None

    def next_batch(self) -> list[Chunk] | None:
        """All chunks that are there, at most a batch of data; None: nothing yet; an empty list: the end."""
        if chunks := self._read_chunks():
            return chunks
        if not self._selection.follow or self._offset >= self._end:
            return []
        # Asked before the last look: the last record is written before the job ends.
        return self._read_chunks() if self._has_ended() else None

    def close(self) -> None:
        """Let go of the files."""
        if self._search:
            with suppress(ValueError):  # it runs in another thread, which lets go when it is done
                self._search.close()
        self._leave()
        if self._hold >= 0:
            os.close(self._hold)
            self._hold = -1

    def _leave(self) -> None:
        if self._segment:
            self._segment.close()
        self._segment = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read_chunks(self) -> list[Chunk]:
        self.begin()
        chunks: list[Chunk] = []
        while not chunks and self._offset < self._end and (records := self._next_records()):
            chunks = self._cut(records)
        return self._with_gap(chunks)

    def _next_records(self) -> list[Record]:
        """Records from this reader's place on, of which the first holds the offset; none where there are none yet."""
        while segment := self._segment or self._enter():
            records = self._records_of(segment)
            if records or (following := self._after(segment)) is None:
                return records
            # The next segment was begun after the last record of this one: what is not here now will never be.
            if records := self._records_of(segment):
                return records
            self._leave()
            if self._offset < following:
                self._skip_to(following)
        return []

    def _enter(self) -> Segment | None:
        """Open the segment that holds the offset; there is none before a shim has begun with the job."""
        self._segment = open_segment(self._directory, self._offset)
        if self._segment:
            if self._offset < self._segment.base:
                self._skip_to(self._segment.base)
            self._record = self._segment.at_offset(self._offset)
        return self._segment

    def _after(self, segment: Segment) -> int | None:
        """Where the next segment begins, if there is one."""
        return next((base for base in segment_bases(self._directory.path) if base > segment.base), None)

    def _skip_to(self, offset: int) -> None:
        """Go on at an offset: what is before it is not there any more."""
        begin = self._gap.begin if self._gap else self._offset
        self._offset = max(self._offset, min(offset, self._end))
        if begin < self._offset:
            self._gap = Gap(begin, self._offset)

    def _records_of(self, segment: Segment) -> list[Record]:
        """Records of which the first is wanted; it passes those before it, and reads none of their bytes."""
        while (records := self._pass_unwanted(segment)) is None:
            pass
        return records

    def _pass_unwanted(self, segment: Segment) -> list[Record] | None:
        """Some records, from the first that is wanted on; None where none of them is, and others may follow."""
        records = segment.records(self._record, self._records_at_once)
        passed = next((number for number, record in enumerate(records) if self._wants(record)), len(records))
        if passed:
            self._record += passed
            self._offset = max(self._offset, records[passed - 1].end)
        if passed < len(records) or not records:
            return records[passed:]
        self._expect(2 * passed)
        return None

    def _expect(self, records: int) -> None:
        """How many records the next look is to give: some more than are of use, for each is work."""
        self._records_at_once = max(_FEWEST_RECORDS, min(records, _MOST_RECORDS))

    def _wants(self, record: Record) -> bool:
        if record.offset >= self._end:
            return True  # there is nothing to look for behind it
        return record.end > self._offset and record.time_ns >= self._since_ns and self._stream in (None, record.stream)

    def _cut(self, records: list[Record]) -> list[Chunk]:
        """Read the records' bytes, up to the size of a batch, as chunks; and go on by so much."""
        start = max(self._offset, records[0].offset)
        limit = self._selection.batch_bytes
        end = min(records[-1].end, start + (limit() if limit else _BATCH_BYTES), self._end)
        if not self._segment or start >= end:
            self._offset = self._end
            return []
        data = self._segment.read(start, end - start)
        end = start + len(data)
        chunks = []
        used = 0
        for record in records:
            first, last = max(start, record.offset), min(end, record.end)
            if first >= last:
                break
            if self._stream in (None, record.stream):
                part = data if last - first == len(data) else data[first - start : last - start]
                chunks.append(Chunk(part, STREAMS[record.stream], first, record.time_ns))
            used += last == record.end
        self._record += used
        self._expect(2 * used)
        self._offset = end
        return chunks

    def _with_gap(self, chunks: list[Chunk]) -> list[Chunk]:
        """The chunks, of which the first tells what is missing before it, if anything is."""
        gap, self._gap = self._gap, None
        if gap is None or self._segment is None:
            return chunks
        if chunks:
            return [replace(chunks[0], gap=gap), *chunks[1:]]
        near = self._segment.records(max(0, self._record - 1), 1)
        return [Chunk(b"", self._selection.stream or STREAMS[0], gap.end, near[0].time_ns if near else 0, gap)]
