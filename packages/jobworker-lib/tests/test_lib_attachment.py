"""Attachments of programs that die or are odd, and what is left of them in the shims."""

from __future__ import annotations

import asyncio
import select
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from jobworker_lib import Engine, InputClosedError, State, TerminalSize, aio
from jobworker_lib.job.directory import JobDirectory
from lib_testing import finish, job_processes, kill, next_line, open_files, parent, program, sh, shim_of, wait_until

SIZE = TerminalSize(30, 100)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with Engine(tmp_path / "state") as engine:
        yield engine
        for job in engine.list(state=["queued", "starting", "running"]):
            job.stop(force=True)


def test_a_program_that_is_killed_leaves_the_input_open(engine: Engine, tmp_path: Path) -> None:
    job = engine.start(sh('while read line; do echo "got $line"; done; echo end'), stdin=True)
    script = """
import sys, time
from jobworker_lib import Engine
attachment = Engine(sys.argv[1]).get(sys.argv[2]).attach()
attachment.write(b"before\\n")
print("written", flush=True)
time.sleep(1000)
"""
    with program(script, tmp_path / "state", job.id) as killed:
        assert next_line(killed) == "written"
        killed.kill()
        killed.wait()
    with job.attach() as attachment:
        attachment.write(b"after\n")
        attachment.close_input()
        assert b"".join(chunk.data for chunk in attachment.output()) == b"got before\ngot after\nend\n"


def test_a_program_that_sigpipe_would_end_is_told_by_an_error(engine: Engine, tmp_path: Path) -> None:
    job = engine.start(sh("exec <&-; echo closed; exec sleep 1000"), stdin=True)
    script = """
import signal, sys
from jobworker_lib import Engine, InputClosedError
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
with Engine(sys.argv[1]).get(sys.argv[2]).attach() as attachment:
    next(attachment.output())
    try:
        attachment.write(bytes(1 << 20))
    except InputClosedError as error:
        print(error)
"""
    with program(script, tmp_path / "state", job.id) as writer:
        assert finish(writer).startswith(f"job {job.id} takes no more input")


def test_an_end_of_input_is_not_held_up_by_a_program_that_stands_still(engine: Engine, tmp_path: Path) -> None:
    """With copies of the pipe's end it would be: it is why each writer has a socket."""
    job = engine.start(["cat"], stdin=True)
    script = """
import os, signal, sys
from jobworker_lib import Engine
attachment = Engine(sys.argv[1]).get(sys.argv[2]).attach()
attachment.write(b"from the one that stands still\\n")
print("written", flush=True)
os.kill(os.getpid(), signal.SIGSTOP)
"""
    with program(script, tmp_path / "state", job.id) as stopped:
        assert next_line(stopped) == "written"
        with job.attach() as attachment:
            attachment.close_input()
            output = b"".join(chunk.data for chunk in attachment.output())
    assert output == b"from the one that stands still\n"
    assert job.wait().exit_code == 0


@pytest.mark.parametrize("options", [{"stdin": True}, {"terminal": SIZE}])
def test_a_shim_that_is_used_again_keeps_nothing_of_it(
    engine: Engine, tmp_path: Path, options: dict[str, object]
) -> None:
    def one_job(argv: list[str]) -> int:
        job = engine.start(argv, **options)  # type: ignore[arg-type]  # they are the options' names
        started = JobDirectory(engine._core._store.path / "jobs" / job.id).read_started()
        assert started
        shim = parent(started.pid)
        with job.attach() as attachment, job.attach():
            attachment.write(b"\x04")
            job.stop(force=True)
        return shim

    def is_idle(shim: int) -> bool:
        kinds = sorted(name.split(":")[0].removeprefix(f"{tmp_path}/") for name in open_files(shim))
        return kinds == ["/dev/null", "/dev/null", "socket", "state/engine.log"]

    shims = []
    for _ in range(10):
        shims.append(one_job(["sleep", "1000"]))
        wait_until(lambda: is_idle(shims[-1]), "a shim without anything of its last job")
    assert len(set(shims)) < len(shims), "none was used again"


def test_closing_wakes_who_waits_to_write(engine: Engine) -> None:
    job = engine.start(["sleep", "1000"], stdin=True)
    attachment = job.attach()
    raised: list[Exception] = []

    def write() -> None:
        try:
            attachment.write(bytes(1 << 20))
        except InputClosedError as error:
            raised.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    wait_until(lambda: not writer.is_alive() or _is_full(attachment._input), "a full socket")
    attachment.close()
    writer.join()
    assert raised


def test_closing_wakes_tasks_that_wait(tmp_path: Path) -> None:
    async def main() -> None:
        async with aio.Engine(tmp_path / "state") as engine:
            job = await engine.start(["sleep", "1000"], stdin=True)
            attachment = await job.attach()
            waiting = asyncio.create_task(attachment.wait_input_closed())
            writing = asyncio.create_task(attachment.write(bytes(1 << 20)))
            await asyncio.to_thread(wait_until, lambda: _is_full(attachment._input), "a full socket")
            await attachment.close()
            with pytest.raises(InputClosedError):
                await writing
            await waiting
            with pytest.raises(InputClosedError):
                await attachment.write(b"x")
            await job.stop(force=True)

    asyncio.run(main())


def _is_full(job_input: object) -> bool:
    poller = select.poll()
    poller.register(job_input, select.POLLOUT)  # type: ignore[arg-type]  # it has a fileno
    return not poller.poll(0)


@pytest.mark.parametrize("options", [{"stdin": True}, {"terminal": SIZE}])
def test_a_shim_that_is_killed_lets_those_go_who_are_attached(engine: Engine, options: dict[str, object]) -> None:
    job = engine.start(sh("echo ready; exec sleep 1000"), **options)  # type: ignore[arg-type]  # they are its names
    started = JobDirectory(engine._core._store.path / "jobs" / job.id).read_started()
    assert started
    with job.attach() as attachment:
        chunks = attachment.output()
        seen = next(chunks).data
        while not seen.endswith(b"\n"):  # a terminal may give a line and its end one after the other
            seen += next(chunks).data
        assert seen.rstrip() == b"ready"
        kill(shim_of(job.id, started.pid))
        assert list(chunks) == []
        with pytest.raises(InputClosedError):
            attachment.write(bytes(1 << 20))
    assert job.status().state is State.LOST
    assert not job_processes(job.id)


def test_more_writers_than_a_shim_takes_wait_for_one_that_leaves(engine: Engine) -> None:
    job = engine.start(["cat"], stdin=True)
    with ExitStack() as attached:
        writers = [attached.enter_context(job.attach()) for _ in range(101)]
        for writer in writers[:100]:
            writer.write(b"x")
        last = threading.Thread(target=writers[100].write, args=(b"y",))
        last.start()
        last.join(0.2)
        assert last.is_alive()
        writers[0].close()
        last.join()
        writers[100].close_input()
        assert b"".join(chunk.data for chunk in writers[100].output()) == b"x" * 100 + b"y"
