"""The index is derived: whatever happens to it, the directories tell the truth."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from jobworker_lib import Engine, Job, JobNotFoundError, State
from jobworker_lib.job.directory import JobDirectory
from jobworker_lib.store import index_rows
from jobworker_lib.store.index import Index
from jobworker_lib.store.index_rows import Indexed
from lib_testing import SLEEPER, finish, program, sh, wait_until


def remove(index: Path) -> None:
    for path in index.parent.glob("index.db*"):
        path.unlink(missing_ok=True)  # an engine that finds its file gone removes the others, too


def overwrite(index: Path) -> None:
    remove(index)
    index.write_bytes(b"this is no database" * 1000)


def empty(index: Path) -> None:
    remove(index)
    index.touch()


def cut(index: Path) -> None:
    _checkpoint(index)
    data = index.read_bytes()
    remove(index)
    index.write_bytes(data[: len(data) // 2])


def give_another_boot(index: Path) -> None:
    _execute(index, "UPDATE about SET boot_id = 'of an earlier boot'")
    _execute(index, "DELETE FROM jobs")


def give_another_format(index: Path) -> None:
    _execute(index, "UPDATE about SET format = '0'")
    _execute(index, "DROP TABLE jobs")


def lock_is_free(state_dir: Path, job: Job) -> bool:
    lock = JobDirectory(state_dir / "jobs" / job.id).try_lock()
    if lock is not None:
        os.close(lock)
    return lock is not None


def _execute(index: Path, statement: str) -> None:
    with closing(sqlite3.connect(index)) as db, db:
        db.execute(statement)


def _checkpoint(index: Path) -> None:
    with closing(sqlite3.connect(index)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


DAMAGES = [remove, overwrite, empty, cut, give_another_boot, give_another_format]


@pytest.mark.parametrize("damage", DAMAGES)
def test_is_rebuilt(state_dir: Path, damage: Callable[[Path], None]) -> None:
    with Engine(state_dir) as engine:
        exited = engine.start(sh("exit 3"), labels={"a": "b"}, owner="ann")
        exited.wait()
        running = engine.start(SLEEPER, request_id="request")
        before = engine.list().statuses
    damage(state_dir / "index.db")
    with Engine(state_dir) as engine:
        assert engine.list().statuses == before
        assert [job.id for job in engine.list(labels={"a": "b"}, owner="ann", state=State.EXITED)] == [exited.id]
        assert [job.id for job in engine.list(state=State.RUNNING)] == [running.id]
        assert engine.start(SLEEPER, request_id="request").id == running.id


def test_that_is_made_while_a_job_is_shown_has_it(state_dir: Path) -> None:
    with Engine(state_dir) as engine:
        job = engine.start(["true"])
        job.wait()
    job_id = job.id
    shown, hidden = state_dir / "jobs" / job_id, state_dir / "new" / job_id
    shown.rename(hidden)
    remove(state_dir / "index.db")

    def all_jobs() -> Iterator[Indexed]:
        yield from ()
        hidden.rename(shown)  # the directories have just been listed

    index = Index(state_dir, all_jobs, lambda job_id: JobDirectory(state_dir / "jobs" / job_id).read_spec())
    with closing(index):
        assert index.transact(lambda db: index_rows.owner_of(db, job_id)) is not None


def test_that_vanishes_under_an_open_engine_is_rebuilt(state_dir: Path, engine: Engine) -> None:
    first = engine.start(["true"])
    remove(state_dir / "index.db")
    second = engine.start(["true"])
    assert [job.id for job in engine.list()] == [second.id, first.id]


def test_rebuild_leaves_out_a_damaged_job(state_dir: Path) -> None:
    with Engine(state_dir) as engine:
        good = engine.start(["true"])
        damaged = engine.start(["true"])
        damaged.wait()
        (state_dir / "jobs" / damaged.id / "spec.json").write_text("{")
    remove(state_dir / "index.db")
    with Engine(state_dir) as engine:
        assert [job.id for job in engine.list()] == [good.id]


def test_forgets_jobs_whose_directory_was_removed(state_dir: Path, engine: Engine) -> None:
    job = engine.start(["true"])
    job.wait()
    kept = engine.start(["true"])
    (state_dir / "jobs" / job.id).rename(state_dir / "elsewhere")
    assert [job.id for job in engine.list()] == [kept.id]
    with pytest.raises(JobNotFoundError):
        job.status()


def test_is_not_disturbed_by_what_a_crash_left(state_dir: Path) -> None:
    with Engine(state_dir) as engine:
        job = engine.start(["true"])
        job.wait()
        wait_until(lambda: lock_is_free(state_dir, job), "the end of its supervision")
    deleted = state_dir / "deleted" / job.id
    (state_dir / "jobs" / job.id).rename(deleted)
    with Engine(state_dir) as engine:
        assert not deleted.exists()
        assert [job.id for job in engine.list(state=State.RUNNING)] == []


def test_request_id_is_one_job_for_all_threads(engine: Engine) -> None:
    with ThreadPoolExecutor(8) as pool:
        started = list(pool.map(lambda _: engine.start(SLEEPER, request_id="request").id, range(24)))
    assert len(set(started)) == 1
    assert len(engine.list()) == 1


def test_request_id_is_one_job_for_all_processes(state_dir: Path) -> None:
    script = """
import sys
from jobworker_lib import Engine
with Engine(sys.argv[1]) as engine:
    print(engine.start(["sleep", "1000"], request_id="request").id)
"""
    with ExitStack() as stack:
        processes = [stack.enter_context(program(script, state_dir)) for _ in range(3)]
        started = {finish(process) for process in processes}
    assert len(started) == 1
    with Engine(state_dir) as engine:
        assert [f"{job.id}\n" for job in engine.list()] == list(started)


def test_request_ids_of_two_owners_are_two(engine: Engine) -> None:
    ann = engine.start(["true"], owner="ann", request_id="request")
    bob = engine.start(["true"], owner="bob", request_id="request")
    assert ann.id != bob.id


def test_request_id_of_a_job_still_starting_waits_for_it(engine: Engine) -> None:
    """Whichever call comes first, both return after the command was executed."""
    with ThreadPoolExecutor(4) as pool:
        for number in range(20):
            calls = [pool.submit(engine.start, SLEEPER, request_id=str(number)) for _ in range(4)]
            assert {call.result().status().state for call in calls} == {State.RUNNING}
            calls[0].result().stop(force=True)
