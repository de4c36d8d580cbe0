"""What only the library has: run, closing, bytes in arguments, and cancelling in asyncio."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from pathlib import Path

import pytest

from jobworker_lib import (
    CommandFailedError,
    CommandNotFoundError,
    Engine,
    EngineError,
    InvalidArgumentError,
    State,
    aio,
)
from lib_testing import SLEEPER, finish, job_processes, program, sh, wait_until


def test_run_is_like_that_of_subprocess(engine: Engine, tmp_path: Path) -> None:
    result = engine.run(sh('echo out; echo err >&2; pwd; echo "$A"; exit 3'), cwd=tmp_path, env={"A": "b"})
    assert result.stdout == f"out\n{tmp_path}\nb\n".encode()
    assert result.stderr == b"err\n"
    assert result.exit_code == 3
    assert result.status.state is State.EXITED


def test_run_checks_the_exit_code(engine: Engine) -> None:
    assert engine.run(["true"], check=True).exit_code == 0
    with pytest.raises(CommandFailedError, match=r"exit code: 3") as caught:
        engine.run(sh("echo why >&2; exit 3"), check=True)
    assert caught.value.result.stderr == b"why\n"
    with pytest.raises(CommandFailedError, match=r"signal: 9"):
        engine.run(sh("kill -KILL $$"), check=True)
    with pytest.raises(CommandNotFoundError):
        engine.run(["no-such-command-anywhere"])


def test_run_that_times_out_failed(engine: Engine) -> None:
    with pytest.raises(CommandFailedError, match="timed out"):
        engine.run(SLEEPER, timeout=0.1, check=True)


def test_interrupted_run_stops_its_job(engine: Engine) -> None:
    def interrupt() -> None:
        wait_until(lambda: engine._core.watcher._wakes, "a run that follows its job")
        signal.raise_signal(signal.SIGINT)

    interrupter = threading.Thread(target=interrupt)
    interrupter.start()
    with pytest.raises(KeyboardInterrupt):
        engine.run(SLEEPER)
    interrupter.join()
    (status,) = engine.list().statuses
    assert status.describe() == "stopped (signal: 15)"


def test_run_interrupted_while_its_job_starts_stops_it(state_dir: Path) -> None:
    """The job itself interrupts, as soon as it is there; no start has returned by then."""
    script = """
import os, sys
from jobworker_lib import Engine
interrupted = 0
with Engine(sys.argv[1]) as engine:
    for _ in range(20):
        try:
            engine.run(["sh", "-c", "kill -INT $1; exec sleep 1000", "sh", str(os.getpid())])
        except KeyboardInterrupt:
            interrupted += 1
    print(interrupted, {status.describe() for status in engine.list().statuses})
"""
    with program(script, state_dir) as process:
        assert finish(process) == "20 {'stopped (signal: 15)'}\n"


def test_bytes_in_arguments_and_environment_are_passed_as_they_are(engine: Engine) -> None:
    raw = os.fsdecode(b"\xff\xfe")
    job = engine.start(["sh", "-c", 'printf "%s %s" "$1" "$A"', "sh", raw], env={"A": raw})
    assert b"".join(chunk.data for chunk in job.output()) == b"\xff\xfe \xff\xfe"
    assert job.status().argv[-1] == raw


def test_working_directory_of_the_program_is_the_default(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert engine.run(["/bin/pwd"]).stdout == f"{tmp_path}\n".encode()


def test_closed_engine_starts_nothing(state_dir: Path) -> None:
    engine = Engine(state_dir)
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="closed"):
        engine.start(["true"])
    assert not any((state_dir / "jobs").iterdir())


def test_large_trees_are_ended(engine: Engine) -> None:
    """More processes than are signalled at a time."""
    job = engine.start(sh("for n in $(seq 300); do sleep 1000 & done; echo ready; wait"))
    assert next(job.output()).data == b"ready\n"
    wait_until(lambda: len(job_processes(job.id)) == 301, "all to be executed")
    assert job.stop(grace=20).state is State.STOPPED
    assert job_processes(job.id) == []


@pytest.mark.parametrize("state", ["nonsense", ["running", "nonsense"]])
def test_list_refuses_unknown_states(engine: Engine, state: str | list[str]) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        engine.list(state=state)
    assert caught.value.field == "state"


def test_output_refuses_unknown_streams(engine: Engine) -> None:
    job = engine.start(["true"])
    with pytest.raises(InvalidArgumentError) as caught:
        next(job.output(stream="stdin"))  # type: ignore[arg-type]  # the mistake is the test
    assert caught.value.field == "stream"


def test_job_tells_its_id(engine: Engine) -> None:
    job = engine.start(["true"])
    assert repr(job) == f"Job({job.id!r})"
    assert engine.get(job.id).id == job.id


def test_asyncio_run(state_dir: Path) -> None:
    async def scenario() -> None:
        async with aio.Engine(state_dir) as engine:
            result = await engine.run(sh("echo out; echo err >&2; exit 3"))
            assert (result.stdout, result.stderr, result.exit_code) == (b"out\n", b"err\n", 3)
            with pytest.raises(CommandFailedError):
                await engine.run(["false"], check=True)

    asyncio.run(scenario())


def test_asyncio_cancelled_run_stops_its_job(state_dir: Path) -> None:
    async def scenario() -> None:
        async with aio.Engine(state_dir) as engine:
            run = asyncio.create_task(engine.run(SLEEPER))
            await asyncio.to_thread(wait_until, lambda: engine._core.watcher._wakes, "a run that follows its job")
            run.cancel()
            with pytest.raises(asyncio.CancelledError):
                await run
            (status,) = (await engine.list()).statuses
            assert status.describe() == "stopped (signal: 15)"

    asyncio.run(scenario())


def test_asyncio_cancelled_wait_and_output_leave_the_job_alone(state_dir: Path) -> None:
    async def scenario() -> None:
        async with aio.Engine(state_dir) as engine:
            job = await engine.start(sh("echo ready; exec sleep 1000"))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await job.wait()
            output = job.output()
            assert (await anext(output)).data == b"ready\n"
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await anext(output)
            assert (await job.status()).state is State.RUNNING
            await job.stop()

    asyncio.run(scenario())


def test_asyncio_many_jobs_and_followers_at_once(state_dir: Path) -> None:
    async def follow(engine: aio.Engine, number: int) -> bytes:
        job = await engine.start(sh("echo $1; sleep 0.2; echo end", number))
        return b"".join([chunk.data async for chunk in job.output()])

    async def scenario() -> list[bytes]:
        async with aio.Engine(state_dir) as engine:
            return await asyncio.gather(*(follow(engine, number) for number in range(40)))

    assert asyncio.run(scenario()) == [b"%d\nend\n" % number for number in range(40)]
