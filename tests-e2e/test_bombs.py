"""Jobs that take all that they can get: the server and the jobs of others go on, and a stop ends all of them."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from conformance.jobs import python, sh
from conformance.processes import PATIENCE_SECONDS, job_processes, wait_until
from harness.api import Api
from harness.certs import Certs
from harness.server import Server
from jobworker.v1 import job_pb2
from jobworker_lib.cgroup import place
from test_isolation import without_private_tmp

MEBI = 1 << 20
TENTH = {"nanos": 100_000_000}
MOST = 60
RESPONSIVE_SECONDS = 10.0
"""For all that another client asks for meanwhile; it takes a hundredth of that on a machine that has nothing to do."""

_BOMB = """
import os, signal, sys
if "deaf" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
while True:
    try:
        if os.fork() == 0 and "scattering" in sys.argv:
            os.setsid()
    except OSError:
        pass
"""
BOMBS = pytest.mark.parametrize("manner", ["together", "scattering"])
"""Whether each of its processes leads a session, and so a process group, of its own."""

_HOG = """
import os, time
if os.fork():
    while True:
        time.sleep(1)
held = []
while True:
    held.append(b"x" * (1 << 20))
"""


@pytest.fixture
def other(server: Server, certs: Certs) -> Iterator[Api]:
    """Another client."""
    with Api(server, certs.client("user", "ann")) as api:
        yield api


@pytest.fixture(params=["limited", "isolated"])
def fence(request: pytest.FixtureRequest) -> dict[str, Any]:
    return {"isolation": without_private_tmp(), "cwd": "/"} if request.param == "isolated" else {}


def require(*controllers: str) -> None:
    here = place.find()
    if missing := set(controllers) - here.parents.keys():
        pytest.skip(f"no job can be bounded here: {here.problems.get(min(missing), 'there are no such cgroups')}")


def cgroups_of(job_id: str) -> list[str]:
    return [path for path, _, _ in os.walk("/sys/fs/cgroup") if path.endswith(f"/jobworker-{job_id}")]


def assert_others_go_on(api: Api) -> None:
    """Start, status, stream and stop of another client's job."""
    begin = time.monotonic()
    job_id = api.start(sh("echo hello; exec sleep 1000")).id
    chunks = api.chunks(job_id)
    assert next(chunks).data == b"hello\n"
    assert api.status(job_id).state == job_pb2.JOB_STATE_RUNNING
    assert [job.id for job in api.list(states=[job_pb2.JOB_STATE_RUNNING])] == [job_id]
    api.stop(job_id, force=True)
    assert list(chunks) == []
    assert time.monotonic() - begin < RESPONSIVE_SECONDS


def assert_nothing_is_left(job_id: str) -> None:
    assert job_processes(job_id) == []
    assert cgroups_of(job_id) == []


@BOMBS
def test_a_fork_bomb_at_its_limit(api: Api, other: Api, fence: dict[str, Any], manner: str) -> None:
    require("pids")
    job_id = api.start(python(_BOMB, "deaf", manner), limits=job_pb2.Limits(pids=MOST), **fence).id
    wait_until(lambda: api.status(job_id).usage.pids == MOST, "a bomb that has gone off")
    assert_others_go_on(other)
    ended = api.stop(job_id, grace_period=TENTH)
    assert (ended.state, ended.signal) == (job_pb2.JOB_STATE_STOPPED, 9)
    assert ended.usage.pids_peak in (0, MOST)  # told since Linux 6.1
    assert_nothing_is_left(job_id)


def test_a_fork_bomb_ends_at_its_timeout(api: Api, other: Api, fence: dict[str, Any]) -> None:
    require("pids")
    job_id = api.start(python(_BOMB), limits=job_pb2.Limits(pids=MOST), timeout={"seconds": 2}, **fence).id
    assert_others_go_on(other)
    ended = api.wait(job_id)
    assert (ended.state, ended.reason) == (job_pb2.JOB_STATE_STOPPED, job_pb2.EXIT_REASON_TIMED_OUT)
    assert_nothing_is_left(job_id)


@BOMBS
def test_a_fork_bomb_without_a_limit_is_stopped(api: Api, manner: str) -> None:
    """But for one of the test's own, which jobworker knows nothing of, lest it takes the host."""
    require("pids")
    cage = Path(place.find().parents["pids"], f"test-bomb-{uuid.uuid4()}")
    cage.mkdir()
    try:
        (cage / "pids.max").write_text("150")
        bomb = python(_BOMB, "deaf", manner)
        job_id = api.start(sh('echo $$ > "$1/cgroup.procs"; shift; exec "$@"', cage, *bomb)).id
        wait_until(lambda: (cage / "pids.current").read_text() == "150\n", "a bomb that has gone off")
        ended = api.stop(job_id, grace_period=TENTH)
        assert (ended.state, ended.signal) == (job_pb2.JOB_STATE_STOPPED, 9)
        assert (cage / "cgroup.procs").read_text() == ""
        assert_nothing_is_left(job_id)
    finally:
        _remove(cage)


def test_a_memory_hog(api: Api, other: Api, fence: dict[str, Any]) -> None:
    """It is a child of the job that takes it, and the job is executed again and again."""
    require("memory")
    restart = job_pb2.RestartPolicy(max_restarts=5, backoff=TENTH)  # type: ignore[arg-type]  # a dictionary is taken
    job_id = api.start(python(_HOG), limits=job_pb2.Limits(memory_bytes=24 * MEBI), restart=restart, **fence).id
    assert_others_go_on(other)
    ended = api.wait(job_id)
    told = (ended.state, ended.reason, ended.signal, len(ended.attempts))
    assert told == (job_pb2.JOB_STATE_EXITED, job_pb2.EXIT_REASON_OUT_OF_MEMORY, 9, 6)
    assert ended.usage.memory_peak_bytes <= 24 * MEBI
    assert_nothing_is_left(job_id)


def _remove(cage: Path) -> None:
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while cage.exists():
        for pid in (cage / "cgroup.procs").read_text().split():
            with suppress(ProcessLookupError):
                os.kill(int(pid), 9)
        with suppress(OSError):
            cage.rmdir()
        assert time.monotonic() < give_up_at
