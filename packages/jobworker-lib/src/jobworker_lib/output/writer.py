"""Appends captured output to a job's directory; the shim is the only writer."""

from __future__ import annotations

import errno
import os
import time

from jobworker_lib.directory import FILE_MODE, OUTPUT_INDEX, OUTPUT_LOG, JobDirectory
from jobworker_lib.output.format import RECORD

_MOST_SPLICED = 1 << 20
_MOST_COPIED = 64 << 10
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


class OutputWriter:
    """Moves bytes from pipes to the log, in the kernel where it can, and records each run.

    A method that raises OSError (such as ENOSPC) has lost nothing and may be called again: bytes stay in their pipe or
    are held here, and a run that could not be recorded is recorded by the next call.
    """

    def __init__(self, directory: JobDirectory) -> None:
        self._log = os.open(directory.file(OUTPUT_LOG), _CREATE, FILE_MODE)
        self._index = os.open(directory.file(OUTPUT_INDEX), _CREATE, FILE_MODE)
        self._size = 0
        self._index_size = 0
        self._held = b""
        self._unrecorded: tuple[int, int] | None = None
        self._record = b""
        self._last_ns = 0
        self._can_splice = True

    @property
    def size(self) -> int:
        """Bytes of output that were captured until now."""
        return self._size

    def move(self, pipe: int, stream: int) -> int:
        """Append what the pipe holds, up to 1 MiB: bytes moved, 0 at the end of file.

        Raises:
            BlockingIOError: the pipe is empty (it must be non-blocking).
            OSError: the log or the index can't be written; call again later.
        """
        self.flush()
        moved = self._splice(pipe) if self._can_splice else self._read(pipe)
        if moved:
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
            written = os.pwrite(self._index, self._record, self._index_size)
            self._index_size += written
            self._record = self._record[written:]

    def close(self) -> None:
        """Close the files."""
        os.close(self._log)
        os.close(self._index)

    def _splice(self, pipe: int) -> int:
        try:
            return os.splice(pipe, self._log, _MOST_SPLICED, offset_dst=self._size)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOSYS):
                raise
            self._can_splice = False  # not every filesystem takes spliced pages
            return self._read(pipe)

    def _read(self, pipe: int) -> int:
        self._held = os.read(pipe, _MOST_COPIED)
        return len(self._held)

    def _write_held(self) -> None:
        """Write what was read but not spliced; a write that is repeated begins at the same place."""
        at = self._size
        held = self._held
        while held:
            written = os.pwrite(self._log, held, at)
            at, held = at + written, held[written:]
        self._held = b""
