"""What is generated from the command line is as it would be generated now; every help text and table is held here."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer

from cli_samples import CREATED, JOB
from jobworker_cli import main, table, usage_table
from jobworker_cli.command_table import COMMANDS
from jobworker_cli.fence import Sample, Usage
from jobworker_cli.models import JobState, Reason

PACKAGE = Path(__file__).parents[1]
SNAPSHOTS = Path(__file__).parent / "snapshots"


def test_pages_and_manuals_are_as_generated() -> None:
    command = [sys.executable, str(PACKAGE / "generate_docs.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_each_command_says_what_the_table_says_of_it() -> None:
    root: Any = typer.main.get_command(main.app)
    for name, entry in COMMANDS.items():
        command = root.get_command(typer.Context(root), name)
        assert command.help.partition("\n")[0] == entry.summary, name


def holds(name: str, text: str) -> None:
    """Compare with what is kept; with JOBWORKER_UPDATE_SNAPSHOTS set, keep it."""
    file = SNAPSHOTS / f"{name}.txt"
    if os.environ.get("JOBWORKER_UPDATE_SNAPSHOTS"):
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    assert text == file.read_text()


def commands() -> Iterator[tuple[str, Any]]:
    root: Any = typer.main.get_command(main.app)
    yield "jobworker-cli", root
    for name in COMMANDS:
        command = root.get_command(typer.Context(root), name)
        yield f"jobworker-cli {name}", command
        for below in getattr(command, "commands", {}):
            yield f"jobworker-cli {name} {below}", command.commands[below]


@pytest.mark.parametrize("columns", [40, 80])
def test_help(columns: int) -> None:
    texts = []
    for name, command in commands():
        context = typer.Context(command, info_name=name, terminal_width=columns, help_option_names=["-h", "--help"])
        text = command.get_help(context)
        assert all(len(line) <= columns for line in text.splitlines() if line.startswith(" " * 12))  # no example
        texts.append(f"$ {name} --help\n{text}\n")
    holds(f"help-{columns}", "\n".join(texts))


JOBS = [
    replace(JOB, argv=("sh", "-c", "make -j4 all && make test && make install"), owner="ann", labels={"team": "a"}),
    replace(
        JOB, id="77aa0000-0000-4000-8000-000000000000", state=JobState.EXITED, exit_code=3, reason=Reason.EXITED,
        owner="somebody-with-a-long-name", argv=("printf", "日本\n\x1b[2J"), started_at=CREATED,
        ended_at=CREATED + timedelta(seconds=9), output_bytes=123456,
    ),
    replace(
        JOB, id="3f2a91c1-0000-4000-8000-000000000000", state=JobState.STOPPED, signal=9, reason=Reason.OUT_OF_MEMORY,
        argv=("true",),
    ),
]  # fmt: skip


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_table(columns: int) -> None:
    lines = list(table.for_terminal(JOBS, columns, CREATED + timedelta(minutes=90)))
    assert all(len(line) <= columns for line in lines)
    holds(f"table-{columns}", "\n".join(lines) + "\n")


def test_table_for_a_pipe_and_wide_table() -> None:
    holds("table-pipe", "\n".join(table.for_pipe(JOBS)) + "\n")
    holds("table-wide", "\n".join(table.wide(JOBS)) + "\n")


@pytest.mark.parametrize("columns", [40, 60, 80])
def test_table_of_usage(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("TZ", "UTC")
    before = Sample(CREATED, Usage(cpu_user=1.0, cpu_system=0.5, memory_bytes=1 << 20, pids=3))
    usage = Usage(cpu_user=1.5, cpu_system=0.75, memory_bytes=3 << 29, io_read_bytes=999, io_write_bytes=1 << 45)
    titles = usage_table.fitting(columns)
    rows = [
        usage_table.header(titles),
        usage_table.row(before, None, titles),
        usage_table.row(Sample(CREATED + timedelta(seconds=1), usage), before, titles),
        usage_table.row(Sample(CREATED + timedelta(seconds=2), None), before, titles),
    ]
    assert all(len(line) <= columns for line in rows)
    holds(f"usage-{columns}", "\n".join(rows) + "\n")


def test_columns_of_usage_are_left_out_one_by_one() -> None:
    fitting = [usage_table.fitting(columns) for columns in range(120)]
    assert fitting[0] == ("CPU",)
    assert all(set(narrow) <= set(wide) for narrow, wide in pairwise(fitting))
    assert fitting[len(usage_table.header()) - 1] != fitting[len(usage_table.header())] == usage_table.ALL
