"""A job's terminal (pty(7)), from the side of who sits before it."""

from __future__ import annotations

import fcntl
import os
import select
import struct
import termios
import time

from jobworker_lib.job.start_errors import TERMINAL_DEVICE
from jobworker_lib.job.terminal import TerminalSize

_IUTF8 = 0x4000
"""Erasing removes a whole character of UTF-8, not a byte (termios(3)); the module termios has no name for it."""
_REDRAW_SECONDS = 2.0
"""How long a size is wrong on purpose at most: a program on a busy host may take so long to see it."""
_REACTION_SECONDS = 0.2
"""How long it still is when the program has written: what it wrote may have been on its way before it looked."""


class Terminal:
    """A new terminal of a job. What is typed and shown passes through ``master``."""

    def __init__(self, size: TerminalSize) -> None:
        # The job's side stays open here as well: a program may close its terminal and open it again (/dev/tty), and
        # what came in between would look like the end.
        try:
            self.master, self.slave = os.openpty()
        except OSError as error:
            raise OSError(error.errno, error.strerror, TERMINAL_DEVICE) from None
        modes = termios.tcgetattr(self.slave)
        modes[0] |= _IUTF8
        termios.tcsetattr(self.slave, termios.TCSANOW, modes)
        self.size = size
        """As it was last asked for."""
        self.restore_at: float | None = None
        """When the size is to be made right again, by the monotonic clock."""
        self._holds_old_output = False
        self._set(size)

    def resize(self, size: TerminalSize, *, redraw: bool) -> None:
        """Set the size; the kernel signals SIGWINCH to the programs in the foreground if it is another one.

        With ``redraw`` it becomes another one in any case, for a moment if need be, so that programs that fill the
        screen draw it anew.
        """
        is_other = size != self.size
        self.size = size
        if redraw and size == self._now():
            self._set(TerminalSize(size.rows, size.columns - 1 or 2))
            self.restore_at = time.monotonic() + _REDRAW_SECONDS
            self._holds_old_output = self._has_output()
        elif is_other or self.restore_at is None:
            self.restore()
        # Otherwise it is wrong on purpose, and the change to the right one is still to come, for this one too.

    def output_was_taken(self) -> None:
        """Note, where a program is to see a wrong size, that it wrote: make the size right soon."""
        if self.restore_at is None:
            return
        if self._holds_old_output:  # what was taken was written before
            self._holds_old_output = self._has_output()
        else:
            self.restore_at = min(self.restore_at, time.monotonic() + _REACTION_SECONDS)

    def restore(self) -> None:
        """Set the size that was last asked for."""
        self.restore_at = None
        self._set(self.size)

    def close(self) -> None:
        """Let go of it."""
        os.close(self.master)
        os.close(self.slave)

    def _has_output(self) -> bool:
        poller = select.poll()
        poller.register(self.master, select.POLLIN)
        return bool(poller.poll(0))

    def _now(self) -> TerminalSize:
        rows, columns, _, _ = struct.unpack("HHHH", fcntl.ioctl(self.master, termios.TIOCGWINSZ, bytes(8)))
        return TerminalSize(rows, columns)

    def _set(self, size: TerminalSize) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", size.rows, size.columns, 0, 0))


def take_over() -> None:
    """Make the standard input the controlling terminal of this process, the leader of a new session."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
