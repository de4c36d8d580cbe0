"""Commands that fail are executed again, as their policy says; each attempt's output and end are kept."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from conformance.jobs import awaiting, follow_until, in_its_pause, joined, refused, sh
from conformance.processes import PATIENCE_SECONDS, job_processes, wait_until
from conformance.subjects import Attempt, Subject
from jobworker_lib import RestartPolicy

AT_ONCE = RestartPolicy(max_restarts=10, backoff=0.01)
LATER = RestartPolicy(max_restarts=10, backoff=1000, max_backoff=1000)


def failing_until(times: int, counter: Path) -> str:
    """A piece of shell that fails, with the number of the attempt as its code, until it has run so often."""
    return f"echo >> '{counter}'; n=$(wc -l < '{counter}'); echo attempt $n; [ $n -ge {times} ] || exit $n"


def ends(attempts: list[Attempt]) -> list[tuple[int, int | None, int | None]]:
    return [(attempt.number, attempt.exit_code, attempt.signal) for attempt in attempts]


def test_job_without_a_policy_has_one_attempt(subject: Subject) -> None:
    status = subject.wait(subject.start(sh("exit 3")))
    (attempt,) = status.attempts
    assert (attempt.number, attempt.exit_code, attempt.signal, attempt.output_offset) == (1, 3, None, 0)
    assert (attempt.started_at, attempt.ended_at) == (status.started_at, status.ended_at)


def test_failing_command_is_executed_until_it_succeeds(subject: Subject, tmp_path: Path) -> None:
    job_id = subject.start(sh(failing_until(4, tmp_path / "counter")), restart=AT_ONCE)
    status = subject.wait(job_id)
    assert (status.state, status.reason, status.exit_code) == ("exited", "exited", 0)
    assert ends(list(status.attempts)) == [(1, 1, None), (2, 2, None), (3, 3, None), (4, 0, None)]
    assert joined(subject.output(job_id)) == b"attempt 1\nattempt 2\nattempt 3\nattempt 4\n"
    assert [attempt.output_offset for attempt in status.attempts] == [0, 10, 20, 30]


def test_times_of_attempts_are_in_order(subject: Subject, tmp_path: Path) -> None:
    policy = RestartPolicy(max_restarts=2, backoff=0.2)
    status = subject.wait(subject.start(sh(failing_until(3, tmp_path / "counter")), restart=policy))
    first, second, third = status.attempts
    assert first.ended_at is not None
    assert second.ended_at is not None
    assert third.ended_at == status.ended_at
    assert first.started_at == status.started_at
    assert (second.started_at - first.ended_at).total_seconds() >= 0.2
    assert (third.started_at - second.ended_at).total_seconds() >= 0.4


def test_the_end_is_that_of_the_last_attempt(subject: Subject, tmp_path: Path) -> None:
    policy = RestartPolicy(max_restarts=2, backoff=0.01)
    status = subject.wait(subject.start(sh(failing_until(99, tmp_path / "counter")), restart=policy))
    assert (status.state, status.reason, status.exit_code) == ("exited", "exited", 3)
    assert len(status.attempts) == 3


def test_longest_pause(subject: Subject, tmp_path: Path) -> None:
    policy = RestartPolicy(max_restarts=5, backoff=1000, max_backoff=0.01)
    status = subject.wait(subject.start(sh(failing_until(5, tmp_path / "counter")), restart=policy))
    assert len(status.attempts) == 5


def test_signal_from_elsewhere_is_a_failure(subject: Subject, tmp_path: Path) -> None:
    job_id = subject.start(sh(f"[ -e '{tmp_path}/again' ] || kill -KILL $$"), restart=AT_ONCE)
    wait_until(lambda: len(subject.status(job_id).attempts) > 1, "another attempt")
    (tmp_path / "again").touch()
    status = subject.wait(job_id)
    assert status.exit_code == 0
    assert status.attempts[0].signal == 9


def test_success_is_not_repeated(subject: Subject) -> None:
    status = subject.wait(subject.start(["true"], restart=AT_ONCE))
    assert len(status.attempts) == 1


def test_command_that_is_not_there_is_not_tried_again(subject: Subject) -> None:
    with refused("COMMAND_NOT_FOUND") as caught:
        subject.start(["/no/such/command"], restart=AT_ONCE)
    assert caught.value.job_id is not None
    assert list(subject.status(caught.value.job_id).attempts) == []


def test_command_that_vanishes_has_failed(subject: Subject, tmp_path: Path) -> None:
    command = tmp_path / "command"
    command.write_text('#!/bin/sh\nrm "$0"; exit 5\n')
    command.chmod(0o755)
    policy = RestartPolicy(max_restarts=2, backoff=0.01)
    status = subject.wait(subject.start([str(command)], restart=policy))
    assert (status.state, status.reason, status.exit_code) == ("failed", "failed_to_start", None)
    assert ends(list(status.attempts)) == [(1, 5, None), (2, None, None), (3, None, None)]
    assert [bool(attempt.error) for attempt in status.attempts] == [False, True, True]
    assert status.error is not None
    assert "command not found" in status.error


def test_nothing_of_an_attempt_is_left_when_the_next_begins(subject: Subject, tmp_path: Path) -> None:
    script = f"[ -e '{tmp_path}/again' ] && exit 0; touch '{tmp_path}/again'; (sleep 0.5; echo late) & exit 1"
    job_id = subject.start(sh(script), restart=AT_ONCE)
    status = subject.wait(job_id)
    assert joined(subject.output(job_id)) == b"late\n"
    assert [attempt.output_offset for attempt in status.attempts] == [0, 5]


def test_stop_is_not_a_failure(subject: Subject) -> None:
    job_id = subject.start(sh("echo ready; exec sleep 1000"), restart=AT_ONCE)
    follow_until(subject, job_id, b"ready")
    status = subject.stop(job_id)
    assert (status.state, status.reason, status.signal) == ("stopped", "stopped", 15)
    assert len(status.attempts) == 1


def test_stop_ends_the_pause(subject: Subject) -> None:
    job_id = subject.start(sh("exit 7"), restart=LATER)
    assert in_its_pause(subject, job_id).state == "running"
    began = time.monotonic()
    status = subject.stop(job_id)
    assert time.monotonic() - began < PATIENCE_SECONDS
    assert (status.state, status.reason, status.exit_code) == ("stopped", "stopped", 7)
    assert ends(list(status.attempts)) == [(1, 7, None)]


def test_stop_while_the_tree_of_a_failed_attempt_is_still_there(subject: Subject) -> None:
    job_id = subject.start(sh("setsid -f sleep 1000; echo ready; exit 5"), restart=AT_ONCE)
    follow_until(subject, job_id, b"ready")
    status = subject.stop(job_id, force=True)
    assert (status.state, status.reason) == ("stopped", "stopped")
    assert len(status.attempts) == 1
    assert job_processes(job_id) == []


def test_timeout_counts_over_all_attempts(subject: Subject) -> None:
    status = subject.wait(subject.start(sh("sleep 0.1; exit 1"), timeout=1, restart=AT_ONCE))
    assert (status.state, status.reason) == ("stopped", "timed_out")
    assert len(status.attempts) > 1


def test_timeout_ends_the_pause(subject: Subject) -> None:
    status = subject.wait(subject.start(sh("exit 7"), timeout=2, restart=LATER))  # by then it has exited
    assert (status.state, status.reason, status.exit_code) == ("stopped", "timed_out", 7)


def test_signal_in_the_pause_reaches_nobody(subject: Subject) -> None:
    job_id = subject.start(sh("exit 7"), restart=LATER)
    in_its_pause(subject, job_id)
    with refused("JOB_NOT_RUNNING"):
        subject.signal(job_id, "SIGHUP")
    assert subject.stop(job_id).exit_code == 7


def test_job_in_its_pause_has_not_ended(subject: Subject) -> None:
    job_id = subject.start(sh("echo one; exit 7"), restart=LATER)
    in_its_pause(subject, job_id)
    with refused("JOB_RUNNING"):
        subject.delete(job_id)
    with pytest.raises(TimeoutError):
        subject.wait(job_id, timeout=0.1)
    assert [status.id for status in subject.list(states=["running"]).statuses] == [job_id]
    subject.stop(job_id)
    assert joined(subject.output(job_id)) == b"one\n"


def test_followers_go_on_over_attempts(subject: Subject, tmp_path: Path) -> None:
    job_id = subject.start(sh(f"echo begun; {awaiting(tmp_path / 'gate')}; exit 1"), restart=LATER)
    chunks = subject.output(job_id)
    assert next(chunks).data == b"begun\n"
    (tmp_path / "gate").touch()
    in_its_pause(subject, job_id)
    subject.stop(job_id)
    assert joined(chunks) == b""


def test_only_the_last_hundred_attempts_are_told(subject: Subject) -> None:
    policy = RestartPolicy(max_restarts=104, backoff=0.0001, max_backoff=0.0001)
    status = subject.wait(subject.start(["false"], restart=policy))
    assert [attempt.number for attempt in status.attempts] == list(range(6, 106))
    assert {attempt.exit_code for attempt in status.attempts} == {1}


def test_restarts_go_on_without_the_engines_program(subject: Subject, tmp_path: Path) -> None:
    script = f"echo attempt; [ -e '{tmp_path}/enough' ] || exit 1"
    job_id = subject.start(sh(script), restart=RestartPolicy(max_restarts=1000, backoff=0.05, max_backoff=0.05))
    subject.restart()
    before = subject.status(job_id).attempts[-1].number
    wait_until(lambda: subject.status(job_id).attempts[-1].number > before, "an attempt after the restart")
    (tmp_path / "enough").touch()
    status = subject.wait(job_id)
    assert joined(subject.output(job_id)) == b"attempt\n" * status.attempts[-1].number


@pytest.mark.parametrize(
    ("field", "policy"),
    [
        ("restart.max_restarts", RestartPolicy(max_restarts=1001)),
        ("restart.backoff", RestartPolicy(max_restarts=1, backoff=0)),
        ("restart.max_backoff", RestartPolicy(max_restarts=1, max_backoff=0)),
    ],
)
def test_policy_that_can_not_be_used(subject: Subject, field: str, policy: RestartPolicy) -> None:
    with refused("INVALID_ARGUMENT") as caught:
        subject.start(["true"], restart=policy)
    assert caught.value.field == field
