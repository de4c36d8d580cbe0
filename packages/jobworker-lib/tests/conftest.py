"""State directories of which no process is left when a test is over."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from jobworker_lib import Engine, JobNotRunningError, State
from lib_testing import engine_processes, job_processes, wait_until


@pytest.fixture
def state_dir(tmp_path: Path) -> Iterator[Path]:
    """A directory to open engines on. What the test leaves running is killed; nothing else may be left."""
    directory = tmp_path / "state"
    yield directory
    leave_nothing_running(directory)


@pytest.fixture
def engine(state_dir: Path) -> Iterator[Engine]:
    with Engine(state_dir) as engine:
        yield engine


def leave_nothing_running(state_dir: Path) -> None:
    jobs = [path.name for path in (state_dir / "jobs").glob("[!.]*")]
    if jobs:
        with Engine(state_dir) as engine:
            for states in ([State.QUEUED], [State.STARTING, State.RUNNING]):  # none may take the place of another
                for job in engine.list(state=states):
                    with suppress(JobNotRunningError):
                        job.stop(force=True)
    wait_until(lambda: not engine_processes(state_dir), "the end of fork server and shims")
    assert not any(job_processes(job_id) for job_id in jobs), "processes of jobs that have ended"
