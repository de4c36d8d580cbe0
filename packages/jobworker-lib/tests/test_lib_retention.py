"""Ended jobs are removed by age, number and bytes, the oldest first; what runs or is read is not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobworker_lib import Engine, InvalidArgumentError, Job, Retention
from jobworker_lib.job.directory import JobDirectory
from jobworker_lib.store.housekeeper import _LOCK_FILE
from jobworker_lib.store.retention import KEEP_ALL, EndedJob, superfluous
from jobworker_lib.store.scan import disk_usage
from lib_testing import SLEEPER, sh, wait_until


@contextmanager
def retaining(
    state_dir: Path,
    *,
    age: float | None = None,
    jobs: int | None = None,
    bytes: int | None = None,  # noqa: A002  # as in Retention
) -> Iterator[Engine]:
    """An engine that has just been opened with such bounds, and none of the others; no other looked before it."""
    (state_dir / _LOCK_FILE).unlink(missing_ok=True)
    with Engine(state_dir, retention=Retention(age=age, jobs=jobs, bytes=bytes, share=None)) as engine:
        yield engine


def ended_jobs(state_dir: Path, count: int) -> list[Job]:
    """Jobs that have ended one after the other, and that nobody holds any more."""
    with Engine(state_dir, retention=None) as engine:
        jobs = []
        for _ in range(count):
            jobs.append(engine.start(sh("echo hi")))
            jobs[-1].wait()
        wait_until(lambda: all(_is_let_go(state_dir, job) for job in jobs), "the supervisors' letting go of their jobs")
        assert len(engine.list()) >= count
        return jobs


def _is_let_go(state_dir: Path, job: Job) -> bool:
    """Whether its supervisor is done with it; until then nobody removes it, and the next round is a minute later."""
    lock = JobDirectory(os.path.join(state_dir, "jobs", job.id)).try_lock()
    if lock is not None:
        os.close(lock)
    return lock is not None


def end_of_events(state_dir: Path) -> str:
    """Where events will be that come from now on; no engine is open afterwards that could keep house, too."""
    with Engine(state_dir) as engine, engine.watch() as watch:
        return watch.cursor


def ids(engine: Engine) -> list[str]:
    return [job.id for job in engine.list()]


def test_the_newest_are_kept(state_dir: Path) -> None:
    jobs = ended_jobs(state_dir, 5)
    with retaining(state_dir, jobs=2) as engine:
        wait_until(lambda: len(engine.list()) == 2, "the removal of three jobs")
        assert ids(engine) == [jobs[4].id, jobs[3].id]
        assert sorted(os.listdir(state_dir / "jobs")) == sorted(ids(engine))
        wait_until(lambda: os.listdir(state_dir / "deleted") == [], "the removal of their files")


def test_old_ones_are_removed(state_dir: Path) -> None:
    ended_jobs(state_dir, 3)
    with retaining(state_dir, age=0) as engine:
        wait_until(lambda: not ids(engine), "the removal of all jobs")


def test_so_many_bytes_are_kept(state_dir: Path) -> None:
    jobs = ended_jobs(state_dir, 4)
    sizes = [disk_usage(str(state_dir / "jobs" / job.id)) for job in jobs]
    with retaining(state_dir, bytes=sum(sizes[1:])) as engine:
        wait_until(lambda: len(ids(engine)) == 3, "the removal of a job")
        assert jobs[0].id not in ids(engine)


def test_removed_jobs_are_told_of(state_dir: Path) -> None:
    (job,) = ended_jobs(state_dir, 1)
    cursor = end_of_events(state_dir)
    with retaining(state_dir, jobs=0) as engine, engine.watch(cursor) as watch:
        event = next(iter(watch))
        assert (event.type, event.job_id) == ("deleted", job.id)


def test_running_jobs_and_those_being_read_are_kept(state_dir: Path) -> None:
    with Engine(state_dir, retention=None) as engine:
        running = engine.start(SLEEPER)
        read = engine.start(sh("echo hi"))
        read.wait()
        output = read.output()
        assert next(output).data == b"hi\n"
        wait_until(lambda: _is_let_go(state_dir, read), "the supervisor's letting go of its job")
        (other,) = ended_jobs(state_dir, 1)
        with retaining(state_dir, jobs=0) as retainer:
            wait_until(lambda: other.id not in ids(retainer), "the removal of the job that nobody reads")
        assert ids(engine) == [read.id, running.id]
        output.close()  # type: ignore[attr-defined]  # it is a generator
        with retaining(state_dir, jobs=0) as retainer:
            wait_until(lambda: ids(retainer) == [running.id], "the removal of the job that nobody reads any more")


def test_what_was_said_holds_for_other_engines_until_something_else_is(state_dir: Path) -> None:
    jobs = ended_jobs(state_dir, 3)
    with retaining(state_dir, jobs=2) as engine:
        wait_until(lambda: len(engine.list()) == 2, "the removal of a job")
    jobs += ended_jobs(state_dir, 1)  # which keeps all
    (state_dir / _LOCK_FILE).unlink()
    with Engine(state_dir) as engine:
        wait_until((state_dir / _LOCK_FILE).exists, "the next round")
        assert len(engine.list()) == 3


def test_two_engines_at_once_remove_each_job_once(state_dir: Path) -> None:
    jobs = ended_jobs(state_dir, 20)
    cursor = end_of_events(state_dir)
    with retaining(state_dir, jobs=0) as one, retaining(state_dir, jobs=0) as other:
        wait_until(lambda: not ids(one) and not ids(other), "the removal of all jobs")
        with one.watch(cursor) as watch:
            deleted = [event.job_id for _, event in zip(jobs, watch, strict=False)]
    assert sorted(deleted) == sorted(job.id for job in jobs)


@pytest.mark.parametrize("bounds", [{"age": -1}, {"age": float("nan")}, {"jobs": -1}, {"bytes": -1}, {"share": 2}])
def test_bounds_that_are_none_are_refused(state_dir: Path, bounds: dict[str, float]) -> None:
    with pytest.raises(InvalidArgumentError, match="retention"):
        Engine(state_dir, retention=Retention(**bounds))  # type: ignore[arg-type]  # as they are named


@given(
    sizes=st.lists(st.integers(0, 100), max_size=30),
    most_jobs=st.none() | st.integers(0, 30),
    most_bytes=st.none() | st.integers(0, 2000),
)
def test_no_more_are_removed_than_have_to_be(sizes: list[int], most_jobs: int | None, most_bytes: int | None) -> None:
    jobs = [EndedJob(str(number), number, size) for number, size in enumerate(sizes)]
    retention = Retention(age=None, jobs=most_jobs)
    removed = list(superfluous(jobs, len(jobs), sum(sizes), retention, most_bytes))
    assert removed == jobs[: len(removed)], "the oldest first"

    def fits(kept: list[EndedJob]) -> bool:
        return (most_jobs is None or len(kept) <= most_jobs) and (
            most_bytes is None or sum(job.bytes for job in kept) <= most_bytes
        )

    assert fits(jobs[len(removed) :])
    assert not removed or not fits(jobs[len(removed) - 1 :])
    assert list(superfluous(jobs, len(jobs), sum(sizes), KEEP_ALL, None)) == []
