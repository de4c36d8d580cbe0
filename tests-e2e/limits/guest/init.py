"""The first process of the guest: mounts what is missing, runs the command, leaves its exit status, powers off."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any

SHARED = "/mnt/shared"
MS_BIND = 0x1000
_POWER_OFF = 0x4321FEDC
_OWN_DIRECTORIES = ("/tmp", "/run", "/var/tmp", "/dev/shm")  # they are mounted here
_CONTROLLERS = ("memory", "cpu", "cpuacct", "pids", "blkio", "freezer")
"""Of version 1; without a hierarchy of version 2 beside them."""
_libc = ctypes.CDLL(None, use_errno=True)


def mount(kind: str, source: str, target: str, options: str = "", flags: int = 0) -> None:
    """Mount a filesystem (mount(2))."""
    if _libc.mount(source.encode(), target.encode(), kind.encode(), flags, options.encode()) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), target)


def main() -> int:
    """Do all of it but the end: the command's exit status."""
    order = begin()
    _mount_cgroups(order["cgroups"])
    give_own_directories(_OWN_DIRECTORIES, order["keep"])
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/tmp", "LANG": "C.UTF-8", **order["environment"]}
    command = subprocess.Popen(order["command"], env=environment, cwd="/tmp", start_new_session=True)
    while True:
        pid, status = os.wait()  # orphans too
        if pid == command.pid:
            return os.waitstatus_to_exitcode(status)


def begin() -> dict[str, Any]:
    """Mount what every guest needs, and read what it is to do."""
    mount("proc", "proc", "/proc")  # until now it was the host's
    mount("sysfs", "sysfs", "/sys")
    mount("tmpfs", "tmpfs", "/mnt")
    os.mkdir(SHARED)
    words = Path("/proc/cmdline").read_text().split()
    shared = next(word.partition("=")[2] for word in words if word.startswith("jobworker.shared="))
    kind, _, place = shared.partition(":")
    if kind == "hostfs":
        mount("hostfs", "none", SHARED, place)
    else:
        mount("9p", place, SHARED, "trans=virtio,version=9p2000.L,msize=512000")
    order: dict[str, Any] = json.loads(Path(SHARED, "order.json").read_text())
    return order


def give_own_directories(directories: Iterable[str], keep: list[str]) -> None:
    """Put empty ones over those of the host, and let every user see what is to be kept of these."""
    kept = [(path, os.open(path, os.O_PATH)) for path in keep]
    for directory in (*directories, *_closed_to_others(keep)):
        os.makedirs(directory, exist_ok=True)
        mount("tmpfs", "tmpfs", directory, "mode=1777")
    for path, descriptor in kept:
        if not os.path.exists(path):
            os.makedirs(path)
            mount("none", f"/proc/self/fd/{descriptor}", path, flags=MS_BIND)
        os.close(descriptor)


def _mount_cgroups(version: int) -> None:
    if version == 2:
        mount("cgroup2", "cgroup2", "/sys/fs/cgroup")
        return
    mount("tmpfs", "tmpfs", "/sys/fs/cgroup")
    for controller in _CONTROLLERS:
        os.mkdir(f"/sys/fs/cgroup/{controller}")
        mount("cgroup", "cgroup", f"/sys/fs/cgroup/{controller}", controller)


def _closed_to_others(paths: list[str]) -> list[str]:
    """The directories above those paths that only root can pass, such as its home."""
    above = {str(parent) for path in paths for parent in Path(path).parents}
    closed = [path for path in sorted(above) if os.stat(path).st_mode & 0o005 != 0o005]
    return [path for path in closed if not any(path.startswith(f"{other}/") for other in closed)]


def end(status: int) -> None:
    """Leave the exit status, and power off."""
    Path(SHARED, "status").write_text(str(status))
    sys.stdout.flush()
    sys.stderr.flush()
    os.sync()
    _libc.reboot(_POWER_OFF)


def run() -> None:
    """Run the guest to its end."""
    status = 97
    try:
        status = main()
    except BaseException:  # noqa: BLE001 - there is nobody else to tell
        traceback.print_exc()
    finally:
        end(status)


if __name__ == "__main__":
    if os.getpid() != 1:
        sys.exit(
            "this is for the first process of a throw-away guest: it mounts filesystems and powers the machine off"
        )
    run()
