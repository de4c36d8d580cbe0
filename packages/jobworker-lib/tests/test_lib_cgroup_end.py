"""The end of a job's cgroup, by each way in which kernels let it be ended."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from jobworker_lib import Limits
from jobworker_lib.cgroup import hierarchies, place, populated
from jobworker_lib.cgroup.group import Group
from jobworker_lib.cgroup.v1 import GroupV1
from jobworker_lib.cgroup.v2 import GroupV2
from lib_testing import PATIENCE_SECONDS, process_state, wait_until

MOST = 50
# It enters cgroups before it forks; every eighth child leads a session, and so a process group, of its own.
_BOMB = """
import os, sys
for directory in sys.argv[1:]:
    with open(f"{directory}/cgroup.procs", "w") as file:
        file.write("0")
print("ready", flush=True)
while True:
    try:
        if os.fork() == 0 and os.getpid() % 8 == 0:
            os.setsid()
    except OSError:
        pass
"""


class _V2Before514(GroupV2):
    """As a kernel without ``cgroup.kill`` has it."""

    def _has(self, name: str) -> bool:
        return name != "cgroup.kill" and super()._has(name)


class _V2Before52(GroupV2):
    """As a kernel without a freezer has it, either."""

    def _has(self, name: str) -> bool:
        return name not in ("cgroup.kill", "cgroup.freeze") and super()._has(name)


def unified() -> str:
    """Where this process can make cgroups of version 2, be it without controllers."""
    found = hierarchies.read().unified
    if found is None or found.own is None or not _is_ours(found.own):
        pytest.skip("there is no cgroup of version 2 that we may make others in")
    return found.own


def _is_ours(directory: str) -> bool:
    return os.access(directory, os.W_OK) and os.access(f"{directory}/cgroup.procs", os.W_OK)


def of_version_1(*without: str) -> Group:
    """One of a host that lacks these."""
    here = place.find()
    if here.version != 1 or not {"pids", "freezer"} <= here.parents.keys():
        pytest.skip("here are no cgroups of version 1 that we may make")
    return GroupV1(
        {name: f"{parent}/test-{uuid.uuid4()}" for name, parent in here.parents.items() if name not in without}
    )


def of_version_2(kind: type[GroupV2]) -> Group:
    return kind({"pids": f"{unified()}/test-{uuid.uuid4()}"})


KINDS: dict[str, Callable[[], Group]] = {
    "version 2": lambda: of_version_2(GroupV2),
    "version 2 before Linux 5.14": lambda: of_version_2(_V2Before514),
    "version 2 before Linux 5.2": lambda: of_version_2(_V2Before52),
    "version 1 of a hybrid host": of_version_1,
    "version 1": lambda: of_version_1(place.UNIFIED),
    "version 1 without freezer": lambda: of_version_1(place.UNIFIED, "freezer"),
}


@contextmanager
def cage() -> Iterator[list[str]]:
    """What holds a bomb that no limit of its own does."""
    parent = place.find().parents.get("pids")
    if parent is None:
        pytest.skip("nothing here holds a bomb")
    directory = Path(parent, f"test-{uuid.uuid4()}")
    directory.mkdir()
    try:
        (directory / "pids.max").write_text(str(MOST))
        yield [str(directory)]
    finally:
        for pid in map(int, (directory / "cgroup.procs").read_text().split()):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: _is_removed(directory), "the end of the cage's processes")


def _is_removed(directory: Path) -> bool:
    """Remove a cgroup; False while the kernel has not let go of a process that was there."""
    try:
        directory.rmdir()
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        return False
    return True


@contextmanager
def bomb(group: Group, caged: list[str]) -> Iterator[int]:
    """A bomb that has gone off in a cgroup: its first process."""
    group.make()
    if group.version == 1:
        group.limit(Limits(pids=MOST), "/")
        caged = []
    directories = [*caged, *dict.fromkeys(group.directories.values())]
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _BOMB, *directories], stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            wait_until(lambda: len(group.processes()) == MOST, "a bomb that has gone off")
            yield process.pid
        finally:
            process.kill()


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_left_of_a_fork_bomb(kind: str) -> None:
    group = KINDS[kind]()
    with cage() as caged, bomb(group, caged) as first:
        assert group.remove()
        assert process_state(first) in ("", "Z")
    assert not any(map(os.path.exists, group.directories.values()))


def test_the_end_of_the_last_process_is_told() -> None:
    group = of_version_2(GroupV2)
    group.make()
    directory = group.directories["pids"]
    assert populated.wait(directory, 0) is True  # it is empty
    script = f"echo $$ > {directory}/cgroup.procs; echo ready; exec sleep 1000"
    with subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        assert populated.wait(directory, 0.01) is False
        killer = threading.Timer(0.1, process.kill)
        killer.start()
        begin = time.monotonic()
        assert populated.wait(directory, PATIENCE_SECONDS) is True
        assert time.monotonic() - begin < PATIENCE_SECONDS / 2
        killer.join()
    assert group.remove()
    assert populated.wait(directory, 0) is None


def test_nobody_tells_in_version_1() -> None:
    group = of_version_1()
    group.make()
    assert populated.wait(group.directories["pids"], 0) is None
    assert group.unified is not None
    assert populated.wait(group.unified, 0) is True
    assert group.remove()
