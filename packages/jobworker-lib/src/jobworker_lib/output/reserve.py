"""Keeps output from filling the disk: while less is free than the reserve, no more is captured.

The reserve is for what else needs the disk, the records of jobs among it. The file ``reserve`` of the state directory
says how many bytes it has; it is looked at again and again, so a change counts at once, also for jobs that run.
"""

from __future__ import annotations

import errno
import os
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobworker_lib.job.directory import JobDirectory

RESERVE = "reserve"
_MOST_BY_DEFAULT = 1 << 30
_SHARE_BY_DEFAULT = 20
_LOOK_SECONDS = 1.0
_FEWEST_BYTES = 64 << 10
_MOST_BYTES = 8 << 20


class Reserve:
    """What one job's writer has to leave free.

    The filesystem is asked now and then, not at each write: after a second, or when a quarter of what was to spare has
    been written, and at most 8 MiB.
    """

    def __init__(self, directory: JobDirectory) -> None:
        self._directory = directory.path
        self._file = os.path.join(directory.path, "..", "..", RESERVE)
        self._look_at = 0.0
        self._bytes_left = 0

    def require(self) -> None:
        """Do nothing while there is space. OSError (ENOSPC) otherwise, as a full disk gives."""
        if self._bytes_left > 0 and time.monotonic() < self._look_at:
            return
        spare = self._spare()
        if spare < 0:
            self._bytes_left = 0
            raise OSError(errno.ENOSPC, "less space is free than the reserve")
        self._bytes_left = min(max(spare // 4, _FEWEST_BYTES), _MOST_BYTES)
        self._look_at = time.monotonic() + _LOOK_SECONDS

    def use(self, length: int) -> None:
        """So many bytes were written."""
        self._bytes_left -= length

    def _spare(self) -> int:
        """Bytes that are free beyond the reserve."""
        try:
            about = os.statvfs(self._directory)
        except FileNotFoundError:  # the job was removed with all of the state directory
            return _MOST_BYTES
        if not about.f_blocks:  # some filesystems don't know
            return _MOST_BYTES
        reserve = self._configured()
        if reserve is None:
            reserve = min(_MOST_BY_DEFAULT, about.f_blocks * about.f_frsize // _SHARE_BY_DEFAULT)
        return about.f_bavail * about.f_frsize - reserve if reserve else _MOST_BYTES

    def _configured(self) -> int | None:
        """What the file says; None where there is none, or it holds no number."""
        try:
            with open(self._file, "rb") as file:
                return int(file.read(32))
        except (OSError, ValueError):
            return None
