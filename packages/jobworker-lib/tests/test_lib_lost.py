"""Jobs whose supervisor is gone: what is told of them, what is ended, and what must live."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from jobworker_lib import Engine, Job, JobStatus, State
from lib_testing import SLEEPER, fork_servers, job_processes, kill, sh, shim_of, wait_until


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
    with Engine(state_dir) as engine:
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
    kill(shim_of(job.id, main_process(state_dir, job)))
    with subprocess.Popen(SLEEPER) as innocent:
        started = state_dir / "jobs" / job.id / "started.json"
        started.write_text(json.dumps(json.loads(started.read_text()) | {"pid": innocent.pid}))
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
