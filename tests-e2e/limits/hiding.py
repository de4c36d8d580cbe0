"""Runs scenarios on a host that lacks something: ``python -m limits.hiding WHAT,... STATE_DIR DISK SCENARIO ...``.

What is hidden is so for the library as it would be on such a host, which has no switches for it.
"""

from __future__ import annotations

import ctypes
import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterable

from jobworker_lib import Engine
from jobworker_lib.cgroup import clone, hierarchies, place
from jobworker_lib.isolation import bpf, calls
from limits import scenarios
from limits.scenarios import Machine

_libc = ctypes.CDLL(None, use_errno=True)
_MS_BIND = 0x1000
_MNT_DETACH = 2
_NUMBER = 0
"""Where ``struct seccomp_data`` has the number of the system call."""
_ALLOW = 0x7FFF0000
_FAIL = 0x00050000


def _kernel_log() -> None:
    """As in many containers."""
    _check(_libc.mount(b"/dev/null", b"/dev/kmsg", None, ctypes.c_ulong(_MS_BIND), None))


def _unified() -> None:
    """As before hybrid hosts."""
    found = hierarchies.read().unified
    if found is not None:
        _check(_libc.umount2(found.mount.encode(), _MNT_DETACH))
    assert hierarchies.read().unified is None


def _freezer() -> None:
    """As where a container gets some controllers only."""
    mount = hierarchies.read().controllers["freezer"].mount
    _check(_libc.umount2(mount.encode(), _MNT_DETACH))


def _clone3() -> None:
    """As before Linux 5.3, and under filters of system calls that are older."""
    program = bpf.Program()
    program.load(_NUMBER)
    program.jump(bpf.JUMP_EQUAL, clone._NR_CLONE3, "clone3")
    program.finish(_ALLOW)
    program.label("clone3")
    program.finish(_FAIL | errno.ENOSYS)
    calls.set_seccomp_filter(program.assemble())
    assert not clone.into_cgroup_is_known()


_HIDING: dict[str, Callable[[], None]] = {
    "kernel_log": _kernel_log,
    "unified": _unified,
    "freezer": _freezer,
    "clone3": _clone3,
}


def run(hidden: Iterable[str], state_dir: str, disk: str, names: Iterable[str]) -> None:
    """Run scenarios so, in a process of its own; what fails is told with all that it printed."""
    command = [sys.executable, "-m", "limits.hiding", ",".join(hidden), state_dir, disk, *names]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr


def main() -> None:
    """Hide, and run the scenarios."""
    hidden, state_dir, disk, *names = sys.argv[1:]
    calls.unshare(calls.CLONE_NEWNS)
    calls.make_private()
    for what in filter(None, hidden.split(",")):
        _HIDING[what]()
    machine = Machine(version=place.find().version, disk=disk, scratch=None)
    with Engine(state_dir) as engine:
        for name in names:
            getattr(scenarios, name)(engine, machine)


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


if __name__ == "__main__":
    main()
