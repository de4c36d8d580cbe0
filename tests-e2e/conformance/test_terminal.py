"""Jobs that have a terminal: what they see of it, and what those who are attached can do with it."""

from __future__ import annotations

import time

import pytest

import jobworker_lib as lib
from conformance.jobs import SLEEPER, follow_until, printed, python, refused, sh
from conformance.processes import job_processes, wait_until
from conformance.subjects import Subject

SIZE = lib.TerminalSize(rows=30, columns=100)

_ASK = """
import os, select, signal, sys, termios, tty
signal.signal(signal.SIGWINCH, lambda *_: os.write(1, b"size %d %d\\n" % (*reversed(os.get_terminal_size()),)))
print("ready", *map(os.isatty, range(3)), os.environ["TERM"], *reversed(os.get_terminal_size()), flush=True)
line = b"?"
while line:
    # A signal that comes just before a read begins is heard of only when it ends: none may take long.
    if select.select([0], [], [], 0.05)[0]:
        line = os.read(0, 4096)
        print("read" if line else "end", *line.decode().split(), flush=True)
"""


def test_is_the_jobs_input_and_output_and_has_the_size_that_was_asked_for(subject: Subject) -> None:
    job_id = subject.start(python(_ASK), terminal=SIZE)
    with subject.attach(job_id) as attachment:
        assert attachment.until(b"\n") == b"ready True True True xterm-256color 30 100\r\n"
        attachment.write(b"hello\n")
        attachment.until(b"read hello\r\n")
        attachment.write(b"\x04")
        assert attachment.rest() == b"end\r\n"
    status = subject.wait(job_id)
    assert (status.exit_code, status.stdin, status.tty) == (0, False, True)


def test_has_the_type_that_the_environment_says(subject: Subject) -> None:
    job_id = subject.start(sh("echo $TERM"), terminal=SIZE, env={"TERM": "vt100"})
    assert printed(subject, job_id) == b"vt100\r\n"


def test_is_no_input_of_a_plain_job(subject: Subject) -> None:
    script = "for n in 0 1 2; do [ -t $n ] && echo $n; done; exec 3</dev/tty || echo none"
    assert printed(subject, subject.start(sh(script))) == b""
    job_id = subject.start(sh(script + " 2>&1"), stdin=True)
    subject.wait(job_id)


def test_controls_the_job(subject: Subject) -> None:
    job_id = subject.start(sh("exec <&- >&- 2>&-; sleep 0.2; echo by name >/dev/tty"), terminal=SIZE)
    assert printed(subject, job_id) == b"by name\r\n"


def test_tells_of_a_new_size(subject: Subject) -> None:
    job_id = subject.start(python(_ASK), terminal=SIZE)
    with subject.attach(job_id) as attachment:
        attachment.until(b"ready")
        attachment.resize(41, 120)
        attachment.until(b"size 41 120\r\n")
        attachment.resize(24, 80)
        attachment.until(b"size 24 80\r\n")


def test_tells_of_the_first_size_even_where_it_is_the_same(subject: Subject) -> None:
    """Who joins sees a full screen by that; and in the end the size is right."""
    job_id = subject.start(python(_ASK), terminal=SIZE)
    follow_until(subject, job_id, b"ready")
    for _ in range(2):
        with subject.attach(job_id, tail=0) as attachment:
            attachment.resize(30, 100)
            attachment.until(b"size 30 100\r\n")  # and before it the other size, where there was time to see it


def test_keeps_its_size_in_the_next_attempt(subject: Subject) -> None:
    script = "stty size; read line; stty size; exit 1"
    job_id = subject.start(sh(script), terminal=SIZE, restart=lib.RestartPolicy(max_restarts=1, backoff=0.05))
    with subject.attach(job_id) as attachment:
        attachment.until(b"30 100\r\n")
        attachment.resize(41, 120)
        attachment.write(b"\n")
        attachment.until(b"41 120\r\n")
        attachment.until(b"41 120\r\n")
    with subject.attach(job_id, tail=0) as attachment:
        attachment.write(b"\n")
        attachment.until(b"41 120\r\n")
    assert len(subject.wait(job_id).attempts) == 2


@pytest.mark.parametrize(("key", "number"), [(b"\x03", 2), (b"\x1c", 3)])
def test_keys_send_signals(subject: Subject, key: bytes, number: int) -> None:
    job_id = subject.start(sh("echo ready; exec sleep 1000"), terminal=SIZE)
    with subject.attach(job_id) as attachment:
        attachment.until(b"ready\r\n")
        attachment.write(key)
        attachment.rest()
    assert subject.wait(job_id).signal == number


def test_is_shared_by_all_who_are_attached(subject: Subject) -> None:
    job_id = subject.start(["cat"], terminal=SIZE)
    watching = subject.attach(job_id, watch_only=True)
    with subject.attach(job_id) as one, subject.attach(job_id) as other, watching as third:
        one.write(b"from one\n")
        other.until(b"from one\r\nfrom one\r\n")
        other.write(b"from the other\n")
        for attachment in (one, third):
            attachment.until(b"from the other\r\nfrom the other\r\n")


def test_is_left_as_it_is_by_who_leaves(subject: Subject) -> None:
    job_id = subject.start(python(_ASK), terminal=SIZE)
    for number in range(3):
        with subject.attach(job_id, tail=0) as attachment:
            attachment.write(f"line {number}\n".encode())
        follow_until(subject, job_id, f"read line {number}\r\n".encode())
    subject.restart()
    with subject.attach(job_id, tail=0) as attachment:
        attachment.write(b"after\n")
        attachment.until(b"read after\r\n")


def test_output_to_the_last_byte_is_there_when_the_job_has_ended(subject: Subject) -> None:
    job_id = subject.start(sh("seq 1 100000"), terminal=SIZE)
    subject.wait(job_id)
    assert printed(subject, job_id) == "".join(f"{number}\r\n" for number in range(1, 100001)).encode()


def test_a_shell_on_it_ends_when_it_is_stopped(subject: Subject) -> None:
    """Interactive shells ignore SIGTERM; terminals send them SIGHUP when they are closed."""
    job_id = subject.start(["bash", "--norc", "-i"], terminal=SIZE)
    with subject.attach(job_id) as attachment:
        attachment.write(b"sleep 1000 & echo rea''dy\n")
        attachment.until(b"ready")
        began = time.monotonic()
        status = subject.stop(job_id, grace=20)
        assert time.monotonic() - began < 15
        assert (status.state, status.signal) == ("stopped", 1)
    assert job_processes(job_id) == []


def test_ends_with_the_main_process_and_all_that_is_left_on_it(subject: Subject) -> None:
    job_id = subject.start(["bash", "--norc", "-i"], terminal=SIZE)
    with subject.attach(job_id) as attachment:
        attachment.write(b"sleep 1000 & echo rea''dy\n")
        attachment.until(b"ready")
        attachment.write(b"exit 3\nexit 3\n")
        attachment.rest()
    assert subject.wait(job_id).exit_code == 3


def test_input_ends_by_a_character_and_not_by_closing(subject: Subject) -> None:
    job_id = subject.start(["cat"], terminal=SIZE)
    with refused("INVALID_ARGUMENT"), subject.attach(job_id) as attachment:
        attachment.close_input()
        attachment.rest()
    assert subject.status(job_id).state == "running"
    with subject.attach(job_id) as attachment:
        attachment.write(b"\x04")
    assert subject.wait(job_id).exit_code == 0


def test_of_a_job_without_has_no_size(subject: Subject) -> None:
    job_id = subject.start(SLEEPER, stdin=True)
    with refused("NO_TERMINAL"), subject.attach(job_id) as attachment:
        attachment.resize(24, 80)
        attachment.rest()


@pytest.mark.parametrize("size", [(0, 80), (24, 0), (65536, 80), (24, 65536)])
def test_size_must_be_one(subject: Subject, size: tuple[int, int]) -> None:
    with refused("INVALID_ARGUMENT"):
        subject.start(SLEEPER, terminal=lib.TerminalSize(*size))
    job_id = subject.start(SLEEPER, terminal=SIZE)
    with refused("INVALID_ARGUMENT"), subject.attach(job_id) as attachment:
        attachment.resize(*size)
        attachment.rest()


def test_typed_to_that_is_not_read_is_bounded(subject: Subject) -> None:
    """A program in raw mode that does not read: who types waits, and a stop still works."""
    script = "import tty, time; tty.setraw(0); print('ready', flush=True); time.sleep(1000)"
    job_id = subject.start(python(script), terminal=SIZE)
    with subject.attach(job_id) as attachment:
        attachment.until(b"ready")
        attachment.write(bytes(50_000))
        wait_until(lambda: subject.status(job_id).state == "running")
        subject.stop(job_id)
        attachment.rest()


def test_of_a_command_that_can_not_be_executed(subject: Subject) -> None:
    with refused("COMMAND_NOT_FOUND"):
        subject.start(["no-such-command-anywhere"], terminal=SIZE)
    with refused("BAD_WORKING_DIRECTORY"):
        subject.start(SLEEPER, terminal=SIZE, cwd="/no/such/directory")
