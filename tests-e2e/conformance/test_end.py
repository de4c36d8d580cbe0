from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from conformance.jobs import SLEEPER, ended, joined, printed, sh
from conformance.processes import PATIENCE_SECONDS, job_processes
from conformance.subjects import Subject


@pytest.mark.parametrize("code", [0, 1, 2, 125, 126, 127, 128, 137, 254, 255])
def test_exit_code(subject: Subject, code: int) -> None:
    status = subject.wait(subject.start(sh("exit $1", code)))
    assert (status.state, status.reason, status.exit_code, status.signal) == ("exited", "exited", code, None)
    assert status.describe() == f"exited (exit code: {code})"


@pytest.mark.parametrize("number", [1, 2, 3, 6, 9, 11, 13, 15, 34, 64])
def test_signal(subject: Subject, number: int) -> None:
    status = subject.wait(subject.start(sh("ulimit -c 0; kill -$1 $$", number)))
    assert (status.state, status.reason, status.exit_code, status.signal) == ("exited", "exited", None, number)
    assert status.describe() == f"exited (signal: {number})"


def test_times_are_in_order(subject: Subject) -> None:
    status = subject.wait(subject.start(["true"]))
    assert status.started_at is not None
    assert status.ended_at is not None
    assert status.created_at <= status.started_at <= status.ended_at


def test_wait_gives_up_after_its_timeout(subject: Subject) -> None:
    job_id = subject.start(SLEEPER)
    with pytest.raises(TimeoutError):
        subject.wait(job_id, timeout=0.1)
    assert subject.status(job_id).state == "running"


def test_wait_for_an_ended_job_returns_at_once(subject: Subject) -> None:
    job_id = ended(subject, ["true"])
    assert subject.wait(job_id) == subject.status(job_id)


def test_many_may_wait(subject: Subject) -> None:
    job_id = subject.start(SLEEPER)
    with ThreadPoolExecutor() as pool:
        waits = [pool.submit(subject.wait, job_id) for _ in range(4)]
        stopped = subject.stop(job_id)
    assert [wait.result() for wait in waits] == [stopped] * 4


def test_job_has_not_ended_while_a_child_works_on(subject: Subject) -> None:
    """Within the linger; the job ends as soon as the child does, with all its output."""
    job_id = subject.start(sh("(sleep 0.5; echo late) & echo main; exit 5"))
    status = subject.wait(job_id)
    assert joined(subject.output(job_id, follow=False)) == b"main\nlate\n"
    assert (status.state, status.exit_code) == ("exited", 5)


def test_processes_that_live_on_do_not_keep_the_job(subject: Subject) -> None:
    """Not those that hold the output open, nor those that have let go of it, nor those that ignore SIGTERM."""
    began = time.monotonic()
    holding = subject.start(sh("(trap 'echo told; exit' TERM; while :; do sleep 0.05; done) & echo main; exit 5"))
    silent = subject.start(sh("setsid -f sleep 1000 >/dev/null 2>&1; exit 5"))
    stubborn = subject.start(sh("setsid -f sh -c 'trap \"\" TERM; while :; do sleep 0.1; done'; exit 5"))
    assert printed(subject, holding) == b"main\ntold\n"
    for job_id in (holding, silent, stubborn):
        status = subject.wait(job_id)
        assert (status.state, status.reason, status.exit_code, status.signal) == ("exited", "exited", 5, None)
        assert job_processes(job_id) == []
    assert time.monotonic() - began < PATIENCE_SECONDS


def test_stop_shortens_the_linger(subject: Subject) -> None:
    job_id = subject.start(sh("setsid -f sleep 1000; echo ready; exit 5"))
    assert next(subject.output(job_id)).data == b"ready\n"
    status = subject.stop(job_id, force=True)
    assert status.exit_code == 5 or status.state == "stopped"
    assert job_processes(job_id) == []


def test_closing_the_output_does_not_end_the_job(subject: Subject) -> None:
    job_id = subject.start(sh("exec >&- 2>&-; sleep 0.3; exit 5"))
    assert list(subject.output(job_id)) == []
    assert subject.status(job_id).exit_code == 5
