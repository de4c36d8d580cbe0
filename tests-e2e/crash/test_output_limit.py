"""The shim of a job with an output limit is killed at every step: what is left is a whole part of the output."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest

from conformance.processes import job_processes, wait_until
from crash.invariants import every_event_is_told_once, nothing_is_left_running
from crash.jobs import Life, greet
from crash.processes import SHIM, named
from crash.steps import each_step, turns
from crash.strace import KILL, Step, at_step, steps_in, watching
from jobworker_lib import Engine, Gap, Job, OutputLimit, StartLostError, State

BLOCKS = 24
WHOLE = b"".join(b"%08191d\n" % number for number in range(BLOCKS))
SCRIPT = f"i=0; while [ $i -lt {BLOCKS} ]; do printf '%08191d\\n' $i; i=$((i + 1)); done"

# What the log is written with, and the records around it.
CALLS = (
    "openat",
    "?open",
    "pwrite64",
    "write",
    "read",
    "splice",
    "?unlink",
    "unlinkat",
    "close",
    "?rename",
    "renameat",
)

limits = pytest.mark.parametrize("limit", [OutputLimit(64 << 10, "drop_oldest"), OutputLimit(64 << 10)], ids=str)


@turns
@limits
def test_shim_of_a_job_with_an_output_limit(limit: OutputLimit, turn: int, new_life: Callable[[], Life]) -> None:
    def trial(step: Step | None) -> Life:
        life = new_life()
        with Engine(life.state_dir) as engine:
            greet(engine, life)
            shim = named(SHIM, life.state_dir)
            strike = at_step(shim, step, KILL, life.log) if step else watching(shim, life.log, calls=CALLS)
            with strike, suppress(StartLostError):
                job = engine.start(["sh", "-c", SCRIPT], output_limit=limit, request_id="the one")
                wait_until(lambda: job.status().state.ended, "the job's end")
            for job in engine.list():
                _check(job, limit, life, was_killed=step is not None)
            greet(engine, life)
            statuses = engine.list().statuses
        nothing_is_left_running(life.state_dir)  # that may yet tell of an end
        every_event_is_told_once(life.state_dir, statuses)
        return life

    each_step(turn, steps_in(trial(None).log), trial, rarer=2)


def _check(job: Job, limit: OutputLimit, life: Life, *, was_killed: bool) -> None:
    wait_until(lambda: job.status().state.ended, "the job's end")
    wait_until(lambda: not job_processes(job.id), "the end of all processes of an ended job")
    status = job.status()
    if status.output_limit is None:  # the job that greets
        return
    assert status.state in ((State.EXITED, State.STOPPED, State.LOST) if was_killed else (State.EXITED, State.STOPPED))
    begin = status.output_dropped_bytes if limit.action == "drop_oldest" else 0
    chunks = list(job.output())
    assert b"".join(chunk.data for chunk in chunks) == WHOLE[begin : status.output_bytes]
    assert [chunk.gap for chunk in chunks if chunk.gap] == ([Gap(0, begin)] if begin else [])
    sizes = [path.stat().st_size for path in (life.state_dir / "jobs" / job.id).glob("output*.log")]
    assert sum(sizes) <= limit.bytes
    if status.state is not State.LOST:
        assert status.output_bytes == (len(WHOLE) if limit.action == "drop_oldest" else limit.bytes)
