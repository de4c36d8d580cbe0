"""Processes that may have few descriptors (ulimit -n)."""

from __future__ import annotations

import threading
from contextlib import ExitStack, suppress
from pathlib import Path

from jobworker_lib import Attachment, Engine, InputClosedError, State
from lib_testing import next_line, program, sh, wait_until

FEW = ("sh", "-c", 'ulimit -n 64; exec "$@"', "sh")

START = """
import sys
from jobworker_lib import Engine
with Engine(sys.argv[1]) as engine:
    print(engine.start(sys.argv[2:], stdin=True).id, flush=True)
    sys.stdin.read()
"""
START_MANY = """
import sys, threading
from jobworker_lib import Engine, EngineError
def follow():
    try:
        job = engine.start(["sh", "-c", "echo output; exec sleep 0.1"])
        assert [chunk.data for chunk in job.output()] == [b"output\\n"]
    except (EngineError, OSError):
        refused.append(1)
with Engine(sys.argv[1]) as engine:
    refused = []
    threads = [threading.Thread(target=follow) for _ in range(60)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert engine.run(["echo", "again"]).stdout == b"again\\n"
    for job in engine.list(state=["starting", "running"]):  # of those that could not follow their jobs
        job.wait(30)
    print(len(refused) > 0, {str(status.state) for status in engine.list().statuses} - {"lost"})
"""


def test_those_who_attach_beyond_them_wait_and_the_job_runs_on(state_dir: Path) -> None:
    with program(START, state_dir, "cat", through=FEW) as process, Engine(state_dir) as engine, ExitStack() as attached:
        job = engine.get(next_line(process))
        attachments = [attached.enter_context(job.attach()) for _ in range(80)]
        writers = [threading.Thread(target=write, args=(attachment,)) for attachment in attachments]
        for writer in writers:
            writer.start()
            job.signal("CONT")  # its shim answers still
        wait_until(lambda: job.status().output_bytes >= 16, "what the first of them write")
        assert job.status().state is State.RUNNING
        for attachment, writer in zip(attachments, writers, strict=True):
            writer.join(0.1)
            attachment.close()
        assert job.stop().state is State.STOPPED
        attached.close()
        for writer in writers:
            writer.join()


def write(attachment: Attachment) -> None:
    with suppress(InputClosedError):  # it is closed while it waits
        attachment.write(b"x")


def test_tree_of_more_processes_than_descriptors_is_stopped(state_dir: Path) -> None:
    many = "i=0; while [ $i -lt 100 ]; do sleep 1000 & i=$((i+1)); done; echo ready; wait"
    with program(START, state_dir, *sh(many), through=FEW) as process, Engine(state_dir) as engine:
        job = engine.get(next_line(process))
        assert next(job.output()).data == b"ready\n"
        assert job.stop(grace=0.2).state is State.STOPPED


def test_program_that_starts_too_many_is_refused_and_works_on(state_dir: Path) -> None:
    """A start that can't be undone for want of descriptors leaves a job that is lost."""
    with program(START_MANY, state_dir, through=FEW) as process:
        assert next_line(process) == "True {'exited'}"
