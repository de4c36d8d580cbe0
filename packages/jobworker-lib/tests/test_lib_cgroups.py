"""Where cgroups are looked for, and what is told where none is of use. That limits hold is shown in tests-e2e."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from jobworker_lib import Engine, IoLimit, LimitNotEnforceableError, Limits
from jobworker_lib.cgroup import clone, making, place
from jobworker_lib.cgroup.hierarchies import Hierarchies, Hierarchy, parse
from jobworker_lib.cgroup.v1 import GroupV1
from jobworker_lib.cgroup.v2 import GroupV2, quota_of

V1_MOUNTS = """\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:5 - cgroup cgroup rw,cpu,cpuacct
33 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
34 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
35 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate
"""
V1_OWN = "4:cpu,cpuacct:/\n3:memory:/user/ann\n1:name=systemd:/x\n0::/x\n"


def test_hierarchies_of_a_hybrid_host() -> None:
    cpu = Hierarchy("/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup/cpu,cpuacct")
    assert parse(V1_MOUNTS, V1_OWN) == Hierarchies(
        Hierarchy("/sys/fs/cgroup/unified", "/sys/fs/cgroup/unified/x"),
        {"cpu": cpu, "cpuacct": cpu, "memory": Hierarchy("/sys/fs/cgroup/memory", "/sys/fs/cgroup/memory/user/ann")},
    )


@pytest.mark.parametrize(
    ("root", "own", "expected"),
    [
        ("/", "/", "/sys/fs/cgroup"),
        ("/", "/user.slice/x.scope", "/sys/fs/cgroup/user.slice/x.scope"),
        ("/docker/ab", "/docker/ab", "/sys/fs/cgroup"),
        ("/docker/ab", "/docker/ab/c", "/sys/fs/cgroup/c"),
        ("/docker/ab", "/docker/abc", None),
        ("/", "/../other", None),
    ],
)
def test_own_cgroup_in_what_is_mounted(root: str, own: str, expected: str | None) -> None:
    mounts = f"30 23 0:26 {root} /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
    found = parse(mounts, f"0::{own}\n").unified
    assert found is not None
    assert found.own == expected


@pytest.mark.parametrize(
    ("limit", "limits"),
    [
        ("memory_bytes", Limits(memory_bytes=1 << 30)),
        ("memory_high_bytes", Limits(memory_high_bytes=1 << 30)),
        ("swap_bytes", Limits(swap_bytes=0)),
        ("cpus", Limits(cpus=1)),
        ("cpu_weight", Limits(cpu_weight=1)),
        ("pids", Limits(pids=100)),
        ("io", Limits(io=(IoLimit(read_bytes_per_second=1),))),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_needs_a_cgroup_is_refused_where_there_is_none(state_dir: Path, limit: str, limits: Limits) -> None:
    with Engine(state_dir, cgroup="/no/such/cgroup") as engine:
        with pytest.raises(LimitNotEnforceableError) as caught:
            engine.start(["true"], limits=limits)
        assert caught.value.limit == limit
        told = str(caught.value)
        assert "/no/such/cgroup" in told or "is missing" in told or "cgroups of version 1" in told
        assert len(engine.list()) == 0  # no job was made for it
        assert engine.run(["true"]).exit_code == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_without_root_it_says_what_would_help() -> None:
    script = """
import os, sys
from jobworker_lib import IoLimit, LimitNotEnforceableError, Limits
from jobworker_lib.cgroup.checking import require_enforceable
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
disk = IoLimit(device=sys.argv[1], write_bytes_per_second=1)
for limits in (
    Limits(memory_bytes=1 << 20), Limits(nice=-5), Limits(open_files=1 << 40),
    Limits(memory_high_bytes=1 << 20), Limits(io=(disk,)),
):
    try:
        require_enforceable(limits, "/")
    except LimitNotEnforceableError as error:
        print(error)
"""
    told = subprocess.run([sys.executable, "-c", script, "/"], check=True, capture_output=True, text=True)
    memory, nice, open_files, *beyond_version_1 = told.stdout.splitlines()
    assert memory.startswith("the limit memory_bytes can't be enforced here: the cgroup")
    assert "/sys/fs/cgroup" in memory
    assert "65534" in memory
    assert "cgroup=PATH" in memory
    assert "run the engine as root, or set LimitNICE=" in nice
    assert "the most that user 65534 may have is" in open_files
    for message in beyond_version_1:
        assert ("run the engine as root" in message) == (place.find().version == 2), "that would not help"


def test_a_controller_that_is_in_version_1_while_others_are_in_version_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "jobs").mkdir()
    for path in (tmp_path, tmp_path / "jobs"):
        (path / "cgroup.controllers").write_text("cpu pids")
        (path / "cgroup.subtree_control").write_text("cpu pids")
        (path / "cgroup.procs").touch()
    memory = Hierarchy("/sys/fs/cgroup/memory", "/sys/fs/cgroup/memory")
    unified = Hierarchy(str(tmp_path), str(tmp_path))
    monkeypatch.setattr("jobworker_lib.cgroup.hierarchies.read", lambda: Hierarchies(unified, {"memory": memory}))
    here = place.find("/jobs")
    assert here.parents == {"cpu": str(tmp_path / "jobs"), "pids": str(tmp_path / "jobs")}
    assert "mounted at /sys/fs/cgroup/memory in version 1" in here.problems["memory"]
    assert f"is missing in {tmp_path}" in here.problems["io"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_user_needs_the_nearest_common_cgroup_too() -> None:
    """Of version 2: the kernel asks for it when a process is moved."""
    script = """
import os, sys
from jobworker_lib.cgroup import delegation
from jobworker_lib.cgroup.hierarchies import Hierarchy
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
for own in ("engine", "jobs/jobworker-engine"):
    print(*delegation.find(Hierarchy(sys.argv[1], f"{sys.argv[1]}/{own}"), "/jobs"))
"""
    with tempfile.TemporaryDirectory(dir="/tmp") as mount:
        Path(mount).chmod(0o755)
        for path in (Path(mount), *(Path(mount, name) for name in ("engine", "jobs", "jobs/jobworker-engine"))):
            path.mkdir(exist_ok=True)
            for file in (path / "cgroup.procs", path / "cgroup.subtree_control"):
                file.touch()
        for path in Path(mount).rglob("*"):
            if path.parent != Path(mount) or path.is_dir():  # all but the top
                os.chown(path, 65534, 65534)
        told = subprocess.run([sys.executable, "-c", script, mount], check=True, capture_output=True, text=True)
    beside, within = told.stdout.splitlines()
    assert f"wants {mount}/cgroup.procs to be writable" in beside
    assert f"{mount}/jobs/jobworker-engine" in beside
    assert within.strip() == f"{mount}/jobs"


@pytest.mark.parametrize(
    ("cpus", "expected"), [(0.5, (100_000, 50_000)), (2, (100_000, 200_000)), (0.001, (1_000_000, 1000))]
)
def test_quota(cpus: float, expected: tuple[int, int]) -> None:
    assert quota_of(cpus) == expected


def test_what_is_written_for_limits(tmp_path: Path) -> None:
    limits = Limits(memory_bytes=10, swap_bytes=5, cpus=0.5, cpu_weight=200, pids=7)
    of_v1 = {setting.file: setting.value for setting in GroupV1({}).settings(limits, "/")}
    assert of_v1 == {
        "memory.limit_in_bytes": "10",
        "memory.memsw.limit_in_bytes": "15",
        "cpu.cfs_period_us": "100000",
        "cpu.cfs_quota_us": "50000",
        "cpu.shares": "2048",
        "pids.max": "7",
    }
    of_v2 = {setting.file: setting.value for setting in GroupV2({"memory": str(tmp_path)}).settings(limits, "/")}
    assert of_v2 == {
        "memory.max": "10",
        "memory.swap.max": "5",
        "cpu.max": "50000 100000",
        "cpu.weight": "200",
        "pids.max": "7",
    }
    (tmp_path / "memory.swap.max").touch()
    no_swap = GroupV2({"memory": str(tmp_path)}).settings(replace(limits, swap_bytes=None), "/")
    assert ("memory.swap.max", "0") in [(setting.file, setting.value) for setting in no_swap]


def test_a_record_of_another_job_or_version_leads_nowhere() -> None:
    job_id = "6fa459ea-ee8a-4ca4-894e-db77e160355e"
    directories = {"memory": f"/sys/fs/cgroup/memory/jobworker-{job_id}"}
    assert making.from_record({"version": 1, "directories": directories}, job_id) is not None
    for record in (
        {"version": 3, "directories": directories},
        {"version": 1, "directories": {"memory": "/sys/fs/cgroup/memory"}},
        {"version": 2},
        {},
    ):
        assert making.from_record(record, job_id) is None


@pytest.mark.skipif(not clone.into_cgroup_is_known(), reason="this kernel is older than Linux 5.7")
def test_forks_into_a_cgroup_again_and_again(tmp_path: Path) -> None:
    """In a process of one thread, as a shim is; what Python needs after a fork is done."""
    unified = parse(Path("/proc/self/mountinfo").read_text(), Path("/proc/self/cgroup").read_text()).unified
    if unified is None or unified.own is None or not os.access(f"{unified.own}/cgroup.procs", os.W_OK):
        pytest.skip("there is no cgroup of version 2 that we may enter")
    script = """
import os, sys
from jobworker_lib.cgroup import clone
directory = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECTORY)
for number in range(1000):
    pid = clone.fork_into(directory)
    if pid == 0:
        os._exit(sum(len(str(value)) for value in range(100)) + (os.getpid() == os.getppid()) - 190 + number % 7)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == number % 7
"""
    subprocess.run([sys.executable, "-c", script, unified.own], check=True, timeout=100)


def test_doctor_tells_what_can_be_enforced_and_what_would_help() -> None:
    command = [sys.executable, "-m", "jobworker_lib", "doctor", "/no/such/cgroup"]
    told = subprocess.run(command, check=True, capture_output=True, text=True, timeout=100).stdout
    assert "  NO   pids\n" in told
    assert "  yes  open_files\n" in told
    assert "Isolation:\n  " in told
    assert "What is missing, and what would help:\n" in told
    assert "/no/such/cgroup" in told or "is missing" in told
