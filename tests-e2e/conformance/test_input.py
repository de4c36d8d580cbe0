"""Input: what is written to a job's standard input, by whom, and how it ends."""

from __future__ import annotations

import hashlib
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jobworker_lib as lib
from conformance.jobs import SLEEPER, UNKNOWN_ID, awaiting, follow_until, joined, python, refused, sh
from conformance.processes import wait_until
from conformance.subjects import Subject

_LARGE = 8 << 20
"""More than all that is on the way holds: pipe, sockets and gRPC's windows."""


def test_reaches_the_job_as_it_is_and_ends_when_it_is_closed(subject: Subject) -> None:
    job_id = subject.start(["cat"], stdin=True)
    data = bytes(range(256)) * 1000
    with subject.attach(job_id) as attachment:
        attachment.write(b"first\n")
        attachment.until(b"first\n")
        attachment.write(data)
        attachment.close_input()
        assert attachment.rest() == data
    assert subject.wait(job_id).exit_code == 0


def test_of_much_more_than_any_buffer_arrives_whole(subject: Subject) -> None:
    data = random.Random(7).randbytes(3 * _LARGE + 1)  # noqa: S311  # to be repeated, not to be secret
    job_id = subject.start(["sha256sum"], stdin=True)
    with subject.attach(job_id) as attachment:
        attachment.write(data)
        attachment.close_input()
        assert attachment.rest().split() == [hashlib.sha256(data).hexdigest().encode(), b"-"]


def test_is_told_in_the_status(subject: Subject) -> None:
    plain = subject.status(subject.start(SLEEPER))
    assert (plain.stdin, plain.tty) == (False, False)
    with_input = subject.status(subject.start(SLEEPER, stdin=True))
    assert (with_input.stdin, with_input.tty) == (True, False)


def test_of_a_job_that_was_started_without_is_its_end(subject: Subject) -> None:
    job_id = subject.start(sh("cat; echo over"))
    assert joined(subject.output(job_id)) == b"over\n"


def test_to_a_job_that_was_started_without_is_refused(subject: Subject) -> None:
    job_id = subject.start(sh("echo shown; exec sleep 1000"))
    with refused("NO_INPUT"):
        subject.attach(job_id)
    with subject.attach(job_id, watch_only=True) as attachment:
        attachment.until(b"shown\n")


def test_to_a_job_that_does_not_exist_is_refused(subject: Subject) -> None:
    for watch_only in (False, True):
        with refused("JOB_NOT_FOUND"):
            subject.attach(UNKNOWN_ID, watch_only=watch_only)


def test_stays_open_when_who_is_attached_leaves(subject: Subject) -> None:
    job_id = subject.start(sh('while read line; do echo "got $line"; done; echo end'), stdin=True)
    for number in range(3):
        with subject.attach(job_id, tail=0) as attachment:
            attachment.write(f"line {number}\n".encode())
        follow_until(subject, job_id, f"got line {number}\n".encode())
    with subject.attach(job_id) as attachment:
        attachment.close_input()
        assert attachment.rest().endswith(b"got line 2\nend\n")


def test_stays_open_when_the_engine_goes_and_comes_back(subject: Subject) -> None:
    job_id = subject.start(sh('while read line; do echo "got $line"; done; echo end'), stdin=True)
    with subject.attach(job_id) as attachment:
        attachment.write(b"before\n")
        attachment.until(b"got before\n")
    subject.restart()
    with subject.attach(job_id) as attachment:
        attachment.write(b"after\n")
        attachment.close_input()
        assert attachment.rest() == b"got before\ngot after\nend\n"


def test_can_come_from_several_and_is_closed_for_all(subject: Subject) -> None:
    job_id = subject.start(["cat"], stdin=True)
    with subject.attach(job_id) as one, subject.attach(job_id) as other:
        one.write(b"from one\n")
        other.until(b"from one\n")
        other.write(b"from the other\n")
        one.until(b"from the other\n")
        one.close_input()
        assert (one.rest(), other.rest()) == (b"", b"from the other\n")
        with refused("INPUT_CLOSED"):
            other.write(bytes(_LARGE))


def test_that_was_written_before_the_end_arrives_before_it_whoever_wrote_it(subject: Subject, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    job_id = subject.start(sh(f"echo ready; {awaiting(gate)}; exec wc -c"), stdin=True)
    with subject.attach(job_id) as one, subject.attach(job_id, tail=0) as other:
        one.until(b"ready\n")
        other.write(bytes(10_000))
    with subject.attach(job_id) as one:
        one.write(bytes(20_000))
        one.close_input()
        gate.touch()
        one.until(b"ready\n")
        assert one.rest() == b"30000\n"


def test_that_the_job_has_closed_is_refused(subject: Subject) -> None:
    job_id = subject.start(sh("exec <&-; echo closed; exec sleep 1000"), stdin=True)
    with subject.attach(job_id) as attachment:
        attachment.until(b"closed\n")
        with refused("INPUT_CLOSED"):
            attachment.write(bytes(_LARGE))
    assert subject.status(job_id).state == "running"


def test_to_a_job_that_has_ended_is_refused_and_its_output_is_there(subject: Subject) -> None:
    job_id = subject.start(sh("echo hello"), stdin=True)
    subject.wait(job_id)
    with subject.attach(job_id) as attachment:
        assert attachment.rest() == b"hello\n"
        with refused("INPUT_CLOSED"):
            attachment.write(bytes(_LARGE))


def test_that_is_not_read_makes_its_writer_wait_and_nobody_else(subject: Subject, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    script = f"echo ready; {awaiting(gate)}; exec sha256sum"
    job_id = subject.start(sh(script), stdin=True)
    data = bytes(2 * _LARGE)
    with ThreadPoolExecutor() as pool, subject.attach(job_id) as writer:
        writer.until(b"ready\n")
        writing = pool.submit(writer.write, data)
        with subject.attach(job_id, watch_only=True) as watcher:
            watcher.until(b"ready\n")
        other = subject.start(["cat"], stdin=True)
        with subject.attach(other) as attachment:
            attachment.write(b"taken")
            attachment.until(b"taken")
        assert not writing.done()
        gate.touch()
        writing.result()
        writer.close_input()
        assert writer.rest().split()[0] == hashlib.sha256(data).hexdigest().encode()


def test_that_is_not_read_does_not_keep_its_writer_from_leaving(subject: Subject) -> None:
    job_id = subject.start(sh("echo ready; exec sleep 1000"), stdin=True)
    with ThreadPoolExecutor() as pool:
        with subject.attach(job_id) as attachment:
            attachment.until(b"ready\n")
            writing = pool.submit(attachment.write, bytes(2 * _LARGE))
        with refused("INPUT_CLOSED"):
            writing.result()
    assert subject.status(job_id).state == "running"


def test_that_waits_is_given_up_when_the_job_is_stopped(subject: Subject) -> None:
    job_id = subject.start(sh("echo ready; exec sleep 1000"), stdin=True)
    with ThreadPoolExecutor() as pool, subject.attach(job_id) as attachment:
        attachment.until(b"ready\n")
        writing = pool.submit(attachment.write, bytes(2 * _LARGE))
        assert subject.stop(job_id).signal == 15
        with refused("INPUT_CLOSED"):
            writing.result()
        assert attachment.rest() == b""


def test_does_not_hold_up_the_end_of_a_job_that_does_not_read_it(subject: Subject) -> None:
    job_id = subject.start(sh("read line; echo $line"), stdin=True)
    with subject.attach(job_id) as attachment:
        attachment.write(b"only this\n" + bytes(100_000))
        assert attachment.rest() == b"only this\n"
    assert subject.wait(job_id).exit_code == 0


def test_is_new_for_each_attempt(subject: Subject) -> None:
    script = 'read line; echo "got $line"; [ "$line" = second ]'
    policy = lib.RestartPolicy(max_restarts=1, backoff=0.05)
    job_id = subject.start(sh(script), stdin=True, restart=policy)
    with subject.attach(job_id) as attachment:
        attachment.write(b"first\nlost\n")
        attachment.until(b"got first\n")
    wait_until(lambda: len(subject.status(job_id).attempts) == 2, "the second attempt")
    with subject.attach(job_id) as attachment:
        attachment.write(b"second\n")
        assert attachment.rest() == b"got first\ngot second\n"
    assert subject.wait(job_id).exit_code == 0


def test_waits_with_a_job_that_is_queued(subject: Subject) -> None:
    subject.set_bounds(lib.Bounds(running=1))
    try:
        first = subject.start(SLEEPER)
        job_id, cancelled = subject.start(["cat"], stdin=True), subject.start(["cat"], stdin=True)
        with ThreadPoolExecutor() as pool, subject.attach(job_id) as one, subject.attach(cancelled) as other:
            writes = [pool.submit(attachment.write, bytes(_LARGE)) for attachment in (one, other)]
            assert subject.stop(cancelled).state == "stopped"
            with refused("INPUT_CLOSED"):
                writes[1].result()
            assert not writes[0].done()
            reading = pool.submit(one.rest)
            subject.stop(first)
            writes[0].result()
            one.close_input()
            assert reading.result() == bytes(_LARGE)
    finally:
        subject.set_bounds(lib.Bounds())


def test_output_begins_where_it_is_asked_for(subject: Subject) -> None:
    job_id = subject.start(sh("printf 'a\\nb\\nc\\n'; exec cat"), stdin=True)
    follow_until(subject, job_id, b"c\n")
    with subject.attach(job_id, offset=2) as all_but_a, subject.attach(job_id, tail=1) as last_line:
        assert all_but_a.until(b"c\n") == b"b\nc\n"
        assert last_line.until(b"c\n") == b"c\n"
    with subject.attach(job_id, tail=0) as attachment:
        attachment.write(b"d\n")
        assert attachment.until(b"d\n") == b"d\n"


def test_can_be_left_and_joined_again_and_again(subject: Subject) -> None:
    job_id = subject.start(python("import sys; print(sum(len(line) for line in sys.stdin))"), stdin=True)
    for _ in range(150):
        with subject.attach(job_id, tail=0) as attachment:
            attachment.write(b"123456789\n")
    with subject.attach(job_id) as attachment:
        attachment.close_input()
        assert attachment.rest() == b"1500\n"


def test_is_over_when_a_job_has_failed_to_start(subject: Subject) -> None:
    with refused("COMMAND_NOT_FOUND") as caught:
        subject.start(["no-such-command-anywhere"], stdin=True)
    with subject.attach(caught.value.job_id or "") as attachment:
        assert attachment.rest() == b""
        with refused("INPUT_CLOSED"):
            attachment.write(bytes(_LARGE))
