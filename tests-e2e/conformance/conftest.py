"""One subject of each kind for a test session; each test leaves its subject as empty as it found it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

import jobworker_cli  # noqa: F401  # sets up grpc, so it comes before grpc is imported
from conformance.processes import PATIENCE_SECONDS, holders, job_processes, wait_until
from conformance.subjects import (
    AsyncioServerSubject,
    AsyncioSubject,
    LibrarySubject,
    RefusedError,
    ServerSubject,
    Subject,
)

OpenSubject = Callable[[str], Subject]


@pytest.fixture(scope="session")
def open_subject(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenSubject]:
    """Opens each kind of subject once, whatever the order of tests."""
    opened: dict[str, Subject] = {}

    def open_once(kind: str) -> Subject:
        if kind not in opened:
            opened[kind] = _open(kind, tmp_path_factory.mktemp(kind))
        return opened[kind]

    yield open_once
    for subject in opened.values():
        subject.close()
    for subject in opened.values():
        wait_until(lambda: not holders(subject.state_dir), "the end of all processes of the engine")  # noqa: B023  # called at once


def _open(kind: str, directory: Path) -> Subject:
    state_dir = directory / "state"
    if kind == "library":
        return LibrarySubject(state_dir)
    if kind == "asyncio":
        return AsyncioSubject(state_dir)
    certs = directory / "certs"
    command = [sys.executable, "-m", "jobworker_pki", "init", "--dir", str(certs)]
    subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE_SECONDS)
    return (AsyncioServerSubject if kind == "server asyncio" else ServerSubject)(state_dir, certs)


@pytest.fixture(params=["library", "asyncio", "server", "server asyncio"])
def subject(request: pytest.FixtureRequest, open_subject: OpenSubject) -> Iterator[Subject]:
    """The engine, without jobs. What the test leaves running is killed; what has ended must have left no process."""
    subject = open_subject(request.param)
    yield subject
    statuses = subject.list(limit=1000).statuses
    left = {status.id: pids for status in statuses if status.state.ended and (pids := job_processes(status.id))}
    for status in statuses:
        _remove(subject, status.id)
    assert not left, "processes of jobs that have ended"
    assert not any(job_processes(status.id) for status in statuses)
    assert not subject.list().statuses


def _remove(subject: Subject, job_id: str) -> None:
    with suppress(RefusedError):  # it has ended; what can't be deleted fails below
        subject.stop(job_id, force=True)
    subject.delete(job_id)
