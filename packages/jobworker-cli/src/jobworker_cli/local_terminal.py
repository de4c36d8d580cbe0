"""The terminal before which the user sits, while it stands for the terminal of a job."""

from __future__ import annotations

import os
import signal
import termios
import tty
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from jobworker_cli.models import TerminalSize

if TYPE_CHECKING:
    from types import FrameType, TracebackType

_STDIN = 0
_STDOUT = 1
_DEADLY = (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)

# Off with what full-screen programs switch on: mouse, marks of pasted text, cursor keys and keypad of their own, the
# other screen, no cursor, colours.
_CALM = b"\x1b[?1000;1002;1003;1006;2004;1l\x1b>\x1b[?1047l\x1b[?25h\x1b[0m\r\n"


def local_size() -> TerminalSize | None:
    """The size of the terminal at the standard input or output; None where there is none, or its size is not known."""
    for descriptor in (_STDIN, _STDOUT):
        with suppress(OSError):
            columns, rows = os.get_terminal_size(descriptor)
            if rows and columns:
                return TerminalSize(rows, columns)
    return None


class RawTerminal:
    """While entered, the terminal at the standard input hands on every key as it is, Ctrl-C and Ctrl-Z too.

    It is as it was before when the block ends in whatever way, when a signal ends or suspends this process, and raw
    again when it goes on. Nothing can be done where SIGKILL ends it: ``reset`` helps then.
    """

    def __init__(self, resized: Callable[[], None]) -> None:
        """``resized`` is called, in a signal's handler, when the size may be another one."""
        self._resized = resized
        self._modes = termios.tcgetattr(_STDIN)
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        for number in _DEADLY:
            if signal.getsignal(number) is signal.SIG_DFL:
                self._previous[number] = signal.signal(number, self._end)
        self._previous[signal.SIGTSTP] = signal.signal(signal.SIGTSTP, self._suspend)
        self._previous[signal.SIGCONT] = signal.signal(signal.SIGCONT, self._go_on)
        self._previous[signal.SIGWINCH] = signal.signal(signal.SIGWINCH, lambda *_: self._resized())
        tty.setraw(_STDIN, termios.TCSANOW)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()
        for number, previous in self._previous.items():
            signal.signal(number, previous)

    def calm(self) -> None:
        """Bring the screen back to what a shell expects: the program that was shown on it goes on elsewhere."""
        if os.isatty(_STDOUT):
            with suppress(OSError):
                os.write(_STDOUT, _CALM)

    def _restore(self) -> None:
        with suppress(termios.error):  # the terminal is gone
            termios.tcsetattr(_STDIN, termios.TCSANOW, self._modes)

    def _end(self, number: int, _frame: FrameType | None) -> None:
        self._restore()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    def _suspend(self, _number: int, _frame: FrameType | None) -> None:
        self._restore()
        os.kill(os.getpid(), signal.SIGSTOP)

    def _go_on(self, _number: int, _frame: FrameType | None) -> None:
        with suppress(termios.error):
            tty.setraw(_STDIN, termios.TCSANOW)
        self._resized()
