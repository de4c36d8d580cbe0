"""``top`` on real terminals: what it shows, and what its keys do."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from conformance.jobs import SLEEPER, python, sh
from harness.cli import Cli
from harness.sitting import Sitting
from harness.tmux import needs_tmux

pytestmark = needs_tmux


@pytest.fixture
def batch() -> str:
    """A label that no other test's jobs have."""
    return f"batch={uuid.uuid4()}"


def test_shows_what_runs_and_stops_it(sit: Sitting, cli: Cli, batch: str) -> None:
    busy = cli.start(python("while True: print('x' * 999)"), "--label", batch, "--output-limit", "64M",
                     "--output-limit-action", "drop-oldest")  # fmt: skip
    terminal = sit("top", "--interval", "0.5", "--label", batch, columns=120)
    terminal.sees(busy[:8], "running", "OUTPUT/s", "1 running")
    terminal.sees("%", "M")
    terminal.type("s")
    terminal.sees(f"stop job {busy[:8]}? [y/n]")
    terminal.type("n")
    terminal.sees(without="[y/n]")  # what is typed before is not for the table
    terminal.type("s")
    terminal.sees("[y/n]")
    terminal.type("y")
    terminal.sees("0 running")
    assert cli("wait", busy, status=143).out == "stopped (signal: 15)"
    terminal.type("e")
    terminal.sees(busy[:8], "stopped (signal: 15)")
    terminal.type("q")
    terminal.ends(0)


def test_opens_the_log_and_comes_back(sit: Sitting, cli: Cli, tmp_path: Path, batch: str) -> None:
    gate = tmp_path / "gate"
    job = cli.start(sh(f"echo 'first \\033[31m'; while [ ! -e {gate} ]; do sleep 0.05; done; echo last; exit 3"),
                    "--label", batch)  # fmt: skip
    terminal = sit("top", "--label", batch, columns=100)
    terminal.sees(job[:8])
    terminal.type("Enter")
    terminal.sees(job, "first \\x1b[31m")
    gate.touch()
    terminal.sees("last", "-- exited (exit code: 3)")
    terminal.type("Escape")
    terminal.sees("0 running")
    terminal.type("q")
    terminal.ends(0)


def test_filters(sit: Sitting, cli: Cli, batch: str) -> None:
    jobs = [cli.start([*SLEEPER], "--label", batch, "--label", f"n={n}") for n in "ab"]
    terminal = sit("top", "--label", batch, columns=60)
    terminal.sees(*(job[:8] for job in jobs))
    terminal.type("/")
    terminal.sees("id, command, label, owner or state")
    terminal.type("n=b running")
    terminal.sees("n=b running", "1 shown", jobs[1][:8], without=jobs[0][:8])
    terminal.type("Enter")
    terminal.type("Escape")
    terminal.sees("2 shown")
    terminal.type("C-c")
    terminal.ends(0)
    cli("stop", *jobs)


def test_a_server_that_is_not_there(sit: Sitting) -> None:
    terminal = sit("--server", "localhost:1", "top")
    terminal.sees("error: no answer from localhost:1: is jobworker-server running?")
    terminal.ends(5)


def test_needs_a_terminal(cli: Cli) -> None:
    assert "it needs a terminal" in cli("top", status=2).err
