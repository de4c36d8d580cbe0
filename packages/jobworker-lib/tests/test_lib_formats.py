"""State directories of older formats are read by this code, and those of newer ones refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import leave_nothing_running
from jobworker_lib import Engine, Job, JobNotFoundError, State, StateDirectoryError
from jobworker_lib.store.version import FORMAT
from lib_testing import sh

FORMATS = sorted(path for path in (Path(__file__).parent / "formats").iterdir() if path.is_dir())
UNFINISHED = "crashed"
"""The one job of the kept directories whose shim was killed when nobody waited for it any more."""
ERRORS = {"1": "its supervisor is gone"}
"""What its end is told with; from format 2 on it was found by the fork server."""


@pytest.fixture(params=FORMATS, ids=lambda path: f"format {path.name}")
def kept(request: pytest.FixtureRequest) -> Path:
    return Path(request.param)


@pytest.fixture
def old(kept: Path, tmp_path: Path) -> Iterator[Path]:
    """A copy of a kept state directory."""
    state_dir = tmp_path / "state"
    shutil.copytree(kept / "state", state_dir)
    yield state_dir
    leave_nothing_running(state_dir)


@pytest.fixture
def expected(kept: Path) -> dict[str, Any]:
    """What its jobs are, by their names."""
    told: dict[str, Any] = json.loads((kept / "expected.json").read_text())
    end = {
        "state": "lost",
        "reason": "lost",
        "error": ERRORS.get(kept.name, "its supervisor was killed"),
        "ended_at": "when it was found so",
    }
    told[UNFINISHED] |= end
    return told


def told(job: Job) -> dict[str, Any]:
    status = job.status()
    record = {name: getattr(status, name) for name in ("id", "cwd", "owner", "labels", "timeout", "state", "reason")}
    record |= {name: getattr(status, name) for name in ("exit_code", "signal", "error")}
    for name in ("created_at", "started_at", "ended_at"):
        time = getattr(status, name)
        record[name] = time.isoformat() if time else None
    output = [
        [chunk.stream, chunk.offset, chunk.time.isoformat(), chunk.data.decode("latin-1")] for chunk in job.output()
    ]
    return {**record, "argv": list(status.argv), "output": output}


def test_all_jobs_are_read(old: Path, expected: dict[str, Any]) -> None:
    with Engine(old, retention=None) as engine:  # they get old
        assert {job.id for job in engine.list()} == {job["id"] for job in expected.values()}
        engine.get(expected[UNFINISHED]["id"]).wait()
        for name, job in expected.items():
            found = told(engine.get(job["id"]))
            if name == UNFINISHED:
                found["ended_at"] = job["ended_at"]
            assert found == job, name


def test_jobs_are_found_by_what_they_were_started_with(old: Path, expected: dict[str, Any]) -> None:
    with Engine(old, retention=None) as engine:  # they get old
        engine.get(expected[UNFINISHED]["id"]).wait()
        assert [job.id for job in engine.list(labels={"team": "a"})] == [expected["exited"]["id"]]
        assert len(engine.list(owner="ann")) == 2
        assert {job.id for job in engine.list(state=State.LOST)} == {
            expected[name]["id"] for name in ("lost", "crashed")
        }
        again = engine.start(["true"], owner="ann", request_id="the first")
        assert again.id == expected["exited"]["id"]
        assert engine.start(["true"], owner="root", request_id="the last").id == expected[UNFINISHED]["id"]


def test_jobs_can_be_started_there_and_old_ones_deleted(old: Path, expected: dict[str, Any]) -> None:
    with Engine(old, retention=None) as engine:  # they get old
        assert engine.run(sh("echo hi")).stdout == b"hi\n"
        for job in expected.values():
            engine.get(job["id"]).delete()
            with pytest.raises(JobNotFoundError):
                engine.get(job["id"])
        assert len(engine.list()) == 1
    with Engine(old, retention=None) as engine:  # they get old
        assert len(engine.list()) == 1


def test_the_number_is_raised_once(old: Path) -> None:
    Engine(old, retention=None).close()
    assert (old / "version").read_text() == f"{FORMAT}\n"
    before = (old / "version").stat().st_ino
    Engine(old, retention=None).close()
    assert (old / "version").stat().st_ino == before
    assert not list(old.glob(".version*"))


def test_every_older_format_is_kept() -> None:
    assert [path.name for path in FORMATS] == [str(number) for number in range(1, FORMAT)]


def test_a_newer_format_is_refused(state_dir: Path) -> None:
    with Engine(state_dir):
        (state_dir / "version").write_text(f"{FORMAT + 1}\n")
    with pytest.raises(StateDirectoryError, match=f"newer version .* is {FORMAT + 1}, .* knows {FORMAT}"):
        Engine(state_dir)
    assert (state_dir / "version").read_text() == f"{FORMAT + 1}\n"


@pytest.mark.parametrize("text", ["what?\n", "-1", "²", "1 2", b"\xff\xfe"])
def test_what_is_no_number_is_refused(state_dir: Path, text: str | bytes) -> None:
    content = text if isinstance(text, bytes) else text.encode()
    with Engine(state_dir):
        (state_dir / "version").write_bytes(content)
    with pytest.raises(StateDirectoryError, match="no number"):
        Engine(state_dir)
    assert (state_dir / "version").read_bytes() == content


def test_a_number_that_is_just_being_written_is_no_problem(state_dir: Path) -> None:
    """Nor is one whose writer was killed."""
    with Engine(state_dir):
        (state_dir / "version").write_text("")
    Engine(state_dir).close()
    assert (state_dir / "version").read_text() == f"{FORMAT}\n"


def test_keys_of_later_versions_are_ignored(state_dir: Path) -> None:
    with Engine(state_dir) as engine:
        job = engine.start(["true"])
        before = job.wait()
        for name in ("spec.json", "started.json", "exit.json"):
            path = state_dir / "jobs" / job.id / name
            path.write_text(json.dumps(json.loads(path.read_text()) | {"of a later version": 1}))
        assert job.status() == before
