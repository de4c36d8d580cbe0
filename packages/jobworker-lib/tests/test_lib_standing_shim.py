"""A shim or fork server that stands still, stopped or hanging on a filesystem, holds up nobody else."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jobworker_lib import Bounds, Engine, JobNotRunningError, State, aio
from lib_testing import PATIENCE_SECONDS, SLEEPER, process_state, shim_of, wait_until

MORE_THAN_A_SOCKET_HOLDS = 2 * int(Path("/proc/sys/net/unix/max_dgram_qlen").read_text()) + 2


@contextmanager
def standing_still(engine: Engine, job_id: str) -> Iterator[None]:
    started = engine._core.directory(job_id).read_started()
    assert started is not None
    with stopped(shim_of(job_id, started.pid)):
        yield


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_until(lambda: process_state(pid) == "T")
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_stop_waits_for_it_and_all_else_goes_on(engine: Engine) -> None:
    job = engine.start(SLEEPER)
    stopping = threading.Thread(target=job.stop)
    with standing_still(engine, job.id):
        stopping.start()
        assert job.status().state is State.RUNNING
        assert engine.run(["true"]).exit_code == 0
        assert [found.id for found in engine.list(state=State.RUNNING)] == [job.id]
        assert stopping.is_alive()
    stopping.join()
    assert job.status().state is State.STOPPED


def test_event_loop_goes_on(engine: Engine, state_dir: Path) -> None:
    job = engine.start(SLEEPER, stdin=True)

    async def ask_and_give_up() -> None:
        async with aio.Engine(state_dir) as other:
            found = await other.get(job.id)
            for ask in (found.stop, lambda: found.signal("USR1"), lambda: found.set_timeout(100.0)):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.1):
                        await ask()
            async with await found.attach() as attachment:
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.1):
                        await attachment.write(b"input")
            assert (await found.status()).state is State.RUNNING

    with standing_still(engine, job.id):
        asyncio.run(asyncio.wait_for(ask_and_give_up(), 30))
    assert job.wait().state is State.STOPPED, "what it was asked for it does still"


def test_is_asked_more_than_its_socket_holds(engine: Engine, state_dir: Path) -> None:
    job = engine.start(SLEEPER)
    asked = []

    async def ask() -> None:
        async with aio.Engine(state_dir) as other:
            found = await other.get(job.id)
            requests = [asyncio.ensure_future(found.signal("CONT")) for _ in range(MORE_THAN_A_SOCKET_HOLDS)]
            await asyncio.wait(requests, timeout=0.1)
            assert not any(request.done() for request in requests)
            asked.append(True)
            for request in requests:
                try:
                    await request
                except JobNotRunningError as error:
                    raise AssertionError from error

    with standing_still(engine, job.id):
        asking = threading.Thread(target=lambda: asyncio.run(ask()))
        asking.start()
        wait_until(lambda: asked, "all requests")
    asking.join()
    assert job.status().state is State.RUNNING


def test_queue_goes_on_beside_a_launch_that_hangs(state_dir: Path) -> None:
    """A pipe in the place of what the shim is to write stands in for a filesystem that does not answer."""
    with Engine(state_dir, bounds=Bounds(running=2)) as engine:
        running = [engine.start(SLEEPER) for _ in range(2)]
        hanging, *others = [engine.start(["true"]) for _ in range(4)]
        pipe = state_dir / "jobs" / hanging.id / ".started.json.new"
        os.mkfifo(pipe)
        for job in running:
            job.stop()
        for job in others:
            assert job.wait(PATIENCE_SECONDS).exit_code == 0
        assert not hanging.status().state.ended
        with pipe.open("rb"):
            assert hanging.wait(PATIENCE_SECONDS).state is State.FAILED
