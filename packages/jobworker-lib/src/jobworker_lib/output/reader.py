"""Reads captured output. It never waits: it says what is there, and its caller decides how to wait for more."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Self

from jobworker_lib.directory import OUTPUT_INDEX, OUTPUT_LOG, JobDirectory
from jobworker_lib.errors import InvalidArgumentError
from jobworker_lib.output.chunk import Chunk
from jobworker_lib.output.format import RECORD, STREAMS, Record, Stream, read_record, record_count

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

_BATCH_BYTES = 1 << 20
_BATCH_RECORDS = 4096


class OutputReader:
    """One reader's place in a job's output.

    Holds two descriptors and no output; any number of readers may be open, in any process.
    """

    def __init__(
        self,
        directory: JobDirectory,
        *,
        offset: int,
        follow: bool,
        stream: Stream | None,
        has_ended: Callable[[], bool],
    ) -> None:
        """Begin at ``offset``, a byte of the output of both streams together; one beyond the end waits for it.

        Raises:
            InvalidArgumentError: the offset or the stream can't be used.
        """
        if offset < 0:
            raise InvalidArgumentError("offset", "give 0 or more bytes")
        if stream is not None and stream not in STREAMS:
            raise InvalidArgumentError("stream", f"give one of {', '.join(STREAMS)}")
        self._directory = directory
        self._offset = offset
        self._follow = follow
        self._stream = None if stream is None else STREAMS.index(stream)
        self._has_ended = has_ended
        self._log = self._index = -1
        self._record = 0
        self._last_record: int | None = None

    def next_batch(self) -> list[Chunk] | None:
        """All chunks that are there, at most 1 MiB of data; None: nothing yet; an empty list: the end."""
        if chunks := self._read_chunks():
            return chunks
        if not self._follow:
            return []
        # Asked before the last look: the last record is written before the job ends.
        return self._read_chunks() if self._has_ended() else None

    def close(self) -> None:
        """Let go of the files."""
        for descriptor in (self._log, self._index):
            if descriptor >= 0:
                os.close(descriptor)
        self._log = self._index = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self) -> bool:
        """Open the files; they are not there until a shim has begun with the job, and never where none did."""
        if self._index < 0:
            try:
                self._log = os.open(self._directory.file(OUTPUT_LOG), os.O_RDONLY | os.O_CLOEXEC)
                self._index = os.open(self._directory.file(OUTPUT_INDEX), os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                self.close()
                return False
            self._record = self._find_record()
            if not self._follow:
                self._last_record = record_count(self._index)
        return True

    def _read_chunks(self) -> list[Chunk]:
        if not self._open():
            return []
        chunks: list[Chunk] = []
        while not chunks and (records := self._next_records()):
            chunks = self._cut(records)
        return chunks

    def _find_record(self) -> int:
        """The record that holds the offset, or the number that the next one will have (bisection)."""
        low, high = 0, record_count(self._index)
        while low < high:
            middle = (low + high) // 2
            if read_record(self._index, middle).end <= self._offset:
                low = middle + 1
            else:
                high = middle
        return low

    def _next_records(self) -> list[Record]:
        """Records from this reader's place on, of which the first holds the offset."""
        wanted = _BATCH_RECORDS
        if self._last_record is not None:
            wanted = min(wanted, self._last_record - self._record)
        raw = os.pread(self._index, wanted * RECORD.size, self._record * RECORD.size)
        raw = raw[: len(raw) // RECORD.size * RECORD.size]
        records = [Record._make(fields) for fields in RECORD.iter_unpack(raw)]
        while records and records[0].end <= self._offset:  # the offset was beyond the end
            records.pop(0)
            self._record += 1
        return records

    def _cut(self, records: list[Record]) -> list[Chunk]:
        """Read the records' bytes, up to the size of a batch, as chunks; and go on by so much."""
        start = max(self._offset, records[0].offset)
        data = self._pread(min(_BATCH_BYTES, records[-1].end - start), start)
        end = start + len(data)
        chunks = []
        for record in records:
            first, last = max(start, record.offset), min(end, record.end)
            if first >= last:
                break
            if self._stream in (None, record.stream):
                part = data if last - first == len(data) else data[first - start : last - start]
                chunks.append(Chunk(part, STREAMS[record.stream], first, record.time_ns))
            if last == record.end:
                self._record += 1
        self._offset = end
        return chunks

    def _pread(self, length: int, offset: int) -> bytes:
        data = os.pread(self._log, length, offset)
        if not data:
            raise OSError(f"{OUTPUT_LOG} is shorter than its index says")
        return data
