"""Appends captured output to a job's directory; the shim is the only writer."""

from __future__ import annotations

import errno
import os
import time
from typing import TYPE_CHECKING

from jobworker_lib.output.format import RECORD
from jobworker_lib.output.reserve import Reserve
from jobworker_lib.output.row import SegmentRow

if TYPE_CHECKING:
    from jobworker_lib.job.directory import JobDirectory
    from jobworker_lib.output.limit import OutputLimit

_MOST_SPLICED = 1 << 20
_MOST_COPIED = 64 << 10


class OutputWriter:
    """Moves bytes from pipes to the log, in the kernel where it can, and records each run.

    A method that raises OSError (such as ENOSPC) has lost nothing and may be called again: bytes stay in their pipe or
    are held here, and a run that could not be recorded is recorded by the next call.
    """

    def __init__(self, directory: JobDirectory, limit: OutputLimit | None = None) -> None:
        self._directory = directory
        self._most = limit.bytes if limit and limit.action == "stop" else None
        self._row = SegmentRow(directory, limit.bytes if limit and limit.action == "drop_oldest" else None)
        self._reserve = Reserve(directory)
        self._size = 0
        self.beyond_limit = 0
        """Bytes that came beyond the limit at which the job is stopped, and were dropped."""
        self._held = b""
        self._unrecorded: tuple[int, int] | None = None
        self._record = b""
        self._last_ns = 0
        self._can_splice = True

    @property
    def job_id(self) -> str:
        """The name of the job's directory."""
        return os.path.basename(os.path.realpath(self._directory.path))

    @property
    def size(self) -> int:
        """Bytes of output that were captured until now."""
        return self._size

    @property
    def is_full(self) -> bool:
        """Whether the limit is reached at which the job is stopped: what comes now is dropped."""
        return self._most is not None and self._size >= self._most

    @property
    def dropped_bytes(self) -> int:
        """How much was dropped to keep the limit, whatever it does at it."""
        return self.beyond_limit + self._row.first

    def move(self, pipe: int, stream: int, *, use_reserve: bool = False) -> int:
        """Append what the pipe holds, up to 1 MiB: bytes moved, 0 at the end of file.

        Beyond a limit at which the job is stopped they are dropped, and counted. ``use_reserve``: also where the disk
        has little more than its reserve.

        Raises:
            BlockingIOError: the pipe is empty (it must be non-blocking).
            OSError: the log or the index can't be written; call again later.
        """
        self.flush()
        if self.is_full:
            dropped = len(_read(pipe, _MOST_SPLICED))
            self.beyond_limit += dropped
            return dropped
        if not use_reserve:
            self._reserve.require()
        moved = self._splice(pipe) if self._can_splice and not self._row.is_full(self._size) else self._read(pipe)
        if moved:
            self._reserve.use(moved)
            self._unrecorded = (moved, stream)
            self.flush()
        return moved

    def flush(self) -> None:
        """Finish what an earlier call could not write. OSError where it still can't be."""
        if self._unrecorded:
            self._write_held()
            length, stream = self._unrecorded
            # Readers search by time, so a clock that is set back must not go back here.
            self._last_ns = max(self._last_ns, time.time_ns())
            self._record = RECORD.pack(self._size, self._last_ns, length, stream)
            self._size += length
            self._unrecorded = None
        while self._record:
            self._record = self._record[self._row.append(self._record) :]

    def close(self) -> None:
        """Close the files."""
        self._row.close()

    def _splice(self, pipe: int) -> int:
        try:
            return os.splice(pipe, self._row.log, self._room(_MOST_SPLICED), offset_dst=self._row.position(self._size))
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOSYS):
                raise
            self._can_splice = False  # not every filesystem takes spliced pages
            return self._read(pipe)

    def _read(self, pipe: int) -> int:
        self._held = _read(pipe, self._room(_MOST_COPIED))
        return len(self._held)

    def _room(self, most: int) -> int:
        """How many bytes may be appended at once."""
        left = most if self._most is None else min(most, self._most - self._size)
        return min(left, self._row.room(self._size))

    def _write_held(self) -> None:
        """Write what was read but not spliced; a write that is repeated begins at the same place."""
        if not self._held:
            return
        if self._row.is_full(self._size):
            self._row.begin_segment(self._size)  # not before there is something for it
        at = self._row.position(self._size)
        held = self._held
        while held:
            written = os.pwrite(self._row.log, held, at)
            at, held = at + written, held[written:]
        self._held = b""


def _read(pipe: int, most: int) -> bytes:
    """Read from a pipe or a terminal; nothing, where it is at its end."""
    try:
        return os.read(pipe, most)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return b""  # how a terminal tells it
