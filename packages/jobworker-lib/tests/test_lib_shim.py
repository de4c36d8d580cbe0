"""A shim as a command of its own, as another host would run it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobworker_lib import Reason, State
from jobworker_lib.job.directory import SPEC, JobDirectory
from jobworker_lib.job.record import to_bytes
from jobworker_lib.job.spec import JobSpec
from jobworker_lib.output.reader import OutputReader
from lib_testing import PATIENCE_SECONDS, job_processes, sh, wait_until

RunShim = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def make_job(tmp_path: Path) -> Callable[..., JobDirectory]:
    """Makes a directory that holds nothing but a spec."""

    def make(argv: list[str], **options: Any) -> JobDirectory:
        spec = JobSpec.make(argv, **options)
        directory = tmp_path / spec.id
        directory.mkdir()
        (directory / SPEC).write_bytes(to_bytes(spec))
        return JobDirectory(directory)

    return make


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "jobworker_lib.shim", *map(str, arguments)]


def run_shim(*arguments: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1] / "src")}
    return subprocess.run(
        command(*arguments), env=environment, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
    )


def output(directory: JobDirectory) -> list[tuple[str, bytes]]:
    chunks = []
    with OutputReader(directory, offset=0, follow=True, stream=None, has_ended=directory.has_exit) as reader:
        while batch := reader.next_batch():
            chunks += batch
    return [(chunk.stream, chunk.data) for chunk in chunks]


def test_runs_the_job_of_a_directory(make_job: Callable[..., JobDirectory], tmp_path: Path) -> None:
    captured = 'captured() { until [ $(wc -c < "$1/$JOBWORKER_JOB_ID/output.log") -ge $2 ]; do sleep 0.01; done; }'
    script = 'printf out; captured "$1" 3; printf err >&2; (captured "$1" 6; printf late) & exit 3'
    directory = make_job(sh(f"{captured}; {script}", tmp_path))
    done = run_shim(directory.path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    status = directory.status()
    assert (status.state, status.reason, status.exit_code) == (State.EXITED, Reason.EXITED, 3)
    assert output(directory) == [("stdout", b"out"), ("stderr", b"err"), ("stdout", b"late")]
    assert {path.name for path in os.scandir(directory.path)} == {
        "spec.json",
        "started.json",
        "exit.json",
        "output.log",
        "output.index",
    }


def test_path_may_be_relative(make_job: Callable[..., JobDirectory], monkeypatch: pytest.MonkeyPatch) -> None:
    directory = make_job(sh("exit 3"), cwd="/")
    monkeypatch.chdir(os.path.dirname(directory.path))
    assert run_shim(directory.name).returncode == 0
    assert directory.status().exit_code == 3


def test_records_a_start_that_fails(make_job: Callable[..., JobDirectory]) -> None:
    directory = make_job(["no-such-command-anywhere"])
    assert run_shim(directory.path).returncode == 0
    status = directory.status()
    assert (status.state, status.reason) == (State.FAILED, Reason.FAILED_TO_START)
    assert status.error == "command not found: no-such-command-anywhere"


def test_keeps_to_the_timeout(make_job: Callable[..., JobDirectory]) -> None:
    directory = make_job(["sleep", "1000"], timeout=0.2)
    assert run_shim(directory.path).returncode == 0
    assert directory.status().reason is Reason.TIMED_OUT


def test_ended_by_sigterm_stops_the_job(make_job: Callable[..., JobDirectory]) -> None:
    directory = make_job(sh("setsid -f sleep 1000; echo ready; exec sleep 1000"))
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1] / "src")}
    with subprocess.Popen(command(directory.path), env=environment) as shim:
        wait_until(lambda: directory.was_taken() and directory.status().output_bytes)
        shim.terminate()
        assert shim.wait(PATIENCE_SECONDS) == 0
    status = directory.status()
    assert (status.state, status.reason, status.signal) == (State.STOPPED, Reason.STOPPED, 15)
    assert job_processes(status.id) == []


def test_job_is_run_once(make_job: Callable[..., JobDirectory]) -> None:
    directory = make_job(["true"])
    assert run_shim(directory.path).returncode == 0
    again = run_shim(directory.path)
    assert again.returncode == 1
    assert "was run already" in again.stderr


def test_job_has_one_supervisor(make_job: Callable[..., JobDirectory]) -> None:
    directory = make_job(["true"])
    lock = directory.try_lock()
    assert lock is not None
    try:
        refused = run_shim(directory.path)
    finally:
        os.close(lock)
    assert refused.returncode == 1
    assert "has a supervisor already" in refused.stderr
    assert not directory.was_taken()


def test_directory_without_a_job_is_refused(tmp_path: Path) -> None:
    refused = run_shim(tmp_path)
    assert refused.returncode == 1
    assert "no spec.json" in refused.stderr


@pytest.mark.parametrize("arguments", [(), ("a", "b")])
def test_wrong_usage(arguments: tuple[str, ...]) -> None:
    refused = run_shim(*arguments)
    assert refused.returncode == 2
    assert refused.stderr.startswith("usage:")
