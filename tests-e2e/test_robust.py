"""The command line where the world around it is not as it should be."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from conformance.jobs import SLEEPER, python, sh
from conformance.processes import PATIENCE_SECONDS, wait_until
from harness.cli import Cli
from harness.memory import PeakMemory
from harness.sitting import Sitting
from harness.tmux import needs_tmux

NO_UTF_8 = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["--version"], ["completion", "zsh"], ["list"]])
def test_a_full_disk_is_told_in_a_line(cli: Cli, arguments: list[str]) -> None:
    with Path("/dev/full").open("wb") as full, cli.running(*arguments, stdout=full) as process:
        _, stderr = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 1
    assert stderr.startswith(b"error: ")
    assert stderr.endswith(b"can't be written to: No space left on device\n") or b"can't be written: No space" in stderr
    assert stderr.count(b"\n") == 1


@pytest.mark.parametrize("arguments", [["list"], ["list", "-o", "json"], ["list", "--watch"], ["events", "-o", "json"]])
def test_who_reads_may_go(cli: Cli, arguments: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    with cli.running(*arguments, stdout=write) as process:
        os.close(write)
        _, stderr = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, stderr) == (141, b"")


def test_a_locale_without_utf_8(cli: Cli) -> None:
    """What it lacks is written as escapes; a job's own bytes are not touched."""
    job = cli.start(["printf", "été\\n"], "--label", "ville=Orléans")
    cli("wait", job)

    def run(*arguments: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            cli.command(*arguments), env=cli.environment() | NO_UTF_8, capture_output=True, check=True,
            timeout=PATIENCE_SECONDS,
        )  # fmt: skip

    listed = run("list", "-o", "wide", "--label", "ville=Orléans").stdout
    assert b"ville=Orl\\xe9ans" in listed
    assert listed.isascii()
    assert run("logs", job).stdout == "été\n".encode()
    assert run("--help").stdout.isascii()
    assert b"Orl" in run("status", "-o", "yaml", job).stdout


@needs_tmux
def test_a_terminal_that_is_closed_ends_what_runs_on_it(sit: Sitting, cli: Cli) -> None:
    job = cli.start(SLEEPER)
    for arguments in (["logs", job], ["list", "--watch"], ["top"]):
        terminal = sit(*arguments)
        if arguments != ["logs", job]:
            terminal.sees(job[:8])
        wait_until(lambda: bool(terminal.pids("jobworker_cli")))  # noqa: B023  called at once
        (pid,) = terminal.pids("jobworker_cli")
        terminal.close()
        wait_until(lambda: not Path(f"/proc/{pid}").exists(), f"the end of {arguments}")  # noqa: B023  the same
    assert cli("status", job).out == "running"
    cli("stop", job)


@pytest.mark.parametrize("options", [["--timestamps"], ["--json"]])
def test_the_memory_for_a_long_line_stays_flat(cli: Cli, options: list[str]) -> None:
    job = cli.start(python("import sys; [sys.stdout.write('x' * 1_000_000) for _ in range(100)]"))
    cli("wait", job)
    with cli.running("logs", *options, job, stdout=subprocess.DEVNULL) as process, PeakMemory(process.pid) as peak:
        assert process.wait(PATIENCE_SECONDS) == 0
    assert peak.bytes < 150 << 20


def test_ctrl_c_in_a_pipe_is_quiet(cli: Cli) -> None:

    job = cli.start(sh("echo ready; exec sleep 1000"))
    with cli.running("logs", job) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, stderr.strip()) in ((130, b""), (130, b"Aborted."), (1, b"Aborted!"))
    cli("stop", job)


def test_a_job_that_succeeds_while_its_output_is_lost(cli: Cli) -> None:
    job = sh("trap 'exit 0' TERM; echo lost; while :; do sleep 0.1; done")
    with Path("/dev/full").open("wb") as full, cli.running("run", "--", *job, stdout=full) as process:
        _, stderr = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 125
    assert stderr == b"error: the standard output can't be written to: No space left on device; the job is stopped\n"
