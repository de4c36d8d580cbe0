"""What the command line shows on real terminals: questions, tables that change, colours, progress."""

from __future__ import annotations

import re
import signal
import uuid
from pathlib import Path

import pytest

from conformance.jobs import SLEEPER, sh
from conformance.processes import wait_until
from harness.cli import Cli
from harness.server import Server
from harness.sitting import Sitting
from harness.tmux import needs_tmux

pytestmark = needs_tmux

RED = "\x1b[31m"


@pytest.fixture
def batch() -> str:
    """A label that no other test's jobs have."""
    return f"batch={uuid.uuid4()}"


def test_stop_by_label_asks(sit: Sitting, cli: Cli, batch: str) -> None:
    jobs = [cli.start(SLEEPER, "--label", batch) for _ in range(2)]
    terminal = sit("stop", "--label", batch)
    terminal.sees("stop these 2 jobs? [y/N]:", *(job[:8] for job in jobs))
    terminal.type("n", "Enter")
    terminal.sees("nothing was done")
    terminal.ends(1)
    assert {cli("status", job).out for job in jobs} == {"running"}
    terminal = sit("stop", "--label", batch)
    terminal.sees("[y/N]:")
    terminal.interrupts("exit:")
    terminal.ends(130)
    assert {cli("status", job).out for job in jobs} == {"running"}
    terminal = sit("stop", "--label", batch)
    terminal.sees("[y/N]:")
    terminal.type("y", "Enter")
    terminal.ends(0)
    assert {cli("status", job).out for job in jobs} == {"stopped (signal: 15)"}
    terminal = sit("rm", "--label", batch, "-y")
    terminal.ends(0)
    assert cli("list", "--label", batch, "-o", "id").out == ""


@pytest.mark.parametrize("columns", [40, 80])
def test_a_table_on_a_terminal_changes_with_the_jobs(sit: Sitting, cli: Cli, batch: str, columns: int) -> None:
    first = cli.start(SLEEPER, "--label", batch)
    terminal = sit("list", "--watch", "--label", batch, columns=columns)
    terminal.sees(first[:8], "running")
    second = cli.start(SLEEPER, "--label", batch)
    terminal.sees(second[:8])
    cli("stop", first)
    screen = terminal.sees("stopped")
    lines = [line for line in screen.splitlines() if line]
    assert [line.split()[0] for line in lines] == ["ID", second[:8], first[:8]], screen
    assert all(len(line) <= columns for line in lines)
    terminal.type("C-c")
    terminal.ends(130)
    cli("stop", second)


def test_changes_in_a_pipe_are_lines(cli: Cli, batch: str) -> None:
    job = cli.start(SLEEPER, "--label", batch)
    with cli.running("list", "--watch", "--label", batch) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(b"ID ")
        assert process.stdout.readline().split()[:2] == [job.encode(), b"running"]
        cli("stop", job)
        assert process.stdout.readline().split()[:3] == [job.encode(), b"stopped", b"(signal:"]


def test_stderr_is_red_on_a_terminal(sit: Sitting, cli: Cli) -> None:
    job = cli.start(sh("echo fine; echo wrong >&2"))
    terminal = sit("logs", job)
    terminal.ends(0)
    screen = terminal.screen(colours=True)
    assert f"{RED}wrong" in screen
    assert f"{RED}fine" not in screen
    plain = sit("logs", job, NO_COLOR="1")
    plain.ends(0)
    assert RED not in plain.screen(colours=True)
    assert cli("logs", job).stderr == b"wrong\n"


def test_timestamps(sit: Sitting, cli: Cli) -> None:
    terminal = sit("logs", "--timestamps", cli.start(sh("echo one; echo two")))
    terminal.ends(0)
    assert re.search(r"^20\d\d-\d\d-\d\dT[\d:.]+Z one\n20\d\d-\S+Z two$", terminal.screen(), re.MULTILINE)


def test_many_jobs_from_a_file_show_how_far_they_are(sit: Sitting, cli: Cli, tmp_path: Path, batch: str) -> None:
    key, _, value = batch.partition("=")
    file = tmp_path / "jobs.yaml"
    file.write_text(f"defaults: {{label: {{{key}: {value}}}}}\njobs: [{', '.join(['{command: [true]}'] * 1000)}]\n")
    terminal = sit("start", "--file", file, "-o", "json")
    terminal.sees("started ", " of 1000")
    terminal.ends(0)
    assert "of 1000" not in terminal.screen()
    assert len(cli("list", "--label", batch, "-o", "id").out.splitlines()) == 1000


def test_ctrl_c_during_a_start_tells_that_there_is_a_job(sit: Sitting, cli: Cli, server: Server, batch: str) -> None:
    """The server is held, so that it has not answered when Ctrl-C is pressed."""
    server.send_signal(signal.SIGSTOP)
    try:
        terminal = sit("start", "--label", batch, *SLEEPER)
        wait_until(lambda: any(map(_is_waiting, terminal.pids("jobworker_cli"))))
        terminal.type("C-c")
        terminal.sees("waiting for the server to tell whether the job was started")
    finally:
        server.send_signal(signal.SIGCONT)
    screen = terminal.ends(130)
    (job,) = cli("list", "--label", batch, "-o", "id").out.splitlines()
    assert f"interrupted: job {job} was started and runs on" in screen.replace("\n", "")
    assert cli("status", job).out == "running"
    cli("stop", job)


def _is_waiting(pid: int) -> bool:
    """Whether the process has begun to talk to the server."""
    try:
        return any("socket:" in str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir())
    except FileNotFoundError:  # it has closed one meanwhile
        return False
