"""Lines on a terminal that are written over, without flickering."""

from __future__ import annotations

from collections.abc import Sequence

from jobworker_cli.terminal import screen_size, write
from jobworker_cli.text import truncate

_STDOUT = 1


class LiveBlock:
    """The last lines on the terminal at the standard output; they stay when the program ends."""

    def __init__(self) -> None:
        self._height = 0

    @property
    def rows(self) -> int:
        """How many lines fit: the terminal's, without that of the cursor."""
        return max(screen_size().lines - 1, 2)

    def show(self, lines: Sequence[str]) -> None:
        """Write these in place of those before. OutputClosedError: the terminal has gone."""
        columns = screen_size().columns
        shown = [truncate(line, columns, "") for line in lines[: self.rows]]
        up = f"\x1b[{self._height}A" if self._height else ""
        text = "".join(f"\r{line}\x1b[K\n" for line in shown)
        self._height = len(shown)
        write(_STDOUT, f"{up}{text}\x1b[J".encode(errors="backslashreplace"))
