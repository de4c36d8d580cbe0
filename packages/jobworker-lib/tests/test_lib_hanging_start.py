"""A start whose fork server or shim stands still: another is asked, or the job is lost. No command is executed twice.

A process that was stopped with SIGSTOP stands in for one that hangs for whatever reason.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from jobworker_lib import Engine, EngineError, Job, OutputLimit, StartLostError, State
from jobworker_lib.job.directory import JobDirectory
from jobworker_lib.launcher import Launcher
from lib_testing import SLEEPER, fork_servers, process_state, sh, shims, wait_until


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobworker_lib.launcher._PATIENCE_SECONDS", 1.0)
    monkeypatch.setattr("jobworker_lib.launcher._BEGIN_SECONDS", 6.0)
    monkeypatch.setattr("jobworker_lib.launcher._LONGEST_SECONDS", 6.0)


@contextmanager
def stopped(pids: Sequence[int]) -> Iterator[None]:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        wait_until(lambda: all(process_state(pid) == "T" for pid in pids))
        yield
    finally:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


@pytest.fixture
def marking(tmp_path: Path) -> tuple[list[str], Callable[[], int]]:
    """A command, and how often it was executed."""
    marks = tmp_path / "marks"
    marks.touch()
    return sh('echo >> "$1"', marks), lambda: len(marks.read_bytes())


def run(engine: Engine, command: list[str]) -> Job:
    job = engine.start(command)
    assert job.wait().exit_code == 0
    return job


def test_start_goes_on_with_another_fork_server(
    state_dir: Path, engine: Engine, marking: tuple[list[str], Callable[[], int]]
) -> None:
    """The one that hangs is killed, so it does not do later what it was asked for."""
    command, executed = marking
    run(engine, command)
    hanging = fork_servers(state_dir)
    with stopped(hanging):
        job = run(engine, command)
        wait_until(lambda: process_state(hanging[0]) in ("", "Z"), "its end")
    assert executed() == 2
    job.delete()


def test_engine_that_comes_later_replaces_it_too(
    state_dir: Path, engine: Engine, marking: tuple[list[str], Callable[[], int]]
) -> None:
    command, executed = marking
    run(engine, command)
    with stopped(fork_servers(state_dir)), Engine(state_dir) as later:
        run(later, command).delete()
        run(engine, command).delete()
    assert executed() == 3


def test_shim_that_is_given_a_job_second_leaves_it(
    engine: Engine, marking: tuple[list[str], Callable[[], int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that could not be killed may wake at any time, when the job was handed to another one."""
    ask = Launcher._ask
    answers: list[Any] = []

    def ask_twice(launcher: Launcher, directory: JobDirectory, lock: int, *, new_privileges: bool) -> Any:
        answers.extend(ask(launcher, directory, lock, new_privileges=new_privileges) for _ in range(2))
        return answers[0]

    monkeypatch.setattr(Launcher, "_ask", ask_twice)
    command, executed = marking
    run(engine, command).delete()
    assert answers == [{"started": True}, {"started": False}]
    assert executed() == 1


def test_shim_that_is_late_leaves_a_job_whose_first_output_was_dropped(
    engine: Engine, marking: tuple[list[str], Callable[[], int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    ask = Launcher._ask
    answers: list[Any] = []

    def ask_again_at_its_end(launcher: Launcher, directory: JobDirectory, lock: int, *, new_privileges: bool) -> Any:
        answers.append(ask(launcher, directory, lock, new_privileges=new_privileges))
        wait_until(directory.has_exit)
        files = set(os.listdir(directory.path))
        assert not files & {"output.log", "output.index"}
        answers.append(ask(launcher, directory, lock, new_privileges=new_privileges))
        assert set(os.listdir(directory.path)) == files
        return answers[0]

    monkeypatch.setattr(Launcher, "_ask", ask_again_at_its_end)
    (shell, option, script, *rest), executed = marking
    limit = OutputLimit(bytes=64 << 10, action="drop_oldest")
    job = engine.start([shell, option, f"{script}; head -c 1M /dev/zero", *rest], output_limit=limit)
    assert answers == [{"started": True}, {"started": False}]
    assert job.wait().exit_code == 0
    assert executed() == 1
    job.delete()


def test_job_that_a_shim_has_begun_with_is_left_to_it_when_no_other_can_be_asked(
    engine: Engine, marking: tuple[list[str], Callable[[], int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first was given up as hanging, and began when the next one was to be asked."""
    ask = Launcher._ask

    def ask_in_vain(launcher: Launcher, *args: Any, **options: Any) -> Any:
        ask(launcher, *args, **options)
        raise EngineError("no fork server can be started")

    monkeypatch.setattr(Launcher, "_ask", ask_in_vain)
    command, executed = marking
    run(engine, command).delete()
    assert executed() == 1


def test_nothing_is_left_of_a_job_that_no_shim_can_be_asked_for(
    state_dir: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask_in_vain(launcher: Launcher, *args: Any, **options: Any) -> Any:
        raise EngineError("no fork server can be started")

    monkeypatch.setattr(Launcher, "_ask", ask_in_vain)
    with pytest.raises(EngineError, match="no fork server can be started"):
        engine.start(SLEEPER)
    assert list(engine.list()) == []
    assert os.listdir(state_dir / "jobs") == []


@pytest.mark.parametrize("idle", [1, 4])
def test_start_goes_on_with_another_shim(
    state_dir: Path, engine: Engine, marking: tuple[list[str], Callable[[], int]], idle: int
) -> None:
    command, executed = marking
    jobs = [engine.start(SLEEPER) for _ in range(idle)]
    hanging = shims(state_dir)
    for job in jobs:
        job.stop(force=True)
        job.delete()  # so its shim is through with it
    with stopped(hanging):
        run(engine, command).delete()
    assert executed() == 1


def test_start_that_takes_too_long_is_lost(
    state_dir: Path, engine: Engine, marking: tuple[list[str], Callable[[], int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipe in the place of what the shim is to write stands in for a filesystem that does not answer."""
    launch = Launcher.launch

    def launch_in_vain(launcher: Launcher, directory: JobDirectory, lock: int, **options: Any) -> None:
        os.mkfifo(directory.file(".started.json.new"))
        launch(launcher, directory, lock, **options)

    command, executed = marking
    with monkeypatch.context() as patched:
        patched.setattr(Launcher, "launch", launch_in_vain)
        with pytest.raises(StartLostError, match="took more than 60 seconds") as error:
            engine.start(command)
    status = engine.get(error.value.job_id).wait()
    assert status.state is State.LOST
    assert status.error is not None
    assert status.error in str(error.value)
    assert executed() == 0
    run(engine, command)
    engine.get(error.value.job_id).delete()
    assert len(fork_servers(state_dir)) == 1
