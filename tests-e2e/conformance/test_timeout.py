"""A job ends when its timeout has passed, which can be changed while it runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from conformance.jobs import SLEEPER, UNKNOWN_ID, awaiting, ended, in_its_pause, refused, sh
from conformance.subjects import Subject
from jobworker_lib import RestartPolicy


def test_timeout_is_told(subject: Subject) -> None:
    job_id = subject.start(SLEEPER, timeout=1000.5)
    assert subject.status(job_id).timeout == 1000.5
    assert subject.status(subject.start(SLEEPER)).timeout is None


def test_extended(subject: Subject, tmp_path: Path) -> None:
    """By far more than the test's patience, so whatever ends the job is not the first timeout."""
    job_id = subject.start(sh(f"{awaiting(tmp_path / 'gate')}; exit 3"), timeout=2)
    subject.set_timeout(job_id, 1000)
    assert subject.status(job_id).timeout == 1000
    with pytest.raises(TimeoutError):
        subject.wait(job_id, timeout=3)
    (tmp_path / "gate").touch()
    assert subject.wait(job_id).exit_code == 3


def test_removed(subject: Subject, tmp_path: Path) -> None:
    job_id = subject.start(sh(f"{awaiting(tmp_path / 'gate')}; exit 3"), timeout=2)
    subject.set_timeout(job_id, None)
    assert subject.status(job_id).timeout is None
    with pytest.raises(TimeoutError):
        subject.wait(job_id, timeout=3)
    (tmp_path / "gate").touch()
    assert subject.wait(job_id).exit_code == 3


@pytest.mark.parametrize("first", [None, 1000])
def test_shortened(subject: Subject, first: float | None) -> None:
    job_id = subject.start(SLEEPER, timeout=first)
    subject.set_timeout(job_id, 0.5)
    status = subject.wait(job_id)
    assert (status.state, status.reason, status.signal) == ("stopped", "timed_out", 15)
    assert status.started_at is not None
    assert status.ended_at is not None
    assert (status.ended_at - status.started_at).total_seconds() >= 0.5


def test_one_that_has_passed_ends_the_job_at_once(subject: Subject) -> None:
    job_id = subject.start(SLEEPER)
    subject.set_timeout(job_id, 0.001)
    assert subject.wait(job_id).reason == "timed_out"


def test_changed_again_and_again(subject: Subject) -> None:
    job_id = subject.start(SLEEPER)
    for seconds in (1000, None, 500, 900.25):
        subject.set_timeout(job_id, seconds)
        assert subject.status(job_id).timeout == seconds


def test_change_is_kept(subject: Subject) -> None:
    job_id = subject.start(SLEEPER, timeout=1000)
    subject.set_timeout(job_id, 2000)
    subject.restart()
    assert subject.status(job_id).timeout == 2000
    subject.stop(job_id, force=True)
    assert subject.status(job_id).timeout == 2000
    assert [status.timeout for status in subject.list().statuses] == [2000]


def test_in_the_pause_before_a_restart(subject: Subject) -> None:
    policy = RestartPolicy(max_restarts=1, backoff=1000, max_backoff=1000)
    job_id = subject.start(sh("exit 7"), restart=policy)
    in_its_pause(subject, job_id)
    subject.set_timeout(job_id, 0.1)
    status = subject.wait(job_id)
    assert (status.reason, status.exit_code) == ("timed_out", 7)


def test_ended_job_is_not_changed(subject: Subject) -> None:
    job_id = ended(subject, ["true"])
    with refused("JOB_NOT_RUNNING"):
        subject.set_timeout(job_id, 1000)
    assert subject.status(job_id).timeout is None


def test_unknown_job(subject: Subject) -> None:
    with refused("JOB_NOT_FOUND"):
        subject.set_timeout(UNKNOWN_ID, 1000)


def test_no_time_at_all(subject: Subject) -> None:
    job_id = subject.start(SLEEPER)
    with refused("INVALID_ARGUMENT") as caught:
        subject.set_timeout(job_id, 0)
    assert caught.value.field == "timeout"
