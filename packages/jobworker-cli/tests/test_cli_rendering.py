"""Text that can't take over a terminal, tables that fit, JSON that scripts rely on."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli_samples import CREATED, JOB
from jobworker_cli.fence import IoLimit, Isolation, Limits, Usage
from jobworker_cli.models import Attempt, Chunk, Gap, JobState, OutputLimit, OutputLimitAction, Reason, Stream
from jobworker_cli.render import chunk_lines, job_json, jobs_json
from jobworker_cli.table import for_pipe, for_terminal
from jobworker_cli.text import command_line, escape, truncate, width


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("plain", "plain"),
        ("naïve 日本", "naïve 日本"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("a\nb\tc\rd", "a\\nb\\tc\\rd"),
        ("\x7f\x9b", "\\x7f\\x9b"),
        ("\u202eevil", "\\u202eevil"),
        ("\u2028", "\\u2028"),
        ("\U000e0001", "\\U000e0001"),
        ("\udcff", "\\udcff"),
    ],
)
def test_escape(text: str, escaped: str) -> None:
    assert escape(text) == escaped


@given(st.text())
def test_escaped_text_is_one_line_that_can_be_encoded(text: str) -> None:
    assert len(escape(text).splitlines()) <= 1
    assert not any(ord(character) < 32 or 127 <= ord(character) < 160 for character in escape(text))
    escape(text).encode()


@given(st.text().map(escape), st.integers(1, 40))
def test_truncated_text_fits(text: str, cells: int) -> None:
    assert width(truncate(text, cells)) <= cells


def test_command_line_is_quoted_as_for_a_shell() -> None:
    assert command_line(["sh", "-c", "echo 'a b'; \x07"]) == """sh -c 'echo '"'"'a b'"'"'; \\x07'"""


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "running"),
        ({"state": JobState.EXITED, "exit_code": 3, "reason": Reason.EXITED}, "exited (exit code: 3)"),
        ({"state": JobState.STOPPED, "signal": 15, "reason": Reason.STOPPED}, "stopped (signal: 15)"),
        ({"state": JobState.STOPPED, "signal": 9, "reason": Reason.TIMED_OUT}, "stopped (signal: 9, timed out)"),
        ({"state": JobState.EXITED, "signal": 9, "reason": Reason.OUT_OF_MEMORY}, "exited (signal: 9, out of memory)"),
        ({"state": JobState.LOST, "reason": Reason.LOST}, "lost"),
        (
            {"state": JobState.FAILED, "reason": Reason.FAILED_TO_START, "error": "command not found: x"},
            "failed (command not found: x)",
        ),
    ],
)
def test_status_text(changes: dict[str, Any], text: str) -> None:
    assert replace(JOB, **changes).describe() == text


def test_job_json_has_the_stable_keys() -> None:
    ended = replace(
        JOB,
        state=JobState.STOPPED,
        signal=15,
        reason=Reason.TIMED_OUT,
        started_at=CREATED,
        ended_at=CREATED + timedelta(seconds=1),
        labels={"team": "a"},
        limits=Limits(memory_bytes=1 << 26, io=(IoLimit(read_bytes_per_second=1),)),
        usage=Usage(cpu_user=0.5, memory_peak_bytes=7),
        isolation=Isolation(pid=True, landlock=True),
        user="ann",
        groups=("video",),
        out_of_memory_process="python3 (77)",
        no_new_privileges=True,
        output_bytes=12,
        output_dropped_bytes=5,
        output_limit=OutputLimit(65536, OutputLimitAction.DROP_OLDEST),
        attempts=(Attempt(number=1, started_at=CREATED, signal=15, output_offset=7),),
    )
    expected: list[tuple[str, object]] = [
        ("id", JOB.id),
        ("command", ["sh", "-c", "echo hi"]),
        ("owner", "ann"),
        ("state", "stopped"),
        ("exit_code", None),
        ("signal", 15),
        ("reason", "timed_out"),
        ("created_at", "2026-01-02T03:04:05.678901Z"),
        ("started_at", "2026-01-02T03:04:05.678901Z"),
        ("ended_at", "2026-01-02T03:04:06.678901Z"),
        ("labels", {"team": "a"}),
        ("limits", {"memory_bytes": 1 << 26, "io": [{"read_bytes_per_second": 1}]}),
        (
            "usage",
            {
                "cpu_user": 0.5,
                "cpu_system": None,
                "cpu_throttled": None,
                "memory_bytes": None,
                "memory_peak_bytes": 7,
                "io_read_bytes": None,
                "io_write_bytes": None,
                "pids": None,
                "pids_peak": None,
                "cpu_pressure": None,
                "memory_pressure": None,
                "io_pressure": None,
            },
        ),
        ("timeout", None),
        ("stdin", False),
        ("tty", False),
        ("priority", 0),
        ("output_bytes", 12),
        ("output_dropped_bytes", 5),
        ("output_limit", {"bytes": 65536, "action": "drop_oldest"}),
        (
            "attempts",
            [
                {
                    "number": 1,
                    "started_at": "2026-01-02T03:04:05.678901Z",
                    "ended_at": None,
                    "exit_code": None,
                    "signal": 15,
                    "output_offset": 7,
                    "error": None,
                }
            ],
        ),
        (
            "isolation",
            {
                "pid": True,
                "ipc": False,
                "uts": False,
                "network": "host",
                "read_only": False,
                "writable": [],
                "private_tmp": False,
                "private_devices": False,
                "hidden": [],
                "no_new_privileges": False,
                "drop_capabilities": False,
                "kept_capabilities": [],
                "seccomp": False,
                "landlock": True,
            },
        ),
        ("user", "ann"),
        ("groups", ["video"]),
        ("out_of_memory_process", "python3 (77)"),
        ("no_new_privileges", True),
    ]
    assert list(json.loads(job_json(ended)).items()) == expected
    running = json.loads(jobs_json([JOB]))[0]
    assert (running["reason"], running["started_at"], running["limits"]) == (None, None, {})
    assert (running["usage"], running["isolation"], running["user"], running["groups"]) == (None, None, None, [])


def test_chunk_json() -> None:
    chunk = Chunk("hé\x1b\n".encode(), Stream.STDERR, 7, CREATED)
    (line,) = chunk_lines([chunk])
    assert line.isascii()
    assert "\n" not in line
    expected = {"log": "hé\x1b\n", "stream": "stderr", "time": "2026-01-02T03:04:05.678901Z", "offset": 7}
    assert json.loads(line) == expected
    broken = json.loads(next(chunk_lines([replace(chunk, data=b"\xff\x00")])))
    assert broken["log_base64"] == "/wA="
    assert "log" not in broken


def test_a_gap_is_a_line_before_its_chunk() -> None:
    first, second = Chunk(b"a", Stream.STDOUT, 0, CREATED), Chunk(b"b", Stream.STDOUT, 9, CREATED, Gap(1, 9))
    alone = Chunk(b"", Stream.STDOUT, 20, CREATED, Gap(10, 20))
    lines = [json.loads(line) for line in chunk_lines([first, second, alone])]
    assert lines[1] == {"gap": {"begin": 1, "end": 9}}
    assert [line.get("offset") for line in lines] == [0, None, 9, None]
    assert lines[3] == {"gap": {"begin": 10, "end": 20}}


def test_table_for_a_terminal_fits() -> None:
    jobs = [replace(JOB, argv=("echo", "x" * 200)), replace(JOB, id="4" + JOB.id[1:], argv=("ls", "\x1b[2J"))]
    lines = list(for_terminal(jobs, 60, CREATED + timedelta(minutes=3)))
    assert lines == [
        "ID        STATUS   OWNER  AGE  COMMAND",
        "3f2a91c0  running  ann    3m   echo xxxxxxxxxxxxxxxxxxxxxxx…",
        "4f2a91c0  running  ann    3m   ls '\\x1b[2J'",
    ]


@pytest.mark.parametrize("cut_mark", ["…", "~"])
def test_table_for_a_narrow_terminal_fits(cut_mark: str) -> None:
    jobs = [
        replace(JOB, owner="full"),
        replace(
            JOB, owner="full", state=JobState.EXITED, exit_code=3, reason=Reason.EXITED, argv=("make", "everything")
        ),
    ]
    lines = list(for_terminal(jobs, 40, CREATED + timedelta(minutes=3), cut_mark=cut_mark))
    assert [width(line) <= 40 for line in lines] == [True] * 3
    assert lines[2].split() == ["3f2a91c0", "exited", cut_mark, "full", "3m", "make", f"ev{cut_mark}"]


def test_short_ids_stay_apart() -> None:
    jobs = [JOB, replace(JOB, id="3f2a91c0-0001" + JOB.id[13:])]
    ids = [line.split()[0] for line in for_terminal(jobs, 80, CREATED)][1:]
    assert ids == ["3f2a91c0-0000", "3f2a91c0-0001"]


def test_table_for_a_pipe_is_whole() -> None:
    lines = list(for_pipe([replace(JOB, owner="日本", argv=("echo", "x" * 200))]))
    assert lines[0] == f"{'ID':<36}  STATUS   OWNER  {'CREATED':<27}  COMMAND"
    assert lines[1] == f"{JOB.id}  running  日本   2026-01-02T03:04:05.678901Z  echo {'x' * 200}"


def test_empty_tables_have_their_heads() -> None:
    assert list(for_pipe([])) == ["ID  STATUS  OWNER  CREATED  COMMAND"]
