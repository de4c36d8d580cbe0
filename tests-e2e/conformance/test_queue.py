"""Bounds on running jobs: what is too much waits for its turn, or is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance.jobs import SLEEPER, joined, refused, sh
from conformance.processes import wait_until
from conformance.subjects import Subject
from jobworker_lib import Bounds

ONE = Bounds(running=1)


@pytest.fixture
def bounded(subject: Subject) -> Iterator[Subject]:
    """One job at a time."""
    subject.set_bounds(ONE)
    yield subject
    subject.set_bounds(Bounds())


def recorded(path: Path, name: object) -> list[str]:
    """A command that writes its name down when it is executed."""
    return sh('echo "$1" >> "$2"', name, path)


def test_job_waits_for_its_turn(bounded: Subject) -> None:
    first, second = bounded.start(SLEEPER), bounded.start(["echo", "second"])
    status = bounded.status(second)
    assert (status.state, status.describe(), status.started_at, list(status.attempts)) == ("queued", "queued", None, [])
    assert [job.id for job in bounded.list(states=["queued"]).statuses] == [second]
    output = bounded.output(second)
    bounded.stop(first)
    assert joined(output) == b"second\n"
    assert bounded.wait(second).exit_code == 0


def test_turns_go_by_priority_and_then_by_age(bounded: Subject, tmp_path: Path) -> None:
    first = bounded.start(SLEEPER)
    jobs = [
        bounded.start(recorded(tmp_path / "ran", f"{priority} {number}"), priority=priority)
        for number in range(3)
        for priority in (-1, 0, 5)
    ]
    bounded.stop(first)
    for job_id in jobs:
        bounded.wait(job_id)
    expected = [f"{priority} {number}" for priority in (5, 0, -1) for number in range(3)]
    assert (tmp_path / "ran").read_text().splitlines() == expected


def test_queued_job_is_cancelled(bounded: Subject) -> None:
    first, second, third = (bounded.start(SLEEPER) for _ in range(3))
    status = bounded.stop(second)
    assert (status.state, status.reason, status.exit_code, status.signal) == ("stopped", "stopped", None, None)
    assert (status.describe(), status.started_at) == ("stopped", None)
    assert list(bounded.output(second)) == []
    with refused("JOB_NOT_RUNNING"):
        bounded.stop(second)
    bounded.delete(second)
    bounded.stop(first)
    wait_until(lambda: bounded.status(third).state == "running", "the start of who waited behind it")


def test_what_needs_a_running_job_is_refused(bounded: Subject) -> None:
    bounded.start(SLEEPER)
    queued = bounded.start(SLEEPER)
    with refused("JOB_NOT_RUNNING"):
        bounded.signal(queued, "SIGHUP")
    with refused("JOB_RUNNING"):
        bounded.delete(queued)
    with pytest.raises(TimeoutError):
        bounded.wait(queued, timeout=0.1)


def test_timeout_counts_from_the_start(bounded: Subject) -> None:
    first, queued = bounded.start(SLEEPER), bounded.start(SLEEPER, timeout=1000)
    bounded.set_timeout(queued, 0.2)
    assert bounded.status(queued).timeout == 0.2
    assert bounded.status(queued).state == "queued"
    bounded.stop(first)
    assert bounded.wait(queued).reason == "timed_out"


def test_start_deadline(bounded: Subject) -> None:
    bounded.start(SLEEPER, start_deadline=0.2)
    status = bounded.wait(bounded.start(SLEEPER, start_deadline=0.2))
    assert (status.state, status.reason) == ("failed", "failed_to_start")
    assert status.error == "the start deadline has passed: it was still queued after 0.2 seconds"


def test_command_that_can_not_be_executed_is_found_out_later(bounded: Subject) -> None:
    first, queued = bounded.start(SLEEPER), bounded.start(["/no/such/command"])
    bounded.stop(first)
    status = bounded.wait(queued)
    assert (status.state, status.error) == ("failed", "command not found: /no/such/command")


def test_repeated_request_does_not_queue_again(bounded: Subject) -> None:
    bounded.start(SLEEPER)
    queued = bounded.start(SLEEPER, request_id="queued")
    assert bounded.start(SLEEPER, request_id="queued") == queued
    assert len(bounded.list().statuses) == 2


def test_queue_outlives_the_engines_program(bounded: Subject, tmp_path: Path) -> None:
    first = bounded.start(SLEEPER)
    jobs = [bounded.start(recorded(tmp_path / "ran", number)) for number in range(5)]
    bounded.restart()
    assert {bounded.status(job_id).state for job_id in jobs} == {"queued"}
    bounded.stop(first)
    for job_id in jobs:
        assert bounded.wait(job_id).exit_code == 0
    assert (tmp_path / "ran").read_text() == "0\n1\n2\n3\n4\n"


def test_refused_where_that_is_chosen(bounded: Subject) -> None:
    bounded.set_bounds(Bounds(running=1, when_full="refuse"))
    first = bounded.start(SLEEPER)
    with refused("QUOTA_EXCEEDED"):
        bounded.start(["true"])
    assert [job.id for job in bounded.list().statuses] == [first]
    bounded.stop(first)
    assert bounded.wait(bounded.start(["true"])).exit_code == 0


def test_refused_where_as_many_wait_as_may(bounded: Subject) -> None:
    bounded.set_bounds(Bounds(running_per_owner=1, queued=1))
    bounded.start(SLEEPER)
    queued = bounded.start(SLEEPER)
    with refused("QUOTA_EXCEEDED"):
        bounded.start(SLEEPER)
    bounded.stop(queued)
    assert bounded.status(bounded.start(SLEEPER)).state == "queued"


@pytest.mark.parametrize(
    ("field", "options"),
    [("priority", {"priority": 1001}), ("priority", {"priority": -1001}), ("start_deadline", {"start_deadline": 0})],
)
def test_turn_that_can_not_be_asked_for(subject: Subject, field: str, options: dict[str, float]) -> None:
    with refused("INVALID_ARGUMENT") as caught:
        subject.start(["true"], **options)  # type: ignore[arg-type]  # a priority is whole
    assert caught.value.field == field
