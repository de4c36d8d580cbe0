"""Somebody at a terminal who runs the command line."""

from __future__ import annotations

from typing import Any

from harness.certs import Pair
from harness.cli import Cli
from harness.tmux import Terminal, Tmux

SHELL = ["bash", "--norc", "--noprofile", "-i"]
PROMPT = ("--env", "PS1=job> ", "--env", "HISTFILE=/dev/null")


class Sitting:
    """Somebody who opens terminals and runs the command line in them."""

    def __init__(self, tmux: Tmux, cli: Cli) -> None:
        self._tmux = tmux
        self._cli = cli

    def __call__(
        self, *arguments: object, client: Pair | None = None, columns: int = 80, rows: int = 24, **variables: str
    ) -> Terminal:
        command, environment = self._cli.command(*arguments), self._cli.environment(client) | variables
        return self._tmux.open(command, environment, columns=columns, rows=rows)

    def shell(self, **size: Any) -> Terminal:
        """``run --tty`` with a shell that is ready."""
        terminal = self("run", "--tty", *PROMPT, *SHELL, **size)
        terminal.sees("job>")
        return terminal
