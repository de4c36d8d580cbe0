"""Guards promises 3 and 4: stop means the whole tree, and the end of a job is told as it was and in bounded time."""

from __future__ import annotations

import signal
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from conformance.jobs import SLEEPER, python, sh
from conformance.processes import PATIENCE_SECONDS, job_processes, wait_until
from harness.cli import Cli

# A daemon as they are made: forked twice, in a session of its own, its environment cleared, deaf to polite signals.
_DAEMON = """
import os, signal, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        if sys.argv[1:] != ["inner"]:
            os.execve(sys.executable, [sys.executable, "-I", "-S", "-c", sys.argv[1], "inner"], {})
    else:
        os._exit(0)
if sys.argv[1:] == ["inner"]:
    print(os.getpid(), flush=True)
time.sleep(1000)
"""

DEAF = sh("trap '' TERM; echo ready; while :; do sleep 0.1; done")


def is_there(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def read_first_line(cli: Cli, job_id: str) -> str:
    with cli.running("logs", job_id) as reader:
        assert reader.stdout
        return reader.stdout.readline().decode().strip()


def test_stop_ends_a_daemon_that_left_the_session_and_ignores_sigterm(cli: Cli) -> None:
    job_id = cli.start(python(_DAEMON, _DAEMON))
    daemon = int(read_first_line(cli, job_id))
    assert daemon not in job_processes(job_id), "its environment should be cleared"
    assert is_there(daemon)
    cli("stop", "--grace", 0.5, job_id)
    assert not is_there(daemon)
    assert not job_processes(job_id)
    assert cli("status", job_id).out == "stopped (signal: 15)"


def test_stop_reaches_children_and_grandchildren(cli: Cli) -> None:
    job_id = cli.start(sh("sleep 1000 & sh -c 'sleep 1000 & setsid sleep 1000 & wait' & wait"))
    wait_until(lambda: len(job_processes(job_id)) == 5, "the whole tree")
    cli("stop", job_id)
    assert not job_processes(job_id)


def test_the_grace_signal_goes_to_every_process(cli: Cli) -> None:
    script = "trap 'echo heard; exit' TERM; echo ready; while :; do sleep 0.1; done"
    job_id = cli.start(sh('setsid sh -c "$1" & wait', script))
    assert read_first_line(cli, job_id) == "ready"
    cli("stop", job_id)
    assert cli("logs", job_id).out == "ready\nheard"


def test_a_job_can_end_in_its_own_way_within_the_grace_period(cli: Cli) -> None:
    job_id = cli.start(sh("trap 'echo bye; exit 5' TERM; echo ready; while :; do sleep 0.1; done"))
    assert read_first_line(cli, job_id) == "ready"
    cli("stop", "--grace", PATIENCE_SECONDS / 2, job_id)
    assert cli("status", job_id).out == "stopped (exit code: 5)"
    assert cli("logs", job_id).out == "ready\nbye"
    assert "is not running" in cli("stop", job_id, status=1).err


@pytest.mark.parametrize("options", [["--force"], ["--grace", "0"], ["--grace", "0.2"]], ids=" ".join)
def test_what_does_not_heed_sigterm_is_killed(options: list[str], cli: Cli) -> None:
    job_id = cli.start(DEAF)
    assert read_first_line(cli, job_id) == "ready"
    cli("stop", *options, job_id)
    assert not job_processes(job_id)
    job = cli.json("status", job_id)
    assert (job["state"], job["exit_code"], job["signal"], job["reason"]) == ("stopped", None, 9, "stopped")


def test_a_grandchild_that_keeps_stdout_open_does_not_delay_the_end_for_ever(cli: Cli) -> None:
    result = cli("run", "--label", "case=open", *sh("sleep 1000 & echo $!; exit 4"), status=4)
    assert not is_there(int(result.out))
    (job,) = cli.json("list", "--label", "case=open")
    began, ended = (datetime.fromisoformat(job[key]) for key in ("started_at", "ended_at"))
    assert ended - began < timedelta(seconds=15)


def test_output_of_a_grandchild_after_the_exit_of_the_main_process_is_kept(cli: Cli) -> None:
    result = cli("run", *sh("(sleep 0.5; echo late) & echo early; exit 4"), status=4)
    assert result.out == "early\nlate"


@pytest.mark.parametrize(
    ("script", "status", "described"),
    [
        ("exit 0", 0, "exited (exit code: 0)"),
        ("exit 3", 3, "exited (exit code: 3)"),
        ("kill -KILL $$", 137, "exited (signal: 9)"),
        ("kill -TERM $$", 143, "exited (signal: 15)"),
    ],
)
def test_run_and_wait_exit_as_the_job_did(script: str, status: int, described: str, cli: Cli) -> None:
    cli("run", "--label", f"case={status}", *sh(script), status=status)
    (job,) = cli.json("list", "--label", f"case={status}")
    assert cli("wait", job["id"], status=status).out == described


def test_a_job_that_runs_too_long_is_stopped(cli: Cli) -> None:
    result = cli("run", "--timeout", "0.3", "--label", "case=timeout", "--", *SLEEPER, status=143)
    assert "timed out" in result.err
    (job,) = cli.json("list", "--label", "case=timeout")
    assert (job["state"], job["signal"], job["reason"]) == ("stopped", 15, "timed_out")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_run_stops_the_job(number: signal.Signals, cli: Cli) -> None:
    with cli.running("run", "--label", f"case={number.name}", *sh("echo ready; exec sleep 1000")) as run:
        assert run.stdout
        assert run.stdout.readline() == b"ready\n"
        run.send_signal(number)
        assert run.wait(PATIENCE_SECONDS) == 128 + signal.SIGTERM
    (job,) = cli.json("list", "--label", f"case={number.name}")
    assert (job["state"], job["signal"]) == ("stopped", 15)
    assert not job_processes(job["id"])


def test_a_second_ctrl_c_kills_the_job(cli: Cli) -> None:
    deaf = sh("trap 'echo heard' TERM; echo ready; while :; do sleep 0.1; done")
    with cli.running("run", *deaf) as run:
        assert run.stdout
        assert run.stdout.readline() == b"ready\n"
        run.send_signal(signal.SIGINT)
        assert run.stdout.readline() == b"heard\n"
        run.send_signal(signal.SIGINT)
        assert run.wait(PATIENCE_SECONDS) == 128 + signal.SIGKILL


def test_a_signal_reaches_the_main_process(cli: Cli) -> None:
    job_id = cli.start(sh("trap 'echo reloaded; exit 6' HUP; echo ready; while :; do sleep 0.1; done"))
    assert read_first_line(cli, job_id) == "ready"
    cli("signal", job_id, "HUP")
    cli("wait", job_id, status=6)
    assert cli("logs", job_id).out == "ready\nreloaded"
    assert "is not running" in cli("signal", job_id, "SIGHUP", status=1).err
