"""Records that are damaged, as a crash of the host may leave them, spoil nothing but what they told."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from jobworker_lib import (
    Engine,
    EngineError,
    Job,
    JobDamagedError,
    JobNotFoundError,
    RestartPolicy,
    State,
    StateDirectoryError,
)
from jobworker_lib.store.retention import read_retention
from lib_testing import sh

DAMAGE = [b"", b"{", bytes(100), b"[]", b'{"state": "well"}', b"\xff"]
damages = pytest.mark.parametrize("content", DAMAGE, ids=repr)


def remove_index(state_dir: Path) -> None:
    for path in state_dir.glob("index.db*"):
        path.unlink(missing_ok=True)  # an engine that finds its file gone removes the others, too


@pytest.fixture
def sound(engine: Engine) -> Job:
    """A job that nothing happens to."""
    return ended(engine)


def ended(engine: Engine) -> Job:
    job = engine.start(sh("echo output; exit 3"))
    job.wait()
    return job


@damages
@pytest.mark.parametrize("prepare", [lambda _: None, remove_index], ids=["known", "index made anew"])
def test_exit_record(
    state_dir: Path, engine: Engine, sound: Job, content: bytes, prepare: Callable[[Path], None]
) -> None:
    job = ended(engine)
    engine.close()
    (state_dir / "jobs" / job.id / "exit.json").write_bytes(content)
    prepare(state_dir)
    with Engine(state_dir) as again:
        status = again.get(job.id).wait()
        assert (status.state, status.error) == (State.LOST, "the record of its end is damaged")
        assert {found.id: found.state for found in again.list().statuses} == {
            job.id: State.LOST,
            sound.id: State.EXITED,
        }
        assert again.get(job.id).status() == status
        assert b"".join(chunk.data for chunk in again.get(job.id).output()) == b"output\n"
        again.get(job.id).delete()
        assert [found.id for found in again.list()] == [sound.id]


@damages
def test_spec(state_dir: Path, engine: Engine, sound: Job, content: bytes) -> None:
    job = ended(engine)
    (state_dir / "jobs" / job.id / "spec.json").write_bytes(content)
    with pytest.raises(JobDamagedError, match=job.id):
        job.status()
    assert [found.id for found in engine.list()] == [sound.id]
    job.delete()
    with pytest.raises(JobNotFoundError):
        job.status()


def test_exit_record_that_is_whole_but_wrong(state_dir: Path, engine: Engine, sound: Job) -> None:
    job = ended(engine)
    engine.close()
    path = state_dir / "jobs" / job.id / "exit.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), "reason": "none"}))
    remove_index(state_dir)
    with Engine(state_dir) as again:
        found = {found.id: found.state for found in again.list().statuses}
        assert found == {job.id: State.LOST, sound.id: State.EXITED}


@damages
def test_other_records(state_dir: Path, engine: Engine, content: bytes) -> None:
    job = engine.start(["false"], timeout=50.0, restart=RestartPolicy(max_restarts=1, backoff=0.01))
    started_at = job.wait().started_at
    for name in ("started.json", "attempts.json", "timeout.json"):
        (state_dir / "jobs" / job.id / name).write_bytes(content)
    status = job.status()
    assert (status.state, status.exit_code, status.timeout, status.started_at) == (State.EXITED, 1, 50.0, started_at)


@pytest.mark.parametrize("content", [*DAMAGE[:3], b'{"running": "many"}', b'{"running": 0}'], ids=repr)
def test_bounds(state_dir: Path, engine: Engine, content: bytes) -> None:
    (state_dir / "bounds.json").write_bytes(content)
    with pytest.raises(StateDirectoryError, match=r"bounds\.json is damaged: .*; set the bounds again, or remove it"):
        engine.start(["true"])
    assert not engine.list()
    (state_dir / "bounds.json").unlink()
    assert engine.run(["true"]).exit_code == 0


@pytest.mark.parametrize("content", [*DAMAGE[:3], b'{"age": "long"}', b'{"jobs": -1}'], ids=repr)
def test_retention(state_dir: Path, engine: Engine, content: bytes) -> None:
    (state_dir / "retention.json").write_bytes(content)
    with pytest.raises(EngineError, match=r"retention\.json is damaged: "):
        read_retention(state_dir)
    assert engine.run(["true"]).exit_code == 0


def test_events_of_wrong_types(state_dir: Path, engine: Engine, sound: Job) -> None:
    good = {"type": "ended", "job_id": sound.id, "time_ns": 1, "owner": "ann", "state": "exited"}
    wrongs: list[object] = [{}, [], 0.5, None]
    segment = max((state_dir / "events").glob("0*"))
    with segment.open("a") as file:
        for name in good:
            file.writelines(json.dumps(good | {name: wrong}) + "\n" for wrong in wrongs)
    remove_index(state_dir)
    assert [found.id for found in engine.list()] == [sound.id]


def test_event_log_that_was_cut_off(state_dir: Path, engine: Engine, sound: Job) -> None:
    assert len(engine.list()) == 1
    os.truncate(max((state_dir / "events").glob("0*")), 0)
    assert [found.id for found in engine.list()] == [sound.id]
    job = ended(engine)
    assert [found.id for found in engine.list()] == [job.id, sound.id]


def test_path_that_is_too_long(tmp_path: Path) -> None:
    with pytest.raises(StateDirectoryError, match="more than 480 bytes"):
        Engine(tmp_path / ("x" * 250) / ("y" * 250))
    assert not list(tmp_path.iterdir())
