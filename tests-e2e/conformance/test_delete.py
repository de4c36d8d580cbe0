from __future__ import annotations

from collections.abc import Callable

import pytest

from conformance.jobs import SLEEPER, UNKNOWN_ID, ended, joined, refused, sh
from conformance.subjects import Subject

OPERATIONS: dict[str, Callable[[Subject, str], object]] = {
    "status": lambda subject, job_id: subject.status(job_id),
    "wait": lambda subject, job_id: subject.wait(job_id),
    "stop": lambda subject, job_id: subject.stop(job_id),
    "signal": lambda subject, job_id: subject.signal(job_id, "SIGHUP"),
    "delete": lambda subject, job_id: subject.delete(job_id),
    "output": lambda subject, job_id: list(subject.output(job_id)),
    "output-no-follow": lambda subject, job_id: list(subject.output(job_id, follow=False)),
}

BAD_IDS = {
    "empty": "",
    "short": UNKNOWN_ID[:-1],
    "braces": f"{{{UNKNOWN_ID}}}",
    "capitals": "ABCDEFAB-0000-4000-8000-000000000000",
    "path": "../jobs",
    "line break": UNKNOWN_ID + "\n",
}


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS.keys())
def test_nothing_is_left_of_a_deleted_job(subject: Subject, operation: Callable[[Subject, str], object]) -> None:
    job_id = ended(subject, sh("echo hi"))
    subject.delete(job_id)
    with refused("JOB_NOT_FOUND"):
        operation(subject, job_id)
    assert not subject.list().statuses
    assert not list((subject.state_dir / "jobs").glob(f"*{job_id}*"))


def test_leaves_other_jobs_alone(subject: Subject) -> None:
    deleted, kept = ended(subject, sh("echo hi")), ended(subject, sh("echo hi"))
    subject.delete(deleted)
    assert [status.id for status in subject.list().statuses] == [kept]
    assert joined(subject.output(kept)) == b"hi\n"


def test_of_a_running_job_is_refused(subject: Subject) -> None:
    job_id = subject.start(SLEEPER)
    with refused("JOB_RUNNING"):
        subject.delete(job_id)
    assert subject.status(job_id).state == "running"
    subject.stop(job_id)
    subject.delete(job_id)


def test_of_a_job_that_never_started(subject: Subject) -> None:
    with refused("COMMAND_NOT_FOUND") as caught:
        subject.start(["no-such-command-anywhere"])
    subject.delete(caught.value.job_id or "")
    assert not subject.list().statuses


def test_frees_the_request_id(subject: Subject) -> None:
    first = subject.start(["true"], request_id="request")
    subject.wait(first)
    subject.delete(first)
    second = subject.start(["true"], request_id="request")
    assert second != first


def test_unknown_id(subject: Subject) -> None:
    for operation in OPERATIONS.values():
        with refused("JOB_NOT_FOUND"):
            operation(subject, UNKNOWN_ID)


@pytest.mark.parametrize("bad_id", BAD_IDS.values(), ids=BAD_IDS.keys())
def test_bad_id(subject: Subject, bad_id: str) -> None:
    for operation in OPERATIONS.values():
        with refused("INVALID_ARGUMENT") as caught:
            operation(subject, bad_id)
        assert caught.value.field == "job_id"
