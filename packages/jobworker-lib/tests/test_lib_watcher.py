"""Who waits is woken by what they wait for, and by nothing else."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from jobworker_lib import Engine, JobStatus, aio
from jobworker_lib.host import libc
from jobworker_lib.job.directory import OUTPUT_INDEX
from jobworker_lib.output.format import RECORD
from lib_testing import PATIENCE_SECONDS, awaiting, sh, wait_until

LOOK_AGAIN_SECONDS = 1.0
"""How long it takes those who were not woken."""


def wait_beside_a_reader(engine: Engine, job_id: str) -> JobStatus:
    job = engine.get(job_id)
    with ThreadPoolExecutor() as pool:
        read = pool.submit(list, job.output())
        status = job.wait(PATIENCE_SECONDS)
        read.result(PATIENCE_SECONDS)
    return status


def wait_in_asyncio(engine: Engine, job_id: str) -> JobStatus:
    async def scenario() -> JobStatus:
        async with aio.Engine(engine._core._store.path) as own:
            return await (await own.get(job_id)).wait(PATIENCE_SECONDS)

    return asyncio.run(scenario())


@pytest.mark.parametrize("waiting", [wait_beside_a_reader, wait_in_asyncio])
def test_output_wakes_nobody_who_waits_for_the_end(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, waiting: Callable[[Engine, str], JobStatus]
) -> None:
    looks: list[float] = []
    poll_ended = engine._core.poll_ended

    def look(_core: object, job_id: str) -> JobStatus | None:
        looks.append(time.monotonic())
        return poll_ended(job_id)

    monkeypatch.setattr("jobworker_lib.core.Core.poll_ended", look)
    script = f"{awaiting(tmp_path / 'begin')}; until [ -e '{tmp_path}/end' ]; do echo line; sleep 0.001; done; exit 3"
    job = engine.start(sh(script))
    index = Path(engine._core.directory(job.id).file(OUTPUT_INDEX))
    with ThreadPoolExecutor() as pool:
        status = pool.submit(waiting, engine, job.id)
        wait_until(lambda: len(looks) >= 2, "somebody who waits")
        (tmp_path / "begin").touch()
        wait_until(lambda: index.stat().st_size >= 100 * RECORD.size, "a hundred changes of the output")
        (tmp_path / "end").touch()
        assert status.result(PATIENCE_SECONDS).exit_code == 3
    assert len(looks) <= 4 + (looks[-1] - looks[0]) / LOOK_AGAIN_SECONDS


@pytest.fixture
def only_woken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks again by themselves."""
    monkeypatch.setattr("jobworker_lib.waiting.watcher._RECHECK_SECONDS", 1000.0)


@pytest.mark.usefixtures("only_woken")
def test_reader_is_woken_by_each_output(engine: Engine, tmp_path: Path) -> None:
    rounds = 30
    script = f'n=0; while [ $n -lt {rounds} ]; do until [ -e "$1/$n" ]; do sleep 0.01; done; echo $n; n=$((n+1)); done'
    chunks = engine.start(sh(script, tmp_path)).output()
    for number in range(rounds):
        (tmp_path / str(number)).touch()
        assert next(chunks).data == b"%d\n" % number
    assert list(chunks) == []


@pytest.mark.usefixtures("only_woken")
def test_who_waits_is_woken_by_the_end(engine: Engine, tmp_path: Path) -> None:
    for number in range(10):
        job = engine.start(sh(awaiting(tmp_path / str(number))))
        with ThreadPoolExecutor() as pool:
            status = pool.submit(job.wait, PATIENCE_SECONDS)
            wait_until(lambda: engine._core.watcher._wakes, "somebody who waits")
            (tmp_path / str(number)).touch()
            assert status.result(PATIENCE_SECONDS).exit_code == 0


def test_output_is_watched_only_while_somebody_waits_for_it(engine: Engine, tmp_path: Path) -> None:
    job = engine.start(sh(f"{awaiting(tmp_path / 'gate')}; echo out; exec sleep 1000"))
    assert output_is_watched(engine) == []
    with ThreadPoolExecutor() as pool:
        ended = pool.submit(job.wait)
        wait_until(lambda: output_is_watched(engine) == [False], "somebody who waits")
        chunk = pool.submit(next, job.output())
        wait_until(lambda: output_is_watched(engine) == [True], "somebody who reads, too")
        (tmp_path / "gate").touch()
        assert chunk.result(PATIENCE_SECONDS).data == b"out\n"
        assert output_is_watched(engine) == [False]
        job.stop(force=True)
        ended.result(PATIENCE_SECONDS)
    assert output_is_watched(engine) == []


def output_is_watched(engine: Engine) -> list[bool]:
    """Of each directory that the kernel watches for an engine, whether output in it makes an event."""
    about = Path(f"/proc/self/fdinfo/{engine._core.watcher._inotify}").read_text()
    return [
        bool(int(mask, 16) & libc.IN_MODIFY)
        for mask in re.findall(r"^inotify .* mask:([0-9a-f]+)", about, re.MULTILINE)
    ]


def test_without_inotify_all_is_found_by_looking_again(
    state_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on network filesystems."""
    monkeypatch.setattr("jobworker_lib.waiting.watcher.is_network_filesystem", lambda _path: True)
    with Engine(state_dir) as engine:
        job = engine.start(sh(f"echo early; {awaiting(tmp_path / 'gate')}; echo late; exit 3"))
        chunks = job.output()
        assert next(chunks).data == b"early\n"
        with pytest.raises(TimeoutError):
            job.wait(timeout=0.05)
        (tmp_path / "gate").touch()
        assert [chunk.data for chunk in chunks] == [b"late\n"]
        assert job.wait().exit_code == 3
        assert not engine._core.watcher._wakes
