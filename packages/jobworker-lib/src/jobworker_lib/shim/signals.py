"""Signals as something to poll for."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class SignalPipe:
    """Turns signals of this single-threaded process into bytes of a pipe.

    Signals get a handler rather than SIG_IGN, which execve(2) would hand on to jobs.
    """

    def __init__(self, numbers: Iterable[int]) -> None:
        self._read, self._write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        for number in numbers:
            signal.signal(number, lambda _number, _frame: None)
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)

    def fileno(self) -> int:
        """For a poller."""
        return self._read

    @property
    def descriptors(self) -> tuple[int, int]:
        """Both ends."""
        return self._read, self._write

    def read(self) -> set[int]:
        """The numbers of the signals that came since the last call."""
        try:
            return set(os.read(self._read, 4096))
        except BlockingIOError:
            return set()

    def close(self) -> None:
        """Watch no more; handlers stay."""
        signal.set_wakeup_fd(-1)
        os.close(self._read)
        os.close(self._write)
