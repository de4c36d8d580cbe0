"""Watching what happens to jobs, and waiting for many of them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from pathlib import Path

import pytest

from jobworker_lib import (
    CursorExpiredError,
    Engine,
    Event,
    EventType,
    InvalidArgumentError,
    JobNotFoundError,
    State,
    aio,
)
from jobworker_lib.events import log
from lib_testing import PATIENCE_SECONDS, SLEEPER, awaiting, fork_servers, kill, sh, shims, wait_until


def seen(events: Iterator[Event], count: int) -> list[tuple[str, str]]:
    return [(str(event.type), event.job_id) for event in islice(events, count)]


def test_job_is_told_of_from_its_beginning_to_its_removal(engine: Engine) -> None:
    with engine.watch() as watch:
        job = engine.start(sh("exit 3"), owner="ann")
        status = job.wait()
        job.delete()
        created, started, ended, deleted = islice(watch, 4)
    assert {event.job_id for event in (created, started, ended, deleted)} == {job.id}
    assert [event.type for event in (created, started, ended, deleted)] == ["created", "started", "ended", "deleted"]
    assert [event.state for event in (created, started, ended, deleted)] == ["starting", "running", "exited", None]
    assert {event.owner for event in (created, started, ended, deleted)} == {"ann"}
    assert (created.time, started.time, ended.time) == (status.created_at, status.started_at, status.ended_at)


def test_watch_goes_on_after_a_cursor(engine: Engine) -> None:
    with engine.watch() as watch:
        begin = watch.cursor
        jobs = [engine.start(["true"]) for _ in range(5)]
        engine.wait(jobs)
        all_events = list(islice(watch, 15))
    for position, event in enumerate(all_events[:-1]):
        with engine.watch(event.cursor) as watch:
            assert list(islice(watch, 14 - position)) == all_events[position + 1 :]
    with engine.watch(begin) as watch:
        assert list(islice(watch, 15)) == all_events


def test_watch_of_another_engine_is_woken(state_dir: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobworker_lib.waiting.watcher._RECHECK_SECONDS", 1000.0)  # it looks only when it is woken
    with Engine(state_dir) as other, other.watch() as watch, ThreadPoolExecutor() as pool:
        events = iter(watch)
        for _ in range(5):
            found = pool.submit(seen, events, 3)
            job = engine.start(["true"])
            assert found.result(PATIENCE_SECONDS) == [(kind, job.id) for kind in ("created", "started", "ended")]


def test_watch_of_an_owner_and_of_some_jobs(engine: Engine) -> None:
    with engine.watch(owner="ann") as of_ann:
        engine.start(["true"], owner="bob").wait()
        mine = engine.start(["true"], owner="ann")
        with engine.watch(of_ann.cursor, jobs=[mine]) as of_one:
            assert seen(iter(of_ann), 3) == [(kind, mine.id) for kind in ("created", "started", "ended")]
            mine.wait()
            mine.delete()
            assert [kind for kind, _ in seen(iter(of_one), 4)] == ["created", "started", "ended", "deleted"]


def test_cursor_moves_on_past_what_nobody_asked_for(engine: Engine) -> None:
    with engine.watch(owner="nobody") as watch, ThreadPoolExecutor() as pool:
        begin = watch.cursor
        batches = watch.batches()
        moved = pool.submit(next, batches)
        events = engine._core.events
        event = Event(type="created", job_id="x", time_ns=0, owner="y" * 200, state=None)  # type: ignore[arg-type]
        while not moved.done():
            log.append(events, event)
        assert moved.result() == []
        assert watch.cursor != begin


def test_watch_of_asyncio(state_dir: Path) -> None:
    async def scenario() -> list[tuple[str, bool]]:
        async with aio.Engine(state_dir) as engine, engine.watch() as watch:
            job = await engine.start(["true"])
            found = []
            async for event in watch:
                found.append((str(event.type), event.job_id == job.id))
                if len(found) == 3:
                    return found
        raise AssertionError

    assert asyncio.run(scenario()) == [("created", True), ("started", True), ("ended", True)]


def test_lost_job_is_told_of_by_the_fork_server(state_dir: Path, engine: Engine) -> None:
    job = engine.start(SLEEPER)
    with engine.watch(jobs=[job]) as watch:
        (shim,) = (pid for pid in shims(state_dir) if has_child(pid))
        kill(shim)
        event = next(iter(watch))
        assert (event.type, event.state) == ("ended", State.LOST)
    assert job.status().state is State.LOST


def test_lost_job_is_told_of_by_who_watches(state_dir: Path, engine: Engine) -> None:
    job = engine.start(SLEEPER)
    with engine.watch(jobs=[job]) as watch, ThreadPoolExecutor() as pool:
        found = pool.submit(next, iter(watch))
        (shim,) = (pid for pid in shims(state_dir) if has_child(pid))
        for pid in fork_servers(state_dir):
            kill(pid)
        kill(shim)
        event = found.result(PATIENCE_SECONDS)
        assert (event.type, event.state) == ("ended", State.LOST)


def has_child(pid: int) -> bool:
    with suppress(OSError):
        return bool(Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    return False


def test_cursor_that_is_none_is_refused(engine: Engine) -> None:
    with pytest.raises(InvalidArgumentError, match="cursor"):
        engine.watch("not a cursor")
    with pytest.raises(CursorExpiredError):
        engine.watch("0123456789abcdef-17")


def test_watcher_that_is_too_slow_is_told_so(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "SEGMENT_BYTES", 1000)
    with engine.watch() as watch:
        for _ in range(20):
            engine.run(["true"])
        with pytest.raises(CursorExpiredError):
            seen(iter(watch), 1000)


def test_wait_for_all_and_for_any(engine: Engine, tmp_path: Path) -> None:
    jobs = [engine.start(sh(f"{awaiting(tmp_path / str(number))}; exit {number}")) for number in range(3)]
    with ThreadPoolExecutor() as pool:
        first = pool.submit(engine.wait, jobs, any=True)
        every = pool.submit(engine.wait, jobs)
        (tmp_path / "1").touch()
        assert [status.exit_code for status in first.result(PATIENCE_SECONDS)] == [1]
        assert not every.done()
        (tmp_path / "0").touch()
        (tmp_path / "2").touch()
        assert [status.exit_code for status in every.result(PATIENCE_SECONDS)] == [0, 1, 2]


def test_wait_takes_ids_and_tells_what_ended_before(engine: Engine) -> None:
    ended, running = engine.start(["true"]), engine.start(SLEEPER)
    ended.wait()
    assert [status.id for status in engine.wait([running.id, ended.id, ended.id], any=True)] == [ended.id]
    with pytest.raises(TimeoutError):
        engine.wait([running.id, ended.id], timeout=0.05)
    with pytest.raises(InvalidArgumentError):
        engine.wait([])
    with pytest.raises(JobNotFoundError):
        engine.wait(["00000000-0000-4000-8000-000000000000"])


def test_wait_of_asyncio_for_many(state_dir: Path) -> None:
    async def scenario() -> None:
        async with aio.Engine(state_dir) as engine:
            jobs = [await engine.start(sh("exit 3")) for _ in range(30)]
            assert [status.exit_code for status in await engine.wait(jobs)] == [3] * 30
            sleeper = await engine.start(SLEEPER)
            with pytest.raises(TimeoutError):
                await engine.wait([sleeper], timeout=0.05)

    asyncio.run(scenario())


def test_watch_ends_where_the_log_is_removed(state_dir: Path, engine: Engine) -> None:
    with engine.watch() as watch, ThreadPoolExecutor() as pool:
        found = pool.submit(next, iter(watch))
        wait_until(lambda: engine._core.watcher._wakes, "somebody who watches")
        os.rename(state_dir / "events", state_dir / "elsewhere")
        with pytest.raises(CursorExpiredError):
            found.result(PATIENCE_SECONDS)
    job = engine.start(["true"])
    job.wait()
    assert [found.id for found in engine.list(state=State.EXITED)] == [job.id]


def test_created_is_told_when_the_job_is_there(state_dir: Path, engine: Engine) -> None:
    """Whoever hears of a job can ask for it at once."""
    with Engine(state_dir) as other, ThreadPoolExecutor() as pool, other.watch() as watch:
        jobs = pool.submit(lambda: [engine.start(["true"]).id for _ in range(50)])
        for event in islice(watch, 150):
            assert other.get(event.job_id).status().id == event.job_id
        jobs.result(PATIENCE_SECONDS)


def test_created_is_held_back_until_the_job_is_there(state_dir: Path, engine: Engine) -> None:
    with engine.watch() as watch:
        job = engine.start(["true"])
        assert seen(iter(watch), 3) == [(kind, job.id) for kind in ("created", "started", "ended")]
    with engine.watch() as watch, ThreadPoolExecutor() as pool:
        feed = watch._feed
        being_made = "00000000-0000-4000-8000-000000000000"
        (state_dir / "new" / being_made).mkdir()
        for job_id in (job.id, being_made):
            event = Event(type=EventType.CREATED, job_id=job_id, time_ns=1, owner="ann", state=State.STARTING)
            log.append(engine._core.events, event)
        assert [event.job_id for event in feed.next_batch() or ()] == [job.id]
        assert feed.next_batch() is None
        found = pool.submit(next, iter(watch))
        os.rename(state_dir / "new" / being_made, state_dir / "jobs" / being_made)
        assert found.result(PATIENCE_SECONDS).job_id == being_made
    (state_dir / "jobs" / being_made).rmdir()
