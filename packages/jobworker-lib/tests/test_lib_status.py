from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobworker_lib import IoLimit, Isolation, JobStatus, Limits, Reason, State, Usage
from jobworker_lib.job import status_json
from jobworker_lib.job.timestamps import utc_from_ns


def status(**fields: Any) -> JobStatus:
    return JobStatus(id="x", argv=("true",), cwd="/", owner="ann", created_ns=0, **fields)


@pytest.mark.parametrize(
    ("words", "fields"),
    [
        ("starting", {"state": State.STARTING}),
        ("running", {"state": State.RUNNING}),
        ("exited (exit code: 0)", {"state": State.EXITED, "reason": Reason.EXITED, "exit_code": 0}),
        ("exited (exit code: 3)", {"state": State.EXITED, "reason": Reason.EXITED, "exit_code": 3}),
        ("exited (signal: 11)", {"state": State.EXITED, "reason": Reason.EXITED, "signal": 11}),
        ("exited (signal: 9, out of memory)", {"state": State.EXITED, "reason": Reason.OUT_OF_MEMORY, "signal": 9}),
        ("stopped (signal: 15)", {"state": State.STOPPED, "reason": Reason.STOPPED, "signal": 15}),
        ("stopped (exit code: 0)", {"state": State.STOPPED, "reason": Reason.STOPPED, "exit_code": 0}),
        ("stopped (signal: 15, timed out)", {"state": State.STOPPED, "reason": Reason.TIMED_OUT, "signal": 15}),
        ("stopped (signal: 9, output limit)", {"state": State.STOPPED, "reason": Reason.OUTPUT_LIMIT, "signal": 9}),
        (
            "failed (command not found: x)",
            {"state": State.FAILED, "reason": Reason.FAILED_TO_START, "error": "command not found: x"},
        ),
        ("lost", {"state": State.LOST, "reason": Reason.LOST}),
    ],
)
def test_describe(words: str, fields: dict[str, Any]) -> None:
    assert status(**fields).describe() == words


@pytest.mark.parametrize("state", State)
def test_ended(state: State) -> None:
    assert state.ended == (state in {"exited", "stopped", "failed", "lost"})


@given(st.integers(min_value=0, max_value=2**62))
def test_times_are_cut_to_microseconds(nanoseconds: int) -> None:
    time = utc_from_ns(nanoseconds)
    assert time.tzinfo is UTC
    assert (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) == nanoseconds // 1000


def test_created_at() -> None:
    assert status(state=State.RUNNING).created_at == datetime(1970, 1, 1, tzinfo=UTC)


def test_a_status_is_the_same_after_json() -> None:
    whole = status(
        state=State.EXITED,
        reason=Reason.OUT_OF_MEMORY,
        limits=Limits(
            cpus=0.5, io=(IoLimit(device="/", read_bytes_per_second=1), IoLimit(write_operations_per_second=2))
        ),
        isolation=Isolation(network="none", hidden=("/a", "/b"), landlock=True),
        user="ann",
        groups=("a", "b"),
        usage=Usage(cpu_user=0.5, memory_peak_bytes=1 << 40),
        out_of_memory_process="python3 (77)",
    )
    assert status_json.decode(status_json.encode(whole)) == whole
