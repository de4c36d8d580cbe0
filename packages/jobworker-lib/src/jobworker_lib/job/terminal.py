"""Terminals of jobs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TerminalSize:
    """The size of a terminal, in characters; each 1 to 65535 (ioctl_tty(2), TIOCSWINSZ)."""

    rows: int = 24
    columns: int = 80
