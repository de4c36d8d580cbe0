"""What must be true of a state directory, whatever was killed, filled or damaged there."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from conformance.processes import holders, job_processes, wait_until
from crash.jobs import KINDS, LABEL, REQUEST, Life, Told, bring_to_end, greet, start
from jobworker_lib import Engine, Job, JobStatus, State
from jobworker_lib.events.event import Event, EventType
from jobworker_lib.events.reader import EventReader, beginning_of
from jobworker_lib.job.directory import JobDirectory

_AGE_SECONDS = 3600


def check(life: Life, *, may_be_lost: bool = False) -> None:
    """Look at all that there is, with engines that know nothing of what happened. No other may be open.

    ``may_be_lost``: a shim was killed, or something else that takes its job with it.
    """
    state_dir, runs, told = life.state_dir, life.runs, life.told
    _make_old(state_dir)
    with Engine(state_dir) as engine:
        _every_job_is_listed_once(engine, state_dir, told)
        for status in engine.list().statuses:
            _ended_as_it_should(engine.get(status.id), told, may_be_lost=may_be_lost)
        _what_ran_is_known(engine, runs, told)
        _a_repeated_start_is_the_same_job(engine, state_dir, runs)
        greet(engine, life)
        statuses = engine.list().statuses
    nothing_is_left_running(state_dir)
    _no_file_is_left(state_dir)
    every_event_is_told_once(state_dir, statuses)
    with Engine(state_dir) as engine:
        assert engine.list().statuses == statuses, "an end that was told never changes"
    for part in state_dir.glob("index.db*"):
        part.unlink()
    with Engine(state_dir) as engine:
        assert engine.list().statuses == statuses, "the index holds nothing that the directories don't tell"
        for job in engine.list():
            job.delete()
        assert len(engine.list()) == 0
    assert list((state_dir / "jobs").iterdir()) == []


def _every_job_is_listed_once(engine: Engine, state_dir: Path, told: Told) -> None:
    listed = sorted(job.id for job in engine.list())
    there = sorted(path.name for path in (state_dir / "jobs").iterdir())
    assert listed == there, "what is listed is what is there, no job is missing or twice"
    missing = set(told.started) - told.deleting - set(listed)
    assert not missing, "a start that returned has left its job"
    assert not set(told.deleted) & set(listed), "a job that was deleted stays so"


def _ended_as_it_should(job: Job, told: Told, *, may_be_lost: bool) -> None:
    kind = KINDS[job.status().labels[LABEL]]
    bring_to_end(job, kind)
    status = job.status()
    if status.state is State.LOST:
        assert may_be_lost or job.id not in told.started, "only a job whose start was cut off, or its shim, is lost"
        assert (status.exit_code, status.signal) == (None, None)
    else:
        assert (status.state, status.exit_code, status.signal) == (kind.state, kind.exit_code, kind.signal)
    if job.id in told.ended:
        assert repr(status) == told.ended[job.id], "an end that was told never changes"
    chunks = list(job.output())
    assert b"".join(chunk.data for chunk in chunks).startswith(told.output.get(job.id, b""))
    assert sum(len(chunk.data) for chunk in chunks) == status.output_bytes
    for stream, whole in (("stdout", kind.stdout), ("stderr", kind.stderr)):
        written = b"".join(chunk.data for chunk in chunks if chunk.stream == stream)
        assert whole.startswith(written), "a job's output is what it wrote"
        assert written == whole or status.state is State.LOST, "and all of it, where it is not lost"
    wait_until(lambda: not job_processes(job.id), "the end of all processes of an ended job")


def _what_ran_is_known(engine: Engine, runs: Path, told: Told) -> None:
    ran = runs.read_text().split() if runs.exists() else []
    assert len(ran) == len(set(ran)), "no command is executed twice"
    known = {job.id for job in engine.list()} | told.deleting
    assert set(ran) <= known, "no command is executed that nobody knows of"


def _a_repeated_start_is_the_same_job(engine: Engine, state_dir: Path, runs: Path) -> None:
    of_request = [status for status in engine.list().statuses if _request_of(state_dir, status) == REQUEST]
    assert len(of_request) <= 1
    if not of_request:
        job = start(engine, KINDS["exits"], runs)
        _ended_as_it_should(job, Told(), may_be_lost=False)
        return
    known = of_request[0]
    assert start(engine, KINDS[known.labels[LABEL]], runs, known.owner).id == known.id


def _request_of(state_dir: Path, status: JobStatus) -> str | None:
    return JobDirectory(state_dir / "jobs" / status.id).read_spec().request_id


def nothing_is_left_running(state_dir: Path) -> None:
    wait_until(lambda: not holders(state_dir), "the end of fork server and shims")
    left = {path.name: job_processes(path.name) for path in (state_dir / "jobs").iterdir()}
    assert not any(left.values())


def _no_file_is_left(state_dir: Path) -> None:
    for place in ("new", "deleted"):
        assert list((state_dir / place).iterdir()) == [], "what was half-made is swept"
    for path in (state_dir / "jobs").rglob("*"):
        assert not path.name.startswith("."), f"{path} was left half-made"
        assert not stat.S_ISSOCK(path.stat().st_mode), f"the socket {path} of an ended job is left"


def every_event_is_told_once(state_dir: Path, statuses: Sequence[JobStatus]) -> None:
    """Of each job, in this order: that it was created, that it was started, if it was, how it ended, its removal."""
    told: dict[str, list[Event]] = {}
    for event in _events(state_dir):
        told.setdefault(event.job_id, []).append(event)
    for status in statuses:
        events = told.pop(status.id)
        types = [event.type for event in events]
        if status.state is State.LOST and status.output_limit and status.output_limit.action == "stop":
            # Its shim may have told that output was dropped; how much, it would have recorded at the end.
            types = [kind for kind in types if kind is not EventType.OUTPUT_TRUNCATED]
        assert types == _due(status)
        assert events[0].time == status.created_at
        assert events[-1].time == status.ended_at
        assert events[-1].state == status.state
        if status.started_at is not None:
            assert events[1].time == status.started_at
    for events in told.values():
        types = [event.type for event in events]
        assert types[-1] is EventType.DELETED, "what is there no more was deleted"
        assert types[0] is EventType.CREATED
        assert types == [kind for kind in EventType if kind in types], "each once, in the order of a job's life"


def _due(status: JobStatus) -> list[EventType]:
    """What is to be told of an ended job."""
    due = {
        EventType.CREATED: True,
        EventType.STARTED: status.started_at is not None,
        EventType.OUTPUT_TRUNCATED: bool(status.output_dropped_bytes),
        EventType.ENDED: True,
    }
    return [kind for kind, is_due in due.items() if is_due]


def _events(state_dir: Path) -> Iterator[Event]:
    log = str(state_dir / "events")
    with EventReader(log, beginning_of(log)[0]) as reader:
        while events := reader.next_batch():
            yield from events


def _make_old(state_dir: Path) -> None:
    """What is half-made is only swept when nobody can be at it any more."""
    with suppress(FileNotFoundError):
        for path in (state_dir / "new").iterdir():
            os.utime(path, times=(time.time() - _AGE_SECONDS,) * 2)
