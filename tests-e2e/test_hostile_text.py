"""What others have named, in every form in which the command line shows it: never does it take over a terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess

import pytest

from conformance.processes import PATIENCE_SECONDS
from harness.cli import Cli

EVIL = [
    "\x1b[2J\x1b]0;owned\x07", "\x9b31m", "\r\nforged  running", "\N{RIGHT-TO-LEFT OVERRIDE}txt.exe",
    "\N{LINE SEPARATOR}x", "\x08\x08\x08", "\x7f", "\N{ZERO WIDTH SPACE}",
]  # fmt: skip
RAW = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
OWN_SEQUENCES = re.compile("\x1b\\[[0-9;?]*[A-Za-z]|\x1b\\(B")
"""What the command line itself sends to a terminal: colours, places, and clearing."""
SHOWING = [
    ("status",), ("status", "-o", "json"), ("status", "-o", "yaml"), ("status", "-o", "wide"), ("wait",),
    ("wait", "-o", "json"), ("stats", "--no-follow"), ("stats", "--no-follow", "-o", "json"),
]  # fmt: skip
LISTING = [("list",), ("list", "-o", "json"), ("list", "-o", "yaml"), ("list", "-o", "wide"), ("list", "-o", "id")]


@pytest.fixture
def job_id(cli: Cli) -> str:
    """An ended job whose arguments and directory are evil, and labels as far as they may be."""
    found = cli.start(["sh", "-c", "exit 3", *EVIL], "--label", "note=\N{RIGHT-TO-LEFT OVERRIDE}x")
    cli("wait", found, status=3)
    return found


def plain(data: bytes) -> bool:
    """Whether it is lines of text and nothing else."""
    text = data.decode()
    return not RAW.search(text.replace("\r\n", "\n"))


@pytest.mark.parametrize("command", SHOWING, ids=" ".join)
def test_a_job_in_a_pipe(cli: Cli, job_id: str, command: tuple[str, ...]) -> None:
    result = cli(*command, job_id, status=3 if command[0] == "wait" else 0)
    assert plain(result.stdout)
    assert plain(result.stderr)


@pytest.mark.parametrize("command", LISTING, ids=" ".join)
def test_lists_in_a_pipe(cli: Cli, job_id: str, command: tuple[str, ...]) -> None:
    result = cli(*command)
    assert job_id.encode() in result.stdout
    assert plain(result.stdout)


def on_terminal(cli: Cli, *arguments: object) -> bytes:
    """What a command writes to a terminal that is its standard output and error."""
    leader, follower = pty.openpty()
    try:
        with subprocess.Popen(
            cli.command(*arguments), env=cli.environment(), stdin=follower, stdout=follower, stderr=follower
        ) as process:
            os.close(follower)
            written = b"".join(iter(lambda: _read(leader), b""))
            process.wait(PATIENCE_SECONDS)
        return written
    finally:
        os.close(leader)


def _read(leader: int) -> bytes:
    try:
        return os.read(leader, 65536)
    except OSError:  # the other side is closed
        return b""


@pytest.mark.parametrize("command", [("list",), ("list", "-o", "wide")], ids=" ".join)
def test_lists_on_a_terminal(cli: Cli, job_id: str, command: tuple[str, ...]) -> None:
    written = on_terminal(cli, *command)
    assert job_id[:8].encode() in written
    assert plain(OWN_SEQUENCES.sub("", written.decode()).encode())


@pytest.mark.parametrize("command", [("status",), ("status", "-o", "wide")], ids=" ".join)
def test_a_job_on_a_terminal(cli: Cli, job_id: str, command: tuple[str, ...]) -> None:
    assert plain(OWN_SEQUENCES.sub("", on_terminal(cli, *command, job_id).decode()).encode())


def test_events(cli: Cli) -> None:
    with cli.running("events", "-o", "json") as process:
        assert process.stdout is not None
        begin = process.stdout.readline()
        cli("start", "sh", "-c", "exit 3", *EVIL)
        lines = [process.stdout.readline() for _ in range(3)]
    assert all(map(plain, lines)), lines
    with cli.running("events", "--cursor", json.loads(begin)["cursor"]) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
    assert all(map(plain, lines)), lines


@pytest.mark.parametrize("name", EVIL)
def test_errors_that_name_what_was_asked_for(cli: Cli, name: str) -> None:
    for arguments in (("start", name), ("status", name), ("signal", "00000000-0000-4000-8000-000000000000", name)):
        result = subprocess.run(
            cli.command(*arguments), env=cli.environment(), capture_output=True, timeout=PATIENCE_SECONDS, check=False
        )
        assert result.returncode != 0
        assert plain(result.stdout)
        assert plain(result.stderr), result.stderr


def test_json_holds_it_all_unchanged(cli: Cli, job_id: str) -> None:
    assert json.loads(cli("status", "-o", "json", job_id).stdout)["command"][3:] == EVIL
