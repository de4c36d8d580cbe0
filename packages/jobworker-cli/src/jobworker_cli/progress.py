"""How far long work has come: a line on the standard error that is written over, where that is a terminal."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Self

from jobworker_cli.terminal import OutputClosedError, write

if TYPE_CHECKING:
    from types import TracebackType

_STDOUT = 1
_STDERR = 2
_QUIET_SECONDS = 0.5
_BETWEEN_SECONDS = 0.1
_ERASE = "\r\x1b[K"


class Progress:
    """Shown once the work has taken half a second, and gone when it is done. Nothing is written in a pipe."""

    def __init__(self, what: str, total: int, *, is_told: bool = False) -> None:
        """``is_told``: each step is a line on the standard output."""
        self._what = what
        self._total = total
        self._done = 0
        self._is_shown = False
        self._next = time.monotonic() + _QUIET_SECONDS
        # Where the results themselves go to the same terminal, they are progress enough.
        shows_results = is_told and os.isatty(_STDOUT)
        self._is_wanted = os.isatty(_STDERR) and os.environ.get("TERM") != "dumb" and not shows_results

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.hide()

    def step(self) -> None:
        """One more is done."""
        self._done += 1
        now = time.monotonic()
        if self._is_wanted and now >= self._next:
            self._next = now + _BETWEEN_SECONDS
            self._is_shown = True
            self._write(f"{_ERASE}{self._what} {self._done} of {self._total}")

    def hide(self) -> None:
        """Make room for a message, or for what comes after it."""
        if self._is_shown:
            self._is_shown = False
            self._write(_ERASE)

    def _write(self, text: str) -> None:
        try:
            write(_STDERR, text.encode("ascii", "backslashreplace"))
        except OutputClosedError:
            self._is_wanted = False
