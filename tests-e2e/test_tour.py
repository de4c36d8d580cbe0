"""docs/tour.md, replayed: each command, in one shell, shows what the page says, apart from ids and times."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from conformance.processes import PATIENCE_SECONDS
from harness.cli import Cli

PAGE = Path(__file__).parents[1] / "docs" / "tour.md"
BLOCKS = re.findall(r"```console\n(.*?)```", PAGE.read_text(), re.DOTALL)
MARK = "--- end of a step ---"


def steps() -> list[tuple[str, str]]:
    """Commands, and what each shows."""
    found: list[tuple[str, str]] = []
    for line in "".join(BLOCKS).splitlines():
        if line.startswith("$ "):
            found.append((line[2:], ""))
        elif line.startswith("> ") and not found[-1][1]:
            found[-1] = (f"{found[-1][0]}\n{line[2:]}", "")
        else:
            found[-1] = (found[-1][0], f"{found[-1][1]}{line}\n")
    return found


def apart_from_ids(text: str) -> str:
    return re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID", text)


def test_tour(cli: Cli, tmp_path: Path) -> None:
    commands = Path(sys.executable).parent
    environment = cli.environment() | {"PATH": f"{commands}:/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}
    # $? is that of the step before, as on a terminal.
    script = "".join(f"{command}\nstatus=$?; echo '{MARK}'; (exit $status)\n" for command, _ in steps())
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=3 * PATIENCE_SECONDS,
        check=False,
    )
    shown = done.stdout.split(f"{MARK}\n")
    assert len(shown) == len(steps()) + 1, done.stdout
    for (command, expected), found in zip(steps(), shown, strict=False):
        assert apart_from_ids(found) == apart_from_ids(expected), command
