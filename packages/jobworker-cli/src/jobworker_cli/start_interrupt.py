"""Ctrl-C while a job is being started: the answer is waited for, so that it can be told whether there is a job."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any, Self

from jobworker_cli.terminal import say

if TYPE_CHECKING:
    from types import FrameType, TracebackType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StartInterrupt:
    """While entered, the first of these signals is kept, and another gives up."""

    def __init__(self) -> None:
        self.received = 0
        """The number of the first signal; 0: none."""
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        for number in _SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # what was ignored stays so
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, previous in self._previous.items():
            signal.signal(number, previous)

    @property
    def exit_status(self) -> int:
        """What a program that this signal ends leaves."""
        return 128 + self.received

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self.received:
            raise KeyboardInterrupt
        self.received = number
        if os.isatty(2):
            say("waiting for the server to tell whether the job was started; another Ctrl-C gives up")
