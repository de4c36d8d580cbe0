"""Isolated jobs, over all three faces; what holds them in is tested with the library, as an attacker would."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from conformance.jobs import follow_until, printed, refused, sh
from conformance.processes import job_processes
from conformance.subjects import Subject
from jobworker_lib import Isolation, RestartPolicy, TerminalSize

FULL = Isolation.full()


@pytest.fixture
def cwd(tmp_path: Path) -> str:
    return str(tmp_path)


def test_sees_nothing_but_itself_and_tells_what_it_has(subject: Subject, cwd: str) -> None:
    isolated = subject.start(sh("echo $$; ls -d /proc/[0-9]*; touch here /usr/x 2>&1"), cwd=cwd, isolation=FULL)
    told = printed(subject, isolated)
    assert told.startswith(b"2\n/proc/1\n/proc/2\n")
    assert b"Read-only" in told
    assert os.path.exists(f"{cwd}/here")
    found = subject.wait(isolated).isolation
    assert found is not None
    assert found.landlock in (True, False)
    assert (found.pid, found.network, found.read_only, found.seccomp) == (True, "isolated", True, True)


def test_is_stopped_whole(subject: Subject, cwd: str) -> None:
    script = "(trap '' TERM; echo c; exec sleep 1000) & setsid sleep 1000 & echo m; wait"
    job_id = subject.start(sh(script), cwd=cwd, isolation=FULL)
    follow_until(subject, job_id, b"m")
    status = subject.stop(job_id, grace=0.2)
    assert (status.state, status.reason) == ("stopped", "stopped")
    assert not job_processes(job_id)


def test_is_signalled_timed_out_and_restarted(subject: Subject, cwd: str) -> None:
    job_id = subject.start(sh("trap 'exit 7' HUP; echo r; while :; do sleep 0.02; done"), cwd=cwd, isolation=FULL)
    follow_until(subject, job_id, b"r")
    subject.signal(job_id, "SIGHUP")
    assert subject.wait(job_id).exit_code == 7
    job_id = subject.start(["sleep", "1000"], cwd=cwd, isolation=FULL, timeout=0.2)
    assert subject.wait(job_id).reason == "timed_out"
    policy = RestartPolicy(max_restarts=3, backoff=0.01)
    job_id = subject.start(sh("mkdir once && exit 5; echo again"), cwd=cwd, isolation=FULL, restart=policy)
    assert [attempt.exit_code for attempt in subject.wait(job_id).attempts] == [5, 0]


def test_takes_input_on_a_terminal(subject: Subject, cwd: str) -> None:
    job_id = subject.start(sh("tty; exec cat"), cwd=cwd, isolation=FULL, terminal=TerminalSize(24, 80))
    follow_until(subject, job_id, b"/dev/console\r\n")
    with subject.attach(job_id) as joined:
        joined.write(b"typed\n\x04")
    assert subject.wait(job_id).exit_code == 0
    assert printed(subject, job_id) == b"/dev/console\r\ntyped\r\ntyped\r\n"


@pytest.mark.parametrize(
    ("field", "isolation"),
    [
        ("isolation.writable", replace(FULL, writable=("/proc/sys",))),
        ("isolation.hidden", replace(FULL, hidden=("/no/such/path",))),
        ("isolation.kept_capabilities", replace(FULL, kept_capabilities=("CAP_EVERYTHING",))),
    ],
)
def test_refuses_what_makes_no_sense(subject: Subject, cwd: str, field: str, isolation: Isolation) -> None:
    with refused("INVALID_ARGUMENT") as refusal:
        subject.start(["true"], cwd=cwd, isolation=isolation)
    assert refusal.value.field == field
