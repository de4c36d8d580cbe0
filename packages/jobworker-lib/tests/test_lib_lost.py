"""Jobs whose supervisor is gone: what is told of them, what is ended, and what must live."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from fcntl import LOCK_EX
from pathlib import Path

import pytest

from jobworker_lib import Engine, Event, EventType, Job, JobStatus, OutputLimit, State
from jobworker_lib.events import log
from jobworker_lib.events.event import Event as LoggedEvent
from jobworker_lib.events.reader import EventReader, beginning_of
from lib_testing import (
    SLEEPER,
    awaiting,
    finish,
    fork_servers,
    job_processes,
    kill,
    nobody_keeps_house,
    program,
    sh,
    shim_of,
    wait_until,
)


@pytest.fixture
def restarted(tmp_path: Path) -> Path:
    """A second state directory, as it is found after a restart of the host that it was copied on."""
    return tmp_path / "after the restart"


def ready(engine: Engine) -> Job:
    job = engine.start(sh("echo ready; exec sleep 1000"))
    assert next(job.output()).data == b"ready\n"
    return job


def main_process(state_dir: Path, job: Job) -> int:
    return int(json.loads((state_dir / "jobs" / job.id / "started.json").read_text())["pid"])


def copy_changed(state_dir: Path, copy: Path, job: Job, **changes: object) -> None:
    shutil.copytree(state_dir, copy, ignore=shutil.ignore_patterns("*.sock", "index.db*"))
    started = copy / "jobs" / job.id / "started.json"
    started.write_text(json.dumps(json.loads(started.read_text()) | changes))


def only_status(state_dir: Path) -> JobStatus:
    with Engine(state_dir) as engine:
        (status,) = engine.list().statuses
        assert b"".join(chunk.data for chunk in engine.get(status.id).output()) == b"ready\n"
        assert engine.get(status.id).status() == status
        return status


def test_restart_of_the_host_is_told_from_a_killed_supervisor(state_dir: Path, engine: Engine, restarted: Path) -> None:
    """The pid of the main process is another's now, and that process lives."""
    job = ready(engine)
    with subprocess.Popen(SLEEPER) as innocent:
        copy_changed(state_dir, restarted, job, boot_id="of the boot before", pid=innocent.pid)
        status = only_status(restarted)
        assert (status.state, status.error) == (State.LOST, "its host was restarted")
        assert status.describe() == "lost (its host was restarted)"
        assert innocent.poll() is None
        innocent.kill()
    assert job.status().state is State.RUNNING, "nor is anything else looked for that could be of the time before"


def test_copy_beside_the_original_leaves_its_processes_alone(state_dir: Path, engine: Engine, tmp_path: Path) -> None:
    job = ready(engine)
    copy = tmp_path / "copy"
    copy_changed(state_dir, copy, job)
    status = only_status(copy)
    assert (status.state, status.error) == (State.LOST, "this is a copy of its directory, made before it had ended")
    assert job_processes(job.id)
    assert job.status().state is State.RUNNING
    assert job.stop().state is State.STOPPED


def test_copy_without_a_start_record_leaves_them_alone_too(state_dir: Path, engine: Engine, tmp_path: Path) -> None:
    """So it is where a job is started while its directory is copied, file by file."""
    job = ready(engine)
    copy = tmp_path / "copy"
    copy_changed(state_dir, copy, job)
    (copy / "jobs" / job.id / "started.json").unlink()
    assert only_status(copy).state is State.LOST
    assert job_processes(job.id)
    assert job.stop().state is State.STOPPED


def test_moved_directory_is_none_of_a_copy(state_dir: Path, tmp_path: Path) -> None:
    """What a killed shim and fork server left is found by whoever opens the directory, under whatever name."""
    moved = tmp_path / "moved"
    with nobody_keeps_house(state_dir), Engine(state_dir) as engine:
        job = ready(engine)
        for process in (*fork_servers(state_dir), shim_of(job.id, main_process(state_dir, job))):
            kill(process)
        assert job_processes(job.id)
    state_dir.rename(moved)
    status = only_status(moved)
    assert (status.state, status.error) == (State.LOST, "its supervisor was killed")
    assert not job_processes(job.id)


def test_pid_of_another_process_is_never_signalled(state_dir: Path, engine: Engine) -> None:
    job = ready(engine)
    shim = shim_of(job.id, main_process(state_dir, job))
    with subprocess.Popen(SLEEPER) as innocent:
        started = state_dir / "jobs" / job.id / "started.json"
        started.write_text(json.dumps(json.loads(started.read_text()) | {"pid": innocent.pid}))
        kill(shim)
        assert job.wait().describe() == "lost (its supervisor was killed)"
        assert innocent.poll() is None
        innocent.kill()


def test_leaves_no_socket_and_nothing_half_written(state_dir: Path, engine: Engine) -> None:
    job = ready(engine)
    directory = state_dir / "jobs" / job.id
    assert (directory / "control.sock").exists()
    shim = shim_of(job.id, main_process(state_dir, job))
    os.kill(shim, signal.SIGSTOP)
    (directory / ".exit.json.new").write_text("{")
    kill(shim)
    job.wait()
    wait_until(lambda: not job_processes(job.id))
    assert not (directory / "control.sock").exists()
    assert [path.name for path in directory.glob(".*")] == []


_DIES_AT = """
import os, sys
from jobworker_lib import Engine, OutputLimit
from jobworker_lib.events import log
from jobworker_lib.job.directory import JobDirectory
from jobworker_lib.launcher import Launcher
from jobworker_lib.shim.main import prepare, run_job

append = log.append
def dying(events, event):
    if event.type == sys.argv[2]:
        os._exit(0)
    append(events, event)

def launch(self, directory, lock, **_):
    log.append = dying
    prepare()
    run_job(directory, None)

Launcher.launch = launch
Engine(sys.argv[1]).start(["sh", "-c", sys.argv[3]], output_limit=OutputLimit(65536, "drop_oldest"))
"""
"""A shim that is killed just before it tells of something, and has nobody who would notice."""
WRITES_MUCH = "head -c 200000 /dev/zero"


@pytest.mark.parametrize("told_by", ["list", "delete"])
@pytest.mark.parametrize(
    ("untold", "script"),
    [
        (EventType.STARTED, "true"),
        (EventType.OUTPUT_TRUNCATED, WRITES_MUCH),
        (EventType.ENDED, "true"),
    ],
)
def test_what_a_killed_shim_had_not_told_is_told_in_order(
    state_dir: Path, untold: EventType, script: str, told_by: str
) -> None:
    with program(_DIES_AT, state_dir, untold, script) as shim:
        finish(shim)
    assert untold not in [event.type for event in events_in(state_dir)]
    with Engine(state_dir) as engine:
        job = engine.get(next((state_dir / "jobs").iterdir()).name)
        if told_by == "delete":
            job.delete()
        else:
            (status,) = engine.list().statuses
            assert status.state is (State.EXITED if untold is EventType.ENDED else State.LOST)
            events = events_in(state_dir)
            assert (events[1].state, events[1].time) == (State.RUNNING, status.started_at)
            engine.list()
    expected = [EventType.CREATED, EventType.STARTED, EventType.ENDED]
    if untold is EventType.OUTPUT_TRUNCATED:
        expected.insert(2, untold)
    if told_by == "delete":
        expected.append(EventType.DELETED)
    assert [event.type for event in events_in(state_dir)] == expected


def test_start_that_is_not_kept_in_the_log_any_more_is_not_told_again(
    state_dir: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = ready(engine)
    monkeypatch.setattr(log, "SEGMENT_BYTES", 1)
    for number in range(log.SEGMENTS_KEPT + 1):
        log.append(
            str(state_dir / "events"),
            LoggedEvent(type=EventType.CREATED, job_id=f"{number}", time_ns=number, owner="", state=State.STARTING),
        )
    assert job.id not in {event.job_id for event in events_in(state_dir)}
    kill(shim_of(job.id, main_process(state_dir, job)))
    assert job.wait().state is State.LOST
    wait_until(lambda: types_of(job, state_dir), "the event of the job's end")
    assert types_of(job, state_dir) == [EventType.ENDED]


def test_event_that_a_full_disk_refused_is_told_when_there_is_space(
    state_dir: Path, engine: Engine, tmp_path: Path
) -> None:
    """A directory in the place of the newest segment stands in for the disk."""
    gate, segment = tmp_path / "gate", state_dir / "events" / "00000000000000000000"
    script = sh(f"{awaiting(gate)}; {WRITES_MUCH}; exec sleep 1000")
    with engine.watch() as watch:
        job = engine.start(script, output_limit=OutputLimit(65536, "drop_oldest"))
        events = iter(watch)
        assert [next(events).type for _ in range(2)] == [EventType.CREATED, EventType.STARTED]
        segment.rename(tmp_path / "aside")
        segment.mkdir()
        gate.touch()
        wait_until(lambda: job.status().output_bytes == 200_000, "all output")
        with log.locked(str(state_dir / "events"), LOCK_EX):  # or a shim could make another in between
            segment.rmdir()
            (tmp_path / "aside").rename(segment)
        assert next(events).type is EventType.OUTPUT_TRUNCATED
        assert job.status().state is State.RUNNING


def types_of(job: Job, state_dir: Path) -> list[EventType]:
    return [event.type for event in events_in(state_dir) if event.job_id == job.id]


def events_in(state_dir: Path) -> list[Event]:
    """All events that are kept."""
    events = str(state_dir / "events")
    with EventReader(events, beginning_of(events)[0]) as reader:
        return [event for batch in iter(reader.next_batch, []) for event in batch]
