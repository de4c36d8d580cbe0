from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest

from conformance.jobs import SLEEPER, output_of, python, refused, sh
from conformance.processes import PATIENCE_SECONDS, command_line, job_processes, wait_until
from conformance.subjects import Subject
from lib_testing import kill, shim_of


def test_returns_when_the_command_has_been_executed(subject: Subject) -> None:
    job_id = subject.start(SLEEPER)
    status = subject.status(job_id)
    assert status.state == "running"
    assert status.describe() == "running"
    assert status.started_at is not None
    assert status.created_at <= status.started_at
    assert status.started_at.tzinfo is UTC
    assert (status.ended_at, status.exit_code, status.signal, status.reason) == (None, None, None, None)
    # The kernel shows a new program's arguments a moment after execve(2) can no longer fail.
    wait_until(lambda: [command_line(pid) for pid in job_processes(job_id)] == [SLEEPER])


def test_tells_what_was_asked_for(subject: Subject) -> None:
    labels = {"team": "a", "example.org/purpose": "été ☀", "empty": ""}
    argv = ["true", "", "two words", "line\nbreak", "été ☀"]
    job_id = subject.start(argv, labels=labels)
    status = subject.status(job_id)
    assert status.id == job_id
    assert status.argv == tuple(argv)
    assert status.labels == labels
    assert status.owner == subject.owner


def test_passes_arguments_as_they_stand(subject: Subject) -> None:
    arguments = ["", "two words", "line\nbreak", "$HOME", "*", "'\"\\", "-n", "été ☀", "x" * 100_000]
    output = output_of(subject, ["printf", r"%s\0", *arguments])
    assert output.decode().split("\0")[:-1] == arguments


@pytest.fixture
def not_executable(tmp_path: Path) -> str:
    return _script(tmp_path / "not-executable", "#!/bin/sh\n", mode=0o644)


@pytest.fixture
def without_interpreter(tmp_path: Path) -> str:
    return _script(tmp_path / "without-interpreter", "#!/no/such/interpreter\n", mode=0o755)


@pytest.fixture
def no_program(tmp_path: Path) -> str:
    return _script(tmp_path / "no-program", "\x7fno program", mode=0o755)


def _script(path: Path, text: str, *, mode: int) -> str:
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def test_command_not_found(subject: Subject) -> None:
    _assert_start_fails(subject, ["no-such-command-anywhere"], "COMMAND_NOT_FOUND")


def test_path_of_command_not_found(subject: Subject, tmp_path: Path) -> None:
    _assert_start_fails(subject, [str(tmp_path / "nothing" / "here")], "COMMAND_NOT_FOUND")


def test_command_not_executable(subject: Subject, not_executable: str) -> None:
    _assert_start_fails(subject, [not_executable], "COMMAND_NOT_EXECUTABLE")


def test_command_is_a_directory(subject: Subject, tmp_path: Path) -> None:
    _assert_start_fails(subject, [str(tmp_path)], "COMMAND_NOT_EXECUTABLE")


def test_command_is_no_program(subject: Subject, no_program: str) -> None:
    _assert_start_fails(subject, [no_program], "COMMAND_NOT_EXECUTABLE")


def test_interpreter_of_command_not_found(subject: Subject, without_interpreter: str) -> None:
    _assert_start_fails(subject, [without_interpreter], "COMMAND_NOT_EXECUTABLE")


def test_working_directory_not_found(subject: Subject, tmp_path: Path) -> None:
    _assert_start_fails(subject, ["true"], "BAD_WORKING_DIRECTORY", cwd=str(tmp_path / "missing"))


def test_working_directory_is_a_file(subject: Subject, not_executable: str) -> None:
    _assert_start_fails(subject, ["true"], "BAD_WORKING_DIRECTORY", cwd=not_executable)


def test_one_argument_too_long(subject: Subject) -> None:
    _assert_start_fails(subject, ["echo", "x" * (2 << 20)], "ARGUMENTS_TOO_LONG")


def test_arguments_too_long_together(subject: Subject) -> None:
    _assert_start_fails(subject, ["echo", *["x" * 1000] * 2100], "ARGUMENTS_TOO_LONG")


def _assert_start_fails(subject: Subject, argv: list[str], reason: str, **options: Any) -> None:
    with refused(reason) as caught:
        subject.start(argv, **options)
    failed_id = caught.value.job_id
    assert failed_id is not None
    status = subject.status(failed_id)
    assert (status.state, status.reason) == ("failed", "failed_to_start")
    assert status.error
    assert status.describe() == f"failed ({status.error})"
    assert status.started_at is None
    assert status.ended_at is not None
    assert (status.exit_code, status.signal) == (None, None)
    assert list(subject.output(failed_id)) == []
    assert subject.wait(failed_id) == status
    assert subject.wait(subject.start(["true"])).exit_code == 0


@pytest.mark.parametrize(
    ("field", "argv", "options"),
    [
        pytest.param("argv", [], {}, id="no command"),
        pytest.param("argv", [""], {}, id="empty command"),
        pytest.param("argv", ["echo\0"], {}, id="NUL in the command"),
        pytest.param("argv", ["echo", "a\0b"], {}, id="NUL in an argument"),
        pytest.param("cwd", ["true"], {"cwd": "/tmp\0"}, id="NUL in the working directory"),  # never used
        pytest.param("env", ["true"], {"env": {"A\0": "x"}}, id="NUL in a variable's name"),
        pytest.param("env", ["true"], {"env": {"A": "x\0"}}, id="NUL in a variable"),
        pytest.param("env", ["true"], {"env": {"": "x"}}, id="variable without a name"),
        pytest.param("env", ["true"], {"env": {"A=B": "x"}}, id="equals sign in a variable's name"),
        pytest.param("env", ["true"], {"env": {"JOBWORKER_JOB_ID": "x"}}, id="variable of jobworker"),
        pytest.param("timeout", ["true"], {"timeout": 0.0}, id="timeout of nothing"),
        pytest.param("timeout", ["true"], {"timeout": 1e10}, id="timeout of centuries"),
        pytest.param("labels", ["true"], {"labels": {"": "x"}}, id="label without a key"),
        pytest.param("labels", ["true"], {"labels": {"-a": "x"}}, id="bad key of a label"),
        pytest.param("labels.a", ["true"], {"labels": {"a": "x\n"}}, id="line break in a label"),
        pytest.param("labels.a", ["true"], {"labels": {"a": "x" * 257}}, id="long label"),
        pytest.param("labels", ["true"], {"labels": {f"k{n}": "" for n in range(65)}}, id="too many labels"),
        pytest.param("request_id", ["true"], {"request_id": "x" * 129}, id="long request id"),
    ],
)
def test_refuses_what_cannot_be_used(subject: Subject, field: str, argv: list[str], options: dict[str, Any]) -> None:
    with refused("INVALID_ARGUMENT") as caught:
        subject.start(argv, **options)
    assert caught.value.field == field
    assert not subject.list().statuses


def test_refuses_a_negative_timeout(subject: Subject) -> None:
    with refused("INVALID_ARGUMENT"):
        subject.start(["true"], timeout=-1)


def test_environment_is_clean(subject: Subject, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_PROGRAM", "x")
    job_id, variables = _environment(subject, None)
    ours = {"JOBWORKER_JOB_ID", "JOBWORKER_JOB_DIRECTORY"}
    assert variables.keys() == {"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", *ours}
    assert variables["JOBWORKER_JOB_ID"] == job_id


def test_environment_is_added_to(subject: Subject) -> None:
    given = {"EMPTY": "", "NAME": "été\n=", "HOME": "/elsewhere"}
    _, clean = _environment(subject, None)
    job_id, variables = _environment(subject, given)
    ours = {"JOBWORKER_JOB_ID": job_id, "JOBWORKER_JOB_DIRECTORY": variables["JOBWORKER_JOB_DIRECTORY"]}
    assert variables == {**clean, **given, **ours}


def test_command_is_looked_up_in_the_path_of_the_job(subject: Subject, tmp_path: Path) -> None:
    _script(tmp_path / "only-here", "#!/bin/sh\nexit 7\n", mode=0o755)
    job_id = subject.start(["only-here"], env={"PATH": f"/nowhere:{tmp_path}"})
    assert subject.wait(job_id).exit_code == 7


def _environment(subject: Subject, given: Mapping[str, str] | None) -> tuple[str, dict[str, str]]:
    job_id = subject.start(["/usr/bin/env", "-0"], env=given)
    output = b"".join(chunk.data for chunk in subject.output(job_id)).decode()
    return job_id, dict(variable.split("=", 1) for variable in output.split("\0")[:-1])


def test_working_directory(subject: Subject, tmp_path: Path) -> None:
    job_id = subject.start(["/bin/pwd"], cwd=str(tmp_path))
    assert b"".join(chunk.data for chunk in subject.output(job_id)) == f"{tmp_path}\n".encode()


def test_standard_input_is_empty(subject: Subject) -> None:
    assert output_of(subject, ["cat"]) == b""


def test_runs_in_a_session_of_its_own(subject: Subject) -> None:
    assert output_of(subject, python("import os; print(os.getsid(0) == os.getpid() == os.getpgrp())")) == b"True\n"


def test_inherits_no_descriptors(subject: Subject) -> None:
    opened = output_of(subject, python("import os; print(os.listdir('/proc/self/fd'))"))
    assert opened == b"['0', '1', '2', '3']\n"  # the last one is of listdir itself


def test_inherits_no_signal_settings(subject: Subject) -> None:
    settings = output_of(subject, ["grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"])
    _, blocked, _, ignored = settings.split()
    # glibc's posix_spawn(3), by which make runs commands, leaves its own two signals (32, 33) ignored for all below.
    glibc_own = 0b11 << 31
    assert (int(blocked, 16), int(ignored, 16) & ~glibc_own) == (0, 0)


def test_same_request_id_gives_the_same_job(subject: Subject, tmp_path: Path) -> None:
    command = sh('echo once >> "$1"', tmp_path / "runs")
    first = subject.start(command, request_id="request 1")
    assert subject.start(command, request_id="request 1") == first
    subject.wait(first)
    assert subject.start(command, request_id="request 1") == first
    other = subject.start(command, request_id="request 2")
    assert other != first
    subject.wait(other)
    assert (tmp_path / "runs").read_text() == "once\n" * 2


def test_same_request_id_at_once_gives_the_same_job(subject: Subject) -> None:
    with ThreadPoolExecutor(8) as pool:
        started = list(pool.map(lambda _: subject.start(SLEEPER, request_id="request"), range(16)))
    assert len(set(started)) == 1
    assert len(subject.list().statuses) == 1
    assert subject.status(started[0]).state == "running"


def test_same_request_id_of_a_failed_start_fails_alike(subject: Subject) -> None:
    for _ in range(2):
        with refused("COMMAND_NOT_FOUND"):
            subject.start(["no-such-command-anywhere"], request_id="request")
    assert len(subject.list().statuses) == 1


def test_many_at_once(subject: Subject) -> None:
    with ThreadPoolExecutor(8) as pool:
        started = list(pool.map(lambda number: subject.start(sh("exit $1", number)), range(24)))
    assert [subject.wait(job_id).exit_code for job_id in started] == list(range(24))


def test_that_was_lost_is_told_as_such(subject: Subject) -> None:
    """Its shim is killed before it has recorded the start: as if so, for a record is taken away."""
    job_id = subject.start(SLEEPER, request_id="once")
    directory = subject.state_dir / "jobs" / job_id
    main_process = int(json.loads((directory / "started.json").read_text())["pid"])
    kill(shim_of(job_id, main_process))
    assert subject.wait(job_id, PATIENCE_SECONDS).state == "lost"
    (directory / "started.json").unlink()
    with refused("START_LOST") as caught:
        subject.start(SLEEPER, request_id="once")
    assert caught.value.job_id == job_id
    assert len(subject.list().statuses) == 1
