"""While the disk is full a job waits, and no byte of it is lost."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from conftest import leave_nothing_running
from jobworker_lib import Bounds, Engine, EngineError, Gap, Job, OutputLimit, RestartPolicy, State
from lib_testing import PATIENCE_SECONDS, awaiting, job_processes, sh, wait_until

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small filesystem"),
    pytest.mark.skipif(shutil.which("mount") is None, reason="mount is missing"),
]

WRITER = """
import os, random, sys
data = random.Random(1).randbytes(1 << 20)
for part in range(0, len(data), 5000):
    block = data[part : part + 5000]
    assert os.write(1 + part // 5000 % 2, block) == len(block)
"""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A filesystem of 3 MiB, of which output may take all."""
    path = tmp_path / "disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(path)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a filesystem can't be mounted here: {mounted.stderr.strip()}")
    (path / "state").mkdir(mode=0o700)
    set_reserve(path, 0)
    yield path
    leave_nothing_running(path / "state")
    # A process that is just ending may still hold files that nobody can see any more.
    unmount = ["umount", str(path)]
    wait_until(lambda: subprocess.run(unmount, capture_output=True, check=False).returncode == 0, "a disk in no use")


def set_reserve(disk: Path, size: int) -> None:
    (disk / "state" / "reserve").write_text(f"{size}\n")


def free_bytes(disk: Path) -> int:
    about = os.statvfs(disk)
    return about.f_bavail * about.f_frsize


def fill(disk: Path, *, leave: int = 0) -> Path:
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        while (left := free_bytes(disk) - leave) > 0:
            file.write(b"x" * left)
    return ballast


def read_all(job: Job) -> list[tuple[str, bytes]]:
    return [(chunk.stream, chunk.data) for chunk in job.output()]


def test_output_goes_on_where_it_stopped(disk: Path) -> None:
    with Engine(disk / "state") as engine:
        engine.run(["true"])
        ballast = fill(disk, leave=300_000)
        job = engine.start([sys.executable, "-c", WRITER])
        wait_until(lambda: free_bytes(disk) == 0, "a full disk")
        assert job.status().state is State.RUNNING
        seen = b"".join(chunk.data for chunk in job.output(follow=False))
        ballast.unlink()
        chunks = read_all(job)
        assert b"".join(data for _, data in chunks).startswith(seen)
        assert job.wait().exit_code == 0
    data = random.Random(1).randbytes(1 << 20)  # noqa: S311  # to be repeated, not to be secret
    blocks = [data[part : part + 5000] for part in range(0, len(data), 5000)]
    for stream, expected in (("stdout", blocks[0::2]), ("stderr", blocks[1::2])):
        assert b"".join(data for kind, data in chunks if kind == stream) == b"".join(expected)


def test_end_waits_until_the_last_words_are_written(disk: Path, tmp_path: Path) -> None:
    """The job is over while the disk is full; it is not said to be so before all of it is on the disk."""
    with Engine(disk / "state") as engine:
        job = engine.start(
            sh(f'echo first; {awaiting(tmp_path / "gate")}; seq 5000; touch "$1"; exit 7', tmp_path / "over")
        )
        assert next(job.output()).data == b"first\n"
        ballast = fill(disk)
        (tmp_path / "gate").touch()
        wait_until((tmp_path / "over").exists)
        with pytest.raises(TimeoutError):
            job.wait(timeout=0.5)
        ballast.unlink()
        assert job.wait().exit_code == 7
        expected = "".join(f"{number}\n" for number in range(1, 5001))
        assert b"".join(data for _, data in read_all(job)) == b"first\n" + expected.encode()


def test_job_can_be_stopped_while_the_disk_is_full(disk: Path) -> None:
    with Engine(disk / "state") as engine, ThreadPoolExecutor() as pool:
        ballast = fill(disk, leave=1 << 20)
        job = engine.start(["cat", "/dev/zero"])
        wait_until(lambda: free_bytes(disk) == 0, "a full disk")
        stop = pool.submit(job.stop, force=True)
        wait_until(lambda: not job_processes(job.id), "the end of the job's processes")
        assert job.status().state is State.RUNNING
        ballast.unlink()
        assert stop.result(PATIENCE_SECONDS).describe() == "stopped (signal: 9)"
        assert set(b"".join(data for _, data in read_all(job))) == {0}


def test_start_is_refused_with_the_reason(disk: Path) -> None:
    with Engine(disk / "state") as engine:
        engine.run(["true"])
        ballast = fill(disk)
        with pytest.raises(EngineError, match=r"No space left|full"):
            engine.start(["true"])
        ballast.unlink()
        assert engine.run(["true"]).exit_code == 0
        assert len(engine.list()) == 2


def test_segments_go_on_where_they_stopped(disk: Path) -> None:
    """The limit fits on the disk, until something else takes the space."""
    limit = OutputLimit(1 << 20, "drop_oldest")
    with Engine(disk / "state") as engine:
        ballast = fill(disk, leave=600_000)
        job = engine.start(sh("head -c 3000000 /dev/zero; printf end"), output_limit=limit)
        wait_until(lambda: free_bytes(disk) == 0, "a full disk")
        assert job.status().state is State.RUNNING
        ballast.unlink()
        assert job.wait().exit_code == 0
        chunks = list(job.output())
        status = job.status()
        assert (status.output_bytes, chunks[-1].data[-3:]) == (3_000_003, b"end")
        assert chunks[0].gap == Gap(0, status.output_dropped_bytes)
        assert sum(len(chunk.data) for chunk in chunks) == 3_000_003 - status.output_dropped_bytes <= limit.bytes


def test_output_leaves_the_reserve_and_goes_on_when_there_is_more(disk: Path) -> None:
    set_reserve(disk, 1_000_000)
    with Engine(disk / "state") as engine:
        ballast = fill(disk, leave=1_500_000)
        job = engine.start([sys.executable, "-c", WRITER])
        wait_until(lambda: job.status().output_bytes > 300_000, "output")
        with pytest.raises(TimeoutError):
            job.wait(timeout=1)
        assert 700_000 < free_bytes(disk) < 1_100_000
        complaint = f"the output of job {job.id} waits: less space is free than the reserve\n"
        assert (disk / "state" / "engine.log").read_text() == complaint
        assert engine.run(["echo", "short jobs go on"]).stdout == b"short jobs go on\n"
        ballast.unlink()
        assert job.wait().exit_code == 0
        assert job.status().output_bytes == 1 << 20


def test_reserve_can_be_changed_while_jobs_wait_for_it(disk: Path) -> None:
    (disk / "state" / "reserve").unlink()
    with Engine(disk / "state") as engine:
        engine.run(["true"])
        fill(disk, leave=150_000)  # less than a twentieth
        job = engine.start(sh("head -c 20000 /dev/zero; sleep 1000"))
        with pytest.raises(TimeoutError):
            job.wait(timeout=1)
        assert job.status().output_bytes == 0
        set_reserve(disk, 0)
        wait_until(lambda: job.status().output_bytes == 20_000, "all of the output")
        job.stop(force=True)


def test_job_that_waits_for_the_reserve_can_be_stopped(disk: Path) -> None:
    set_reserve(disk, 1 << 30)
    with Engine(disk / "state") as engine:
        job = engine.start(["cat", "/dev/zero"])
        status = job.stop(force=True)
        assert status.describe() == "stopped (signal: 9)"
        assert status.output_bytes <= 2 << 20, "what was in the pipes"


def test_restart_waits_until_it_can_be_noted(disk: Path, tmp_path: Path) -> None:
    """What is executed while the disk is full, nobody would know of."""
    policy = RestartPolicy(max_restarts=3, backoff=0.1, max_backoff=0.1)
    with Engine(disk / "state") as engine:
        job = engine.start(sh(f'echo >> "$1"; {awaiting(tmp_path / "gate")}; exit 3', tmp_path / "ran"), restart=policy)
        wait_until((tmp_path / "ran").exists)
        ballast = fill(disk)
        (tmp_path / "gate").touch()
        wait_until(lambda: not job_processes(job.id), "the end of the first attempt")
        with pytest.raises(TimeoutError):
            job.wait(timeout=1.5)
        assert (tmp_path / "ran").read_text() == "\n"
        ballast.unlink()
        status = job.wait(PATIENCE_SECONDS)
    assert [(attempt.number, attempt.exit_code) for attempt in status.attempts] == [(1, 3), (2, 3), (3, 3), (4, 3)]
    assert (tmp_path / "ran").read_text() == "\n" * 4


def test_queue_waits_for_space(disk: Path, tmp_path: Path) -> None:
    with Engine(disk / "state", bounds=Bounds(running=1)) as engine:
        first = engine.start(sh(awaiting(tmp_path / "gate")))
        jobs = [engine.start(sh('echo >> "$1"', tmp_path / "ran")) for _ in range(5)]
        ballast = fill(disk)
        (tmp_path / "gate").touch()
        wait_until(lambda: not job_processes(first.id), "the end of the first job")
        with pytest.raises(TimeoutError):
            jobs[0].wait(timeout=1.5)
        assert {job.status().state for job in jobs} == {State.QUEUED}
        ballast.unlink()
        assert {job.wait(PATIENCE_SECONDS).exit_code for job in (first, *jobs)} == {0}
    assert (tmp_path / "ran").read_text() == "\n" * 5
