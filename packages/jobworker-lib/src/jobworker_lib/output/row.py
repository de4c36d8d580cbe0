"""The row of a log's segments as its writer sees it: the last one open, the oldest dropped to keep a limit."""

from __future__ import annotations

import os
from collections import deque
from contextlib import suppress

from jobworker_lib.job.directory import FILE_MODE, JobDirectory
from jobworker_lib.output.format import RECORD, segment_names

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_CREATE_AGAIN = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
_SEGMENTS = 8
_UNBOUNDED = 1 << 63


class SegmentRow:
    """The segments that are kept.

    Without a limit there is one, which grows for ever. With one there are at most eight, each of an eighth of the
    limit, so no more than the limit is ever on disk; their indexes together are bounded by as much.
    """

    def __init__(self, directory: JobDirectory, limit: int | None) -> None:
        self._directory = directory
        self._segment_bytes = _UNBOUNDED if limit is None else limit // _SEGMENTS
        self._bases = deque([0])
        self._index_size = 0
        log, index = segment_names(0)
        self.log = os.open(directory.file(log), _CREATE, FILE_MODE)
        """The last segment's log."""
        self._index = os.open(directory.file(index), _CREATE, FILE_MODE)

    @property
    def first(self) -> int:
        """The offset of the oldest byte that is kept."""
        return self._bases[0]

    def position(self, offset: int) -> int:
        """Where in the last segment's log the byte at an offset of the output is."""
        return offset - self._bases[-1]

    def is_full(self, size: int) -> bool:
        """Whether an output of this size needs a new segment to go on."""
        return self.position(size) >= self._segment_bytes or self._index_size > self._segment_bytes - RECORD.size

    def room(self, size: int) -> int:
        """How many bytes may follow an output of this size in one segment: a new one where the last one is full."""
        return self._segment_bytes if self.is_full(size) else self._segment_bytes - self.position(size)

    def append(self, record: bytes) -> int:
        """Append a record, or the rest of one, to the index: the bytes written."""
        written = os.pwrite(self._index, record, self._index_size)
        self._index_size += written
        return written

    def begin_segment(self, base: int) -> None:
        """Begin a segment, and drop the oldest first where there are enough. Where it raises OSError, call it again.

        A segment is there as long as its index is: the index is made last and removed first.
        """
        while len(self._bases) >= _SEGMENTS:
            for name in reversed(segment_names(self._bases[0])):
                with suppress(FileNotFoundError):
                    os.unlink(self._directory.file(name))
            self._bases.popleft()
        log_name, index_name = segment_names(base)
        log = os.open(self._directory.file(log_name), _CREATE_AGAIN, FILE_MODE)
        try:
            index = os.open(self._directory.file(index_name), _CREATE_AGAIN, FILE_MODE)
        except BaseException:
            os.close(log)
            raise
        self.close()
        self.log, self._index, self._index_size = log, index, 0
        self._bases.append(base)

    def close(self) -> None:
        """Close the files."""
        os.close(self.log)
        os.close(self._index)
