"""What all of the commands have in common: output that can't be written, and Ctrl-C while they are loaded."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from conformance.processes import PATIENCE_SECONDS

INTERRUPTED = """
import os, signal, sys

class Interrupts:
    def find_spec(self, name, *_):
        if name == os.environ["WHEN"]:
            os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)
sys.meta_path.insert(0, Interrupts())
from jobworker_{}.__main__ import main
if os.environ["WHEN"] == "made":
    import typer.main

    typer.main.get_command = lambda app: os.kill(os.getpid(), signal.SIGINT)
main()
"""


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("pki", ["issue", "--role", "user"]),
        ("pki", ["list", "--help"]),
        ("server", ["--help"]),
        ("server", ["doctor"]),
        ("server", ["policy", "explain"]),
    ],
)
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_disk_is_told_in_a_line(tmp_path: Path, command: str, arguments: list[str], unbuffered: str) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", f"jobworker_{command}", *arguments],
            cwd=tmp_path, env=os.environ | {"PYTHONUNBUFFERED": unbuffered}, stdout=full,
            stderr=subprocess.PIPE, text=True, timeout=PATIENCE_SECONDS, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    told = f"jobworker-{command}: the output can't be written: No space left on device\n"
    assert done.stderr.endswith(told)
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["cli", "pki"])
@pytest.mark.parametrize("arguments", [["--help"], ["list", "--help"], ["--version"]])
def test_whoever_reads_the_output_may_have_gone(command: str, arguments: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "wb") as nobody:
        done = subprocess.run(
            [sys.executable, "-m", f"jobworker_{command}", *arguments],
            stdout=nobody, stderr=subprocess.PIPE, text=True, timeout=PATIENCE_SECONDS, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")


@pytest.mark.parametrize(
    ("command", "arguments"), [("cli", ["--help"]), ("cli", ["--version"]), ("pki", ["--help"]), ("pki", ["list"])]
)
def test_a_standard_output_that_is_closed_is_no_success(tmp_path: Path, command: str, arguments: list[str]) -> None:
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-m", f"jobworker_{command}", *arguments],
        cwd=tmp_path, stderr=subprocess.PIPE, text=True, timeout=PATIENCE_SECONDS, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.endswith("can't be written: Bad file descriptor\n") or "written to: Bad file" in done.stderr


@pytest.mark.parametrize("command", ["cli", "pki", "server"])
def test_ctrl_c_while_a_command_is_loaded(command: str) -> None:
    done = interrupted(command, "typer")
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


@pytest.mark.parametrize("command", ["cli", "pki", "server"])
def test_ctrl_c_while_a_command_is_made(command: str) -> None:
    done = interrupted(command, "made")
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def interrupted(command: str, when: str) -> subprocess.CompletedProcess[str]:
    """The end of a command that gets SIGINT when it imports typer, or when typer makes its commands."""
    return subprocess.run(
        [sys.executable, "-c", INTERRUPTED.format(command), "--help"], env=os.environ | {"WHEN": when},
        capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False,
    )  # fmt: skip
