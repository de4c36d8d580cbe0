"""Jobs in real terminals: the command line in tmux, and what stands behind it."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

from conformance.processes import job_processes, wait_until
from harness.certs import Certs
from harness.cli import Cli
from harness.relay import Relay
from harness.server import Server
from harness.sitting import PROMPT, SHELL, Sitting
from harness.tmux import Tmux, needs_tmux

pytestmark = needs_tmux


@pytest.fixture
def sit_at_own(tmux: Tmux, own_cli: Cli) -> Sitting:
    return Sitting(tmux, own_cli)


def running_job(cli: Cli) -> str:
    """The newest job's id."""
    return str(cli.json("list")[0]["id"])


def test_a_shell_is_as_if_it_ran_here(sit: Sitting) -> None:
    terminal = sit.shell(columns=91, rows=27)
    terminal.type("stty size; echo $TERM; tty | tr a-z A-Z", "Enter")
    terminal.sees("27 91", "screen-256color", "/DEV/PTS/")
    terminal.type("read -n 1 -p 'a k''ey: '", "Enter")  # which is not seen before bash reads
    terminal.sees("a key:")
    terminal.type("x")
    terminal.sees("a key: xjob>")
    terminal.type("exit 7", "Enter")
    terminal.ends(7)


def in_foreground(pid: int) -> bool:
    """Whether it is a Python that its terminal's keys are for, and that goes on."""
    try:
        name, _, rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
    except OSError:  # it is gone
        return False
    state, _, group, _, _, foreground_group = rest.split()[:6]
    return "(python3" in name and state != "T" and group == foreground_group


def test_the_shells_job_control_works_by_keys(sit: Sitting, cli: Cli) -> None:
    terminal = sit.shell()
    terminal.type("""python3 -c 'print(6 * 7); import time; time.sleep(1000)'""", "Enter")
    terminal.sees("\n42\n")
    terminal.type("C-z")
    terminal.sees("Stopped")
    terminal.type("fg", "Enter")
    wait_until(lambda: any(map(in_foreground, job_processes(running_job(cli)))), "Python in the foreground")
    terminal.interrupts("KeyboardInterrupt")
    terminal.type("echo rea''dy; cat", "Enter")
    terminal.sees("\nready\n")
    terminal.type("echoed", "Enter")
    terminal.sees("echoed\nechoed\n")
    terminal.type("C-d")
    terminal.sees("echoed\nechoed\njob>")
    terminal.type("C-d")
    terminal.ends(0)


def test_a_size_that_changes_is_followed(sit: Sitting) -> None:
    terminal = sit.shell()
    terminal.type("trap 'stty size' WINCH; echo se''t", "Enter")
    terminal.sees("\nset\njob>")
    terminal.resize(100, 30)
    terminal.sees("30 100")
    terminal.type("echo re''ady", "Enter")
    terminal.sees("\nready\njob>")  # a change of the size within the trap would be lost to bash
    terminal.resize(70, 20)
    terminal.sees("20 70")
    terminal.type("exit", "Enter")
    terminal.ends(0)


def test_python_is_interactive(sit: Sitting) -> None:
    terminal = sit("run", "-it", "python3", "-iq")
    terminal.sees(">>>")
    terminal.type("print(6 * 7)", "Enter")
    terminal.sees("\n42\n")
    terminal.type("import time; time.sleep(1000)", "Enter")
    terminal.sees("sleep(1000)\n")
    terminal.interrupts("KeyboardInterrupt")
    terminal.type("print(7 * 7)", "Enter")
    terminal.sees("\n49\n>>>")  # before that, Ctrl-D is not the end for who reads in raw mode next
    terminal.type("C-d")
    terminal.ends(0)


@pytest.mark.parametrize("program", ["less", "vim"])
def test_a_program_that_fills_the_screen_is_left_and_joined(
    sit: Sitting, cli: Cli, program: str, tmp_path: Path
) -> None:
    require(program)
    text = tmp_path / "text"
    text.write_text("".join(f"line {number}\n" for number in range(1, 1001)))
    command = ["less", "text"] if program == "less" else ["vim", "-u", "NONE", "-n", "text"]
    terminal = sit("run", "--tty", "--cwd", tmp_path, *command)
    terminal.sees("line 1\n", "line 23\n")
    terminal.type("G")
    terminal.sees("line 999\n", "line 1000\n")
    terminal.type("C-p", "C-q")
    assert "attach" in terminal.ends(0)
    other = sit("attach", running_job(cli), columns=60, rows=12)
    screen = other.sees("line 978\n", "line 988\n") if program == "less" else other.sees("line 1000\n")
    assert "line 977\n" not in screen
    other.type(*(["q"] if program == "less" else [":q", "Enter"]))
    other.ends(0)


def test_a_full_screen_is_drawn_anew_for_who_joins_with_the_same_size(sit: Sitting, cli: Cli, tmp_path: Path) -> None:
    require("less")
    text = tmp_path / "text"
    text.write_text("".join(f"line {number}\n" for number in range(1, 1001)))
    terminal = sit("run", "--tty", "less", str(text))
    terminal.sees("line 1\n", "line 23\n")
    for _ in range(3):  # much output that is no screen of its own, and less is idle after it
        terminal.type("G")
        terminal.sees("line 999\n", "line 1000\n")
        terminal.type("g")
        terminal.sees("line 1\n", "line 23\n")
    other = sit("attach", running_job(cli))
    other.sees("line 1\n", "line 23\n")
    other.type("q")
    other.ends(0)
    terminal.ends(0)


def test_what_was_left_goes_on_and_is_joined_from_elsewhere(sit: Sitting, cli: Cli) -> None:
    terminal = sit.shell()
    job_id = running_job(cli)
    terminal.type("secret=42", "Enter", "C-p", "C-q")
    assert f"attach {job_id}" in terminal.ends(0).replace("\n", "")
    assert cli("status", job_id).out == "running"
    other = sit("attach", job_id)
    other.sees("job> secret=42")  # the last screenful
    other.type("echo it is $secret", "Enter")
    other.sees("it is 42")
    other.type("exit 3", "Enter")
    other.ends(3)


def test_two_may_be_attached_at_once(sit: Sitting, cli: Cli) -> None:
    one = sit.shell()
    job_id = running_job(cli)
    other = sit("attach", job_id)
    other.type("echo from the $((1 + 1))nd", "Enter")
    for terminal in (one, other):
        terminal.sees("from the 2nd")
    one.type("echo from the $((2 - 1))st", "Enter")
    for terminal in (one, other):
        terminal.sees("from the 1st")
    other.type("exit 5", "Enter")
    for terminal in (one, other):
        terminal.ends(5)


def test_ctrl_p_alone_is_for_the_job(sit: Sitting) -> None:
    terminal = sit.shell()
    terminal.type("echo $((20 + 1))", "Enter")
    terminal.sees("\n21\njob>")
    terminal.type("C-p")
    terminal.sees("21\njob> echo $((20 + 1))")
    terminal.type("C-u", "exit", "Enter")
    terminal.ends(0)


def test_a_server_that_is_killed_leaves_the_job_and_its_input(
    sit_at_own: Sitting, own_cli: Cli, own_server: Server
) -> None:
    terminal = sit_at_own("--reconnect", 0, "run", "--tty", *PROMPT, *SHELL)
    terminal.sees("job>")
    job_id = running_job(own_cli)
    terminal.type("kept=42", "Enter")
    terminal.sees("job> kept=42\njob>")  # it has come so far
    own_server.kill()
    screen = terminal.ends(125).replace("\n", "")
    assert "error: the connection was lost" in screen
    assert f"attach {job_id}" in screen
    own_server.start()
    assert own_cli("status", job_id).out == "running"
    again = sit_at_own("attach", job_id)
    again.sees("job> kept=42")
    again.type("echo it is $kept", "Enter")
    again.sees("it is 42")
    again.type("exit", "Enter")
    again.ends(0)


def test_a_lost_connection_is_made_again_and_keys_arrive(
    tmux: Tmux, far_cli: Cli, own_server: Server, relay: Relay
) -> None:
    terminal = Sitting(tmux, far_cli).shell()
    terminal.type("kept=42", "Enter")
    terminal.sees("job> kept=42\njob>")
    own_server.kill()
    terminal.sees("was lost; trying again")
    own_server.start()
    relay.to(own_server.address)
    terminal.sees("what was typed just before may not have reached the job")
    terminal.type("echo it is $kept", "Enter")
    terminal.sees("it is 42")
    terminal.type("exit 5", "Enter")
    terminal.ends(5)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_attach_that_is_killed_leaves_terminal_and_job_in_order(sit: Sitting, cli: Cli, number: signal.Signals) -> None:
    job_id = cli.start(SHELL, "--tty", *PROMPT)
    terminal = sit("attach", job_id)
    terminal.type("Enter")
    terminal.sees("job>")
    (pid,) = terminal.pids("jobworker_cli")
    os.kill(pid, number)
    terminal.ends(128 + number)
    assert cli("status", job_id).out == "running"
    cli("stop", job_id)


def test_run_that_is_terminated_stops_the_job(sit: Sitting, cli: Cli) -> None:
    terminal = sit.shell()
    job_id = running_job(cli)
    (pid,) = terminal.pids("jobworker_cli")
    os.kill(pid, signal.SIGTERM)
    terminal.ends(128 + signal.SIGHUP)
    assert cli("status", job_id).out == "stopped (signal: 1)"


def test_a_command_that_is_suspended_gives_the_terminal_back_and_takes_it_again(tmux: Tmux, cli: Cli) -> None:
    job_id = cli.start(SHELL, "--tty", *PROMPT)
    attach = " ".join(Cli.command("attach", job_id))
    terminal = tmux.open(["bash", "--norc", "-i"], cli.environment() | {"PS1": "here> ", "HISTFILE": "/dev/null"})
    terminal.sees("here>")
    terminal.type(attach, "Enter")
    terminal.sees("\njob>")
    (pid,) = terminal.pids("jobworker_cli")
    os.kill(pid, signal.SIGTSTP)
    terminal.sees("Stopped")
    terminal.type("stty -a | grep -o ' icanon'", "Enter")
    terminal.sees("\n icanon")
    terminal.type("clear; fg", "Enter", "echo $((6 * 7))", "Enter")
    terminal.sees("\n42\n")
    terminal.type("exit 6", "Enter")
    terminal.sees("here>")
    terminal.type("exit $?", "Enter")
    terminal.ends(6)


def test_who_may_only_read_watches_and_does_not_type(sit: Sitting, cli: Cli, certs: Certs) -> None:
    job_id = cli.start(SHELL, "--tty", *PROMPT)
    readonly = certs.client("readonly", "ann")
    refused = sit("attach", job_id, client=readonly)
    assert "does not allow to write to jobs" in refused.ends(4).replace("\n", " ")
    watcher = sit("attach", "--no-stdin", job_id, client=readonly)
    typist = sit("attach", job_id)
    typist.type("echo $((6 * 7))", "Enter")
    for terminal in (watcher, typist):
        terminal.sees("\n42\n")
    watcher.type("echo $((7 * 7))", "Enter")
    typist.type("exit 4", "Enter")
    typist.ends(4)
    watcher.ends(4)
    assert "\n49\n" not in cli("logs", job_id).stdout.decode().replace("\r", "")


def test_a_user_can_not_join_the_job_of_another(cli: Cli, certs: Certs) -> None:
    job_id = cli.start(SHELL, "--tty")
    cli("attach", "--no-stdin", job_id, client=certs.client("user", "ann"), status=3)
    cli("attach", job_id, client=certs.client("user", "ann"), status=3)
    cli("stop", job_id)


def require(program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
