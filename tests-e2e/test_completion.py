"""Completion in real shells: what a Tab makes of the line."""

from __future__ import annotations

import shutil
import sys
import uuid
from pathlib import Path

import pytest

from conformance.jobs import SLEEPER
from harness.cli import Cli
from harness.server import Server
from harness.tmux import Terminal, Tmux, needs_tmux

pytestmark = needs_tmux

# A Tab that has to ask a server gives up after two seconds, which a busy machine may take; it is pressed again then.
_PATIENCE_SECONDS = 10.0

SHELLS = {
    "bash": ("bash --norc --noprofile -i", "source <(jobworker-cli completion bash)"),
    "zsh": ("zsh -f -i", "autoload -U compinit; compinit -u -D; source <(jobworker-cli completion zsh)"),
    "fish": ("fish --no-config -i", "jobworker-cli completion fish | source"),
}


class Shell:
    """A shell that completes jobworker-cli."""

    def __init__(self, name: str, tmux: Tmux, environment: dict[str, str]) -> None:
        self._name = name
        command, setup = SHELLS[name]
        self._terminal: Terminal = tmux.open(command.split(), environment, columns=150, rows=30)
        self._terminal.type("-l", f"{setup}; echo re''ady")
        self._terminal.type("Enter")
        self._terminal.sees("ready\n")

    def completes(self, begun: str, *completed: str) -> None:
        """Type the beginning of a line and a Tab: all these are on the screen then. The line is given up."""
        self._terminal.type("C-u")
        self._terminal.type("C-l")
        self._terminal.type("-l", f"jobworker-cli {begun}")
        self._terminal.sees(f"jobworker-cli {begun}".rstrip())
        if len(completed) > 1:
            self._terminal.type("Tab")  # bash lists at the second
        self._terminal.press_until("Tab", *completed, seconds=_PATIENCE_SECONDS)
        if self._name != "bash":  # where it would interrupt what is still completing
            self._terminal.type("C-c")


@pytest.mark.parametrize("name", SHELLS)
def test_completion(name: str, tmux: Tmux, cli: Cli, server: Server, tmp_path: Path) -> None:
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed")
    value = uuid.uuid4().hex[:6]
    job = cli.start(SLEEPER, "--label", f"batch={value}")
    config = tmp_path / "config" / "jobworker" / "config.yaml"
    for context in ("house", "office"):
        cli("--config", config, "--context", context, "config", "set", "serverAddress", server.address)
    cli("--config", config, "config", "use", "house")
    commands = Path(sys.executable).parent
    environment = cli.environment() | {
        "PATH": f"{commands}:/usr/local/bin:/usr/bin:/bin", "PS1": "$ ", "HOME": str(tmp_path),
        "XDG_CONFIG_HOME": str(tmp_path / "config"), "LANG": "C.UTF-8",
    }  # fmt: skip
    shell = Shell(name, tmux, environment)
    shell.completes("sta", "start", "status", "stats")
    shell.completes("upd", "jobworker-cli update")
    shell.completes("list --state que", "list --state queued")
    shell.completes("list --all-o", "list --all-owners")
    shell.completes(f"status {job[:13]}", f"status {job}")
    shell.completes(f"signal {job} WIN", f"signal {job} WINCH")
    shell.completes(f"list --label batch={value[:4]}", f"list --label batch={value}")
    shell.completes("--context off", "--context office")
    shell.completes("--context office config u", "config use")
    shell.completes("config use hou", "config use house")
    shell.completes(f"start --file {tmp_path}/conf", f"start --file {tmp_path}/config")
    shell.completes("run --restart nev", "run --restart never")
    shell.completes("run --restart on-failure:", "run --restart on-failure:5")
    shell.completes("run unam", "run uname")
    cli("stop", job)
