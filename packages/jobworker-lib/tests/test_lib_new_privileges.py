"""Jobs that gain no privileges by executing a program, and those that may, side by side."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from jobworker_lib import Bounds, Engine, Isolation, Limits, RestartPolicy, TerminalSize, aio
from lib_testing import SLEEPER, awaiting, engine_processes, sh, shims, wait_until, wait_until_idle

LOOK = sh("grep NoNewPrivs /proc/self/status | cut -f 2")

WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "input": {"stdin": True},
    "terminal": {"terminal": TerminalSize(24, 80)},
    "limits of a process": {"limits": Limits(open_files=100)},
    "process namespace": {"isolation": Isolation(pid=True)},
    "network namespace": {"isolation": Isolation(network="none")},
    "user": {"user": str(os.geteuid())},
}
NEEDS_ROOT = ("user",)

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can start jobs of other users")


@pytest.fixture
def public() -> Iterator[Path]:
    """A directory that every user can look into."""
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        path = Path(directory)
        path.chmod(0o755)
        yield path


def flags(engine: Engine, count: int, **options: Any) -> list[bytes]:
    """What the kernel says of as many jobs, one after another."""
    return [engine.run(LOOK, **options).stdout.strip() for _ in range(count)]


@pytest.mark.parametrize("way", WAYS)
def test_holds_however_a_job_is_executed(engine: Engine, way: str) -> None:
    if way in NEEDS_ROOT and os.geteuid() != 0:
        pytest.skip("only root can start jobs of a user")
    assert flags(engine, 1, **WAYS[way]) == [b"0"]
    assert flags(engine, 2, **WAYS[way], new_privileges=False) == [b"1"] * 2
    assert flags(engine, 1, **WAYS[way], new_privileges=True) == [b"0"]


def test_holds_for_every_attempt(engine: Engine) -> None:
    job = engine.start(
        sh(f"{LOOK[2]}; exit 1"), new_privileges=False, restart=RestartPolicy(max_restarts=2, backoff=0.01)
    )
    job.wait()
    assert b"".join(chunk.data for chunk in job.output()) == b"1\n" * 3


def test_holds_for_queued_jobs(state_dir: Path, tmp_path: Path) -> None:
    with Engine(state_dir, bounds=Bounds(running=1)) as engine:
        first = engine.start(sh(awaiting(tmp_path / "gate")))
        waiting = [engine.start(LOOK, new_privileges=may) for may in (False, True, False)]
        (tmp_path / "gate").touch()
        engine.wait([first, *waiting])
        assert [chunk.data for job in waiting for chunk in job.output()] == [b"1\n", b"0\n", b"1\n"]


def test_is_told(state_dir: Path) -> None:
    with Engine(state_dir) as engine:
        jobs = {engine.start(["true"], new_privileges=may).id: may for may in (True, False)}
        jobs[engine.start(["true"]).id] = True
        engine.wait(list(jobs))
        assert {job_id: engine.get(job_id).status().new_privileges for job_id in jobs} == jobs
        assert {status.id: status.new_privileges for status in engine.list().statuses} == jobs
    for path in state_dir.glob("index.db*"):
        path.unlink()
    with Engine(state_dir) as engine:
        assert {status.id: status.new_privileges for status in engine.list().statuses} == jobs


def test_awaited(state_dir: Path) -> None:
    async def look() -> bytes:
        async with aio.Engine(state_dir) as engine:
            return (await engine.run(LOOK, new_privileges=False)).stdout

    assert asyncio.run(look()) == b"1\n"


def test_shims_of_both_kinds_are_recycled(state_dir: Path, engine: Engine) -> None:
    jobs_of: Counter[tuple[bytes, bool]] = Counter()
    for turn in range(40):
        may = turn % 2 == 0
        shim = engine.run(sh("echo $PPID"), new_privileges=may).stdout
        jobs_of[shim, may] += 1
        wait_until_idle(int(shim))
    assert len(jobs_of) <= 6, "a few shims have had all jobs"
    assert len({shim for shim, _ in jobs_of}) <= len(jobs_of)


def test_few_idle_shims_of_each_kind_are_kept(state_dir: Path, engine: Engine) -> None:
    jobs = [engine.start(SLEEPER, new_privileges=turn % 2 == 0) for turn in range(24)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda job: job.stop(force=True), jobs))
    wait_until(lambda: len(shims(state_dir)) <= 16, "the end of idle shims")
    assert flags(engine, 1) == [b"0"]
    assert flags(engine, 1, new_privileges=False) == [b"1"]
    engine.close()
    wait_until(lambda: not engine_processes(state_dir), "the end of all of them")


@as_root
def test_setuid_programs_give_nothing(engine: Engine, public: Path) -> None:
    who = Path(shutil.copy("/usr/bin/id", public / "who"))
    who.chmod(0o4755)
    command = [str(who), "-u"]
    nobody = engine.run(["id", "-u"], user="nobody", cwd="/").stdout
    if engine.run(command, user="nobody", cwd="/").stdout != b"0\n":
        pytest.skip("setuid programs give nothing to anybody here: the directory is mounted nosuid")
    assert engine.run(command, user="nobody", cwd="/", new_privileges=False).stdout == nobody
