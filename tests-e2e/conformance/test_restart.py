"""A job outlives the program that started it; here the server is killed. What dies with the library is its caller."""

from __future__ import annotations

from pathlib import Path

from conformance.jobs import SLEEPER, awaiting, ended, follow_until, interleaved, interleaved_output, joined, sh
from conformance.processes import job_processes
from conformance.subjects import Subject


def test_job_runs_on_and_its_output_and_end_are_there(subject: Subject, tmp_path: Path) -> None:
    job_id = subject.start(sh(f"echo before; {awaiting(tmp_path / 'gate')}; echo after; exit 7"))
    follow_until(subject, job_id, b"before")
    subject.restart()
    assert subject.status(job_id).state == "running"
    output = subject.output(job_id)
    assert next(output).data == b"before\n"
    (tmp_path / "gate").touch()
    assert joined(output) == b"after\n"
    assert subject.wait(job_id).exit_code == 7


def test_output_during_the_restart_is_whole(subject: Subject) -> None:
    expected = interleaved_output(seed=7, writes=300)
    job_id = subject.start(interleaved(seed=7, writes=300))
    next(subject.output(job_id))
    subject.restart()
    chunks = list(subject.output(job_id))
    for stream in ("stdout", "stderr"):
        assert joined(chunk for chunk in chunks if chunk.stream == stream) == expected[stream]
    assert subject.wait(job_id).exit_code == 0


def test_reader_goes_on_from_where_it_was(subject: Subject, tmp_path: Path) -> None:
    job_id = subject.start(sh(f"printf before; {awaiting(tmp_path / 'gate')}; printf after"))
    reached = next(subject.output(job_id)).end
    subject.restart()
    (tmp_path / "gate").touch()
    assert joined(subject.output(job_id, offset=reached)) == b"after"


def test_job_that_ended_meanwhile_is_told_of(subject: Subject, tmp_path: Path) -> None:
    job_id = subject.start(sh(f"{awaiting(tmp_path / 'gate')}; echo meanwhile; exit 7"))
    (tmp_path / "gate").touch()
    subject.restart()
    status = subject.wait(job_id)
    assert (status.state, status.exit_code) == ("exited", 7)
    assert joined(subject.output(job_id, follow=False)) == b"meanwhile\n"


def test_jobs_can_be_stopped_and_started_after_it(subject: Subject) -> None:
    before = subject.start(sh("setsid -f sleep 1000; echo ready; exec sleep 1000"))
    follow_until(subject, before, b"ready")
    subject.restart()
    assert subject.stop(before).signal == 15
    assert job_processes(before) == []
    assert subject.wait(subject.start(["true"])).exit_code == 0


def test_timeout_still_counts(subject: Subject) -> None:
    job_id = subject.start(SLEEPER, timeout=1)
    subject.restart()
    assert subject.wait(job_id).reason == "timed_out"


def test_list_and_request_ids_are_kept(subject: Subject) -> None:
    done = ended(subject, ["true"])
    running = subject.start(SLEEPER, request_id="request", labels={"a": "b"})
    subject.restart()
    assert [status.id for status in subject.list().statuses] == [running, done]
    assert [status.id for status in subject.list(labels={"a": "b"}).statuses] == [running]
    assert subject.start(SLEEPER, request_id="request") == running


def test_several_restarts(subject: Subject, tmp_path: Path) -> None:
    gates = [tmp_path / str(number) for number in range(3)]
    job_id = subject.start(sh("\n".join(f"echo {gate.name}; {awaiting(gate)}" for gate in gates)))
    for gate in gates:
        follow_until(subject, job_id, f"{gate.name}\n".encode())
        subject.restart()
        gate.touch()
    assert joined(subject.output(job_id)) == b"0\n1\n2\n"
