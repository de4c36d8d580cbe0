"""Jobs outlive the program that started them, and whatever of the engine dies is made good."""

from __future__ import annotations

import itertools
import os
import random
import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from jobworker_lib import Engine, Job, Reason, State
from lib_testing import (
    PATIENCE_SECONDS,
    SLEEPER,
    awaiting,
    engine_processes,
    finish,
    fork_servers,
    job_processes,
    kill,
    next_line,
    program,
    sh,
    shim_of,
    wait_until,
)

STARTER = """
import sys, time
from jobworker_lib import Engine
engine = Engine(sys.argv[1])
print(engine.start(sys.argv[2:]).id, flush=True)
time.sleep(1000)
"""

WRITER = """
import os, pathlib, random, sys, time
data = random.Random(1).randbytes(4 << 20)
for part in range(0, len(data), 1 << 16):
    assert os.write(1 + (part >> 16) % 2, data[part : part + (1 << 16)]) == 1 << 16
    while part == 1 << 20 and not pathlib.Path(sys.argv[1]).exists():
        time.sleep(0.01)
sys.exit(7)
"""

DAEMONS = "setsid -f sleep 1000; setsid sh -c 'trap \"\" TERM; sleep 1000' & echo ready; exec sleep 1000"


def read_all(job: Job) -> bytes:
    return b"".join(chunk.data for chunk in job.output())


def start_daemons(engine: Engine) -> tuple[Job, int]:
    """A job with daemons: it, and its main process."""
    job = engine.start(sh(DAEMONS))
    assert next(job.output()).data == b"ready\n"
    main = engine._core.directory(job.id).read_started()
    assert main is not None
    wait_until(lambda: len(job_processes(job.id)) == 4)
    return job, main.pid


def fork_server(state_dir: Path) -> int:
    (found,) = fork_servers(state_dir)
    return found


@pytest.mark.parametrize("send", [os.kill, os.killpg], ids=["program", "process group"])
def test_job_outlives_the_program_that_started_it(
    state_dir: Path, tmp_path: Path, send: Callable[[int, int], None]
) -> None:
    gate = tmp_path / "gate"
    with program(STARTER, state_dir, sys.executable, "-c", WRITER, gate) as starter:
        job_id = next_line(starter)
        send(starter.pid, signal.SIGKILL)
    with Engine(state_dir) as engine:
        job = engine.get(job_id)
        assert job.status().state is State.RUNNING
        gate.touch()
        chunks = list(job.output())
        status = job.wait()
    assert (status.state, status.exit_code) == (State.EXITED, 7)
    data = random.Random(1).randbytes(4 << 20)  # noqa: S311  # to be repeated, not to be secret
    parts = [data[part : part + (1 << 16)] for part in range(0, len(data), 1 << 16)]
    for stream, expected in (("stdout", parts[0::2]), ("stderr", parts[1::2])):
        assert b"".join(chunk.data for chunk in chunks if chunk.stream == stream) == b"".join(expected)


def test_job_that_ends_while_no_program_looks_is_recorded(state_dir: Path, tmp_path: Path) -> None:
    script = f"{awaiting(tmp_path / 'gate')}; echo done; kill -KILL $$"
    with program(STARTER, state_dir, *sh(script)) as starter:
        job_id = next_line(starter)
    (tmp_path / "gate").touch()
    wait_until(lambda: not engine_processes(state_dir), "the end of all processes")
    with Engine(state_dir) as engine:
        assert engine.get(job_id).status().signal == signal.SIGKILL
        assert read_all(engine.get(job_id)) == b"done\n"


def test_killed_fork_server_harms_no_job_and_is_replaced(state_dir: Path, engine: Engine, tmp_path: Path) -> None:
    before = engine.start(sh(f"echo before; {awaiting(tmp_path / 'gate')}; echo after; exit 7"))
    killed = fork_server(state_dir)
    kill(killed)
    assert before.status().state is State.RUNNING
    assert engine.run(sh("echo hi")).stdout == b"hi\n"
    assert fork_server(state_dir) != killed
    (tmp_path / "gate").touch()
    assert read_all(before) == b"before\nafter\n"
    assert before.wait().exit_code == 7


def test_fork_server_killed_again_and_again(state_dir: Path, engine: Engine) -> None:
    jobs = []
    for _ in range(3):
        jobs.append(engine.start(SLEEPER))
        kill(fork_server(state_dir))
    for job in jobs:
        assert job.stop().signal == signal.SIGTERM


def test_fork_server_killed_while_jobs_are_started(state_dir: Path, engine: Engine) -> None:
    """No start is in vain, and none is done twice."""
    started: list[tuple[int, Job]] = []
    numbers = itertools.count()
    killed_enough = threading.Event()

    def start_jobs() -> None:
        while not killed_enough.is_set():
            number = next(numbers)
            started.append((number, engine.start(sh("echo $1", number))))

    with ThreadPoolExecutor(4) as pool:
        starters = [pool.submit(start_jobs) for _ in range(4)]
        try:
            for _ in range(3):
                before = len(started)
                wait_until(lambda before=before: len(started) >= before + 5)  # type: ignore[misc]  # mypy can't infer a default
                wait_until(lambda: fork_servers(state_dir), "a fork server, which the starters make")
                kill(fork_server(state_dir))
        finally:
            killed_enough.set()
    for starter in starters:
        starter.result()
    assert {number: read_all(job) for number, job in started} == {n: b"%d\n" % n for n in range(next(numbers))}
    assert len(engine.list()) == len(started)


@pytest.mark.parametrize("with_fork_server", [True, False], ids=["fork server lives", "fork server gone"])
def test_killed_shim_loses_the_job_and_leaves_nothing_of_it(
    state_dir: Path,
    engine: Engine,
    with_fork_server: bool,  # a test's parameter
) -> None:
    job, main = start_daemons(engine)
    other = engine.start(SLEEPER)
    if not with_fork_server:
        kill(fork_server(state_dir))
    with ThreadPoolExecutor() as pool:
        wait, follower = pool.submit(job.wait), pool.submit(read_all, job)
        kill(shim_of(job.id, main))
        status = wait.result(PATIENCE_SECONDS)
        assert follower.result(PATIENCE_SECONDS) == b"ready\n"
    assert (status.state, status.reason, status.exit_code, status.signal) == (State.LOST, Reason.LOST, None, None)
    assert status.ended_at is not None
    assert job_processes(job.id) == []
    assert read_all(job) == b"ready\n"
    assert [found.id for found in engine.list(state=State.LOST)] == [job.id]
    assert other.status().state is State.RUNNING
    assert engine.run(["true"]).exit_code == 0
    job.delete()


def test_killed_shim_is_noticed_by_the_next_program(state_dir: Path) -> None:
    with Engine(state_dir) as engine:
        job, main = start_daemons(engine)
    wait_until(lambda: not fork_servers(state_dir))
    kill(shim_of(job.id, main))
    with Engine(state_dir) as engine:
        assert [status.state for status in engine.list().statuses] == [State.LOST]
    assert job_processes(job.id) == []


def test_all_of_the_engine_killed_at_once(state_dir: Path, engine: Engine) -> None:
    jobs = [start_daemons(engine)[0] for _ in range(3)]
    for pid in engine_processes(state_dir):
        kill(pid)
    assert {job.wait(PATIENCE_SECONDS).state for job in jobs} == {State.LOST}
    assert not any(job_processes(job.id) for job in jobs)
    assert engine.run(["true"]).exit_code == 0


def test_engines_of_two_programs_share_all(state_dir: Path, engine: Engine) -> None:
    script = """
import sys
from jobworker_lib import Engine
with Engine(sys.argv[1]) as engine:
    seen = engine.get(sys.argv[2])
    assert next(seen.output()).data == b"from the first\\n"
    own = engine.start(["sh", "-c", "echo from the second; exec sleep 1000"], owner="second")
    print(own.id, flush=True)
    print(seen.stop().describe(), flush=True)
    print(own.wait().describe())
"""
    job = engine.start(sh("echo from the first; exec sleep 1000"))
    with program(script, state_dir, job.id) as second:
        other = engine.get(next_line(second))
        assert next(other.output()).data == b"from the second\n"
        assert job.wait(PATIENCE_SECONDS).state is State.STOPPED
        assert next_line(second) == "stopped (signal: 15)"
        assert [found.id for found in engine.list(owner="second")] == [other.id]
        assert other.stop().state is State.STOPPED
        assert finish(second) == "stopped (signal: 15)\n"
    assert len(engine.list()) == 2


def test_engines_that_come_at_once_share_one_fork_server(state_dir: Path) -> None:
    engines = [Engine(state_dir) for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        jobs = list(pool.map(lambda engine: engine.start(SLEEPER), engines))
    fork_server(state_dir)
    for engine in engines[1:]:
        engine.close()
    assert engines[0].run(["true"]).exit_code == 0
    assert {engines[0].get(job.id).stop().signal for job in jobs} == {signal.SIGTERM}
    engines[0].close()
