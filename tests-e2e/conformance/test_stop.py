from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from conformance.jobs import SLEEPER, ended, follow_until, printed, python, refused, sh
from conformance.processes import PATIENCE_SECONDS, job_processes, wait_until
from conformance.subjects import Subject

STUBBORN = "trap '' TERM; echo ready; while :; do sleep 0.1; done"

# A main process, a child, a child in a session of its own, and an orphaned daemon; all but the first ignore SIGTERM.
TREE = """
import os, signal, sys, time
def live(name):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.write(1, name)
    while True: time.sleep(100)
if os.fork() == 0: live(b"c")
if os.fork() == 0: os.setsid(); live(b"s")
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0: live(b"d")
    os._exit(0)
time.sleep(1000)
"""


def start_tree(subject: Subject) -> str:
    job_id = subject.start(python(TREE))
    output = b""
    for chunk in subject.output(job_id):
        output += chunk.data
        if sorted(output) == sorted(b"csd"):
            break
    assert len(job_processes(job_id)) >= 4
    return job_id


def test_gives_the_job_time_to_end(subject: Subject) -> None:
    job_id = subject.start(sh("trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.05; done"))
    follow_until(subject, job_id, b"ready")
    status = subject.stop(job_id)
    assert (status.state, status.reason, status.exit_code, status.signal) == ("stopped", "stopped", 7, None)
    assert status.describe() == "stopped (exit code: 7)"
    assert status.ended_at is not None
    assert printed(subject, job_id) == b"ready\nbye\n"
    assert subject.status(job_id) == status


def test_ends_what_does_not_care_with_sigterm(subject: Subject) -> None:
    status = subject.stop(subject.start(SLEEPER))
    assert (status.state, status.reason, status.exit_code, status.signal) == ("stopped", "stopped", None, 15)
    assert status.describe() == "stopped (signal: 15)"


def test_kills_what_is_left_after_the_grace_period(subject: Subject) -> None:
    job_id = subject.start(sh(STUBBORN))
    follow_until(subject, job_id, b"ready")
    began = time.monotonic()
    status = subject.stop(job_id, grace=0.3)
    assert time.monotonic() - began >= 0.3
    assert (status.state, status.signal) == ("stopped", 9)


def test_without_grace_kills_at_once(subject: Subject) -> None:
    job_id = subject.start(sh("trap 'echo bye' TERM; echo ready; while :; do sleep 0.1; done"))
    follow_until(subject, job_id, b"ready")
    assert subject.stop(job_id, grace=0).signal == 9
    assert printed(subject, job_id) == b"ready\n"


def test_force_kills_at_once(subject: Subject) -> None:
    job_id = subject.start(sh("trap 'echo bye' TERM; echo ready; while :; do sleep 0.1; done"))
    follow_until(subject, job_id, b"ready")
    status = subject.stop(job_id, force=True)
    assert (status.state, status.reason, status.signal) == ("stopped", "stopped", 9)
    assert printed(subject, job_id) == b"ready\n"


@pytest.mark.parametrize("force", [False, True], ids=["grace", "force"])
def test_ends_the_whole_tree(subject: Subject, force: bool) -> None:  # a test's parameter
    job_id = start_tree(subject)
    status = subject.stop(job_id, grace=0.2, force=force)
    assert status.state == "stopped"
    assert job_processes(job_id) == []


def test_sends_the_grace_signal_to_the_whole_tree(subject: Subject) -> None:
    handler = "trap 'echo $0; exit' TERM; echo ready; while :; do sleep 0.05; done"
    script = 'setsid sh -c "$1" child & setsid setsid -f sh -c "$1" daemon; exec sh -c "$1" main'
    job_id = subject.start(sh(script, handler))
    seen = b""
    for chunk in subject.output(job_id):
        seen += chunk.data
        if seen.count(b"ready") == 3:
            break
    subject.stop(job_id)
    assert sorted(printed(subject, job_id).split()[3:]) == [b"child", b"daemon", b"main"]


def test_ends_processes_that_fork_on(subject: Subject) -> None:
    script = "import os\nos.write(1, b'ready')\nwhile True:\n if os.fork(): os._exit(0)\n os.setsid()"
    job_id = subject.start(sh('"$@" & sleep 1000', *python(script)))
    follow_until(subject, job_id, b"ready")
    assert subject.stop(job_id, force=True).state == "stopped"
    assert job_processes(job_id) == []


def test_wakes_stopped_processes_to_end_them(subject: Subject) -> None:
    job_id = subject.start(sh("echo ready; kill -STOP $$"))
    follow_until(subject, job_id, b"ready")
    wait_until(lambda: all(_is_stopped(pid) for pid in job_processes(job_id)))
    assert subject.stop(job_id).signal == 15


def _is_stopped(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def test_force_shortens_a_stop_under_way(subject: Subject) -> None:
    job_id = subject.start(sh("trap 'echo asked' TERM; echo ready; while :; do sleep 0.05; done"))
    follow_until(subject, job_id, b"ready")
    began = time.monotonic()
    with ThreadPoolExecutor() as pool:
        gentle = pool.submit(subject.stop, job_id, grace=600)
        follow_until(subject, job_id, b"asked")
        assert subject.stop(job_id, force=True).signal == 9
        assert gentle.result(PATIENCE_SECONDS).signal == 9
    assert time.monotonic() - began < PATIENCE_SECONDS


def test_several_stops_at_once_all_see_the_end(subject: Subject) -> None:
    job_id = subject.start(sh(STUBBORN))
    follow_until(subject, job_id, b"ready")
    with ThreadPoolExecutor() as pool:
        stops = [pool.submit(subject.stop, job_id, grace=2) for _ in range(4)]
    assert {stop.result().signal for stop in stops} == {9}


def test_of_an_ended_job_is_refused(subject: Subject) -> None:
    job_id = ended(subject, ["true"])
    for force in (False, True):
        with refused("JOB_NOT_RUNNING"):
            subject.stop(job_id, force=force)
    status = subject.status(job_id)
    assert (status.state, status.exit_code) == ("exited", 0)


def test_of_a_job_that_never_started_is_refused(subject: Subject) -> None:
    with refused("COMMAND_NOT_FOUND") as caught:
        subject.start(["no-such-command-anywhere"])
    with refused("JOB_NOT_RUNNING"):
        subject.stop(caught.value.job_id or "")


def test_refuses_a_bad_grace_period(subject: Subject) -> None:
    job_id = subject.start(SLEEPER)
    for grace in (-1.0, 1e9, float("nan")):
        with refused("INVALID_ARGUMENT"):
            subject.stop(job_id, grace=grace)
    assert subject.status(job_id).state == "running"


def test_signal_reaches_the_main_process_alone(subject: Subject) -> None:
    handler = "trap 'echo $0' HUP; trap 'exit 3' TERM; echo ready; while :; do sleep 0.05; done"
    job_id = subject.start(sh('sh -c "$1" child & exec sh -c "$1" main', handler))
    seen = b""
    for chunk in subject.output(job_id):
        seen += chunk.data
        if seen.count(b"ready") == 2:
            break
    subject.signal(job_id, "SIGHUP")
    assert b"child" not in follow_until(subject, job_id, b"main")
    assert subject.status(job_id).state == "running"
    subject.stop(job_id)
    assert b"child" not in printed(subject, job_id)


def test_job_that_a_signal_ends_was_not_stopped(subject: Subject) -> None:
    job_id = subject.start(SLEEPER)
    subject.signal(job_id, "SIGUSR1")
    status = subject.wait(job_id)
    assert (status.state, status.reason, status.signal) == ("exited", "exited", 10)


def test_unknown_signal_is_refused(subject: Subject) -> None:
    job_id = subject.start(SLEEPER)
    for name in ("SIGNOPE", "", "KILL -9", "SIG_DFL"):
        with refused("INVALID_ARGUMENT"):
            subject.signal(job_id, name)


def test_signal_to_an_ended_job_is_refused(subject: Subject) -> None:
    with refused("JOB_NOT_RUNNING"):
        subject.signal(ended(subject, ["true"]), "SIGHUP")


def test_timeout_stops_the_job(subject: Subject) -> None:
    status = subject.wait(subject.start(sh("sleep 1000 & exec sleep 1000"), timeout=0.3))
    assert (status.state, status.reason, status.signal) == ("stopped", "timed_out", 15)
    assert status.describe() == "stopped (signal: 15, timed out)"


def test_timeout_lets_the_job_end_by_itself(subject: Subject) -> None:
    job_id = subject.start(sh("trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.05; done"), timeout=1000)
    follow_until(subject, job_id, b"ready")
    subject.set_timeout(job_id, 0.1)
    status = subject.wait(job_id)
    assert (status.state, status.reason, status.exit_code) == ("stopped", "timed_out", 7)
    assert printed(subject, job_id) == b"ready\nbye\n"


def test_timeout_that_is_not_reached_changes_nothing(subject: Subject) -> None:
    status = subject.wait(subject.start(["true"], timeout=600))
    assert (status.state, status.reason, status.exit_code) == ("exited", "exited", 0)
