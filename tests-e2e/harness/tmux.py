"""Real terminals, in tmux: what is typed in them and what is seen on them."""

from __future__ import annotations

import math
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from conformance.processes import PATIENCE_SECONDS, wait_until

needs_tmux = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")

_MISSED_SECONDS = 2.0


class Tmux:
    """A tmux server of one test."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self._count = 0

    def open(
        self, argv: Sequence[str], environment: Mapping[str, str], *, columns: int = 80, rows: int = 24
    ) -> Terminal:
        """A new terminal in which a shell runs a command and then tells its exit status and the terminal's modes."""
        self._count += 1
        name = f"t{self._count}"
        variables = [f"{key}={value}" for key, value in environment.items() if key not in ("TMUX", "TERM")]
        # Ctrl-C is the command's to heed, not the shell's.
        script = f"trap : INT; before=$(stty -g); {shlex.join(argv)}; status=$?; "
        script += "[ $before = $(stty -g) ] && m=kept || m=changed; echo; echo exit:$status modes:$m; "
        script += "trap '' INT; exec cat"
        size = ["-x", str(columns), "-y", str(rows)]
        self.call("-f", "/dev/null", "new-session", "-d", "-s", name, *size, "env", "-i", *variables,
                  "TERM=screen-256color", "sh", "-c", script)  # fmt: skip
        return Terminal(self, name)

    def call(self, *arguments: str) -> str:
        command = ["tmux", "-S", str(self._socket), *arguments]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=PATIENCE_SECONDS)
        return done.stdout

    def close(self) -> None:
        with suppress(subprocess.CalledProcessError):  # it has ended with its last terminal
            self.call("kill-server")


class Terminal:
    """One terminal."""

    def __init__(self, tmux: Tmux, name: str) -> None:
        self._tmux = tmux
        self._name = name

    def type(self, *keys: str) -> None:
        """Press keys: text, or names of tmux such as ``Enter`` and ``C-c``."""
        self._tmux.call("send-keys", "-t", self._name, *keys)

    def screen(self, *, colours: bool = False) -> str:
        """What is on the screen; with ``colours`` the sequences that set them are in it."""
        return self._tmux.call("capture-pane", "-p", *(["-e"] if colours else []), "-t", self._name)

    def sees(self, *texts: str, without: str | None = None) -> str:
        """Wait until all the texts are on the screen, and ``without`` is not: the screen as it was then."""
        screen = ""

        def is_seen() -> bool:
            nonlocal screen
            screen = self.screen()
            return all(text in screen for text in texts) and (without is None or without not in screen)

        try:
            wait_until(is_seen)
        except AssertionError:
            gone = f", or {without!r} did not go" if without else ""
            raise AssertionError(f"{texts} did not appear{gone}:\n{screen}") from None
        return screen

    def interrupts(self, text: str) -> str:
        """Press Ctrl-C until the text is on the screen: a program misses one that comes just before it waits."""
        return self.press_until("C-c", text, seconds=_MISSED_SECONDS)

    def press_until(self, key: str, *texts: str, seconds: float) -> str:
        """Press a key, and again after every so many seconds, until all the texts are on the screen: the screen."""
        pressed_at = -math.inf

        def is_seen() -> bool:
            nonlocal pressed_at
            screen = self.screen()
            if all(text in screen for text in texts):
                return True
            if time.monotonic() > pressed_at + seconds:
                self.type(key)
                pressed_at = time.monotonic()
            return False

        try:
            wait_until(is_seen)
        except AssertionError:
            raise AssertionError(f"{texts} did not appear:\n{self.screen()}") from None
        return self.screen()

    def ends(self, status: int) -> str:
        """Wait until the command has ended with this status and has left the terminal's modes as they were."""
        return self.sees(f"exit:{status} modes:kept")

    def resize(self, columns: int, rows: int) -> None:
        self._tmux.call("resize-window", "-t", self._name, "-x", str(columns), "-y", str(rows))

    def close(self) -> None:
        """Close the terminal, as if its window was."""
        self._tmux.call("kill-session", "-t", self._name)

    def pids(self, name: str) -> list[int]:
        """The processes of Python in it whose command line holds the text; what is to become one of them is not yet."""
        tty = self._tmux.call("display-message", "-p", "-t", self._name, "#{pane_tty}").strip()
        done = subprocess.run(
            ["ps", "-t", tty.removeprefix("/dev/"), "-o", "pid=,args="],
            check=True, capture_output=True, text=True, timeout=PATIENCE_SECONDS,
        )  # fmt: skip
        lines = [line.split(maxsplit=1) for line in done.stdout.splitlines()]
        return [int(pid) for pid, command in lines if name in command and command.startswith(sys.executable)]
