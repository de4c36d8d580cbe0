"""Hides something that a host has, as it would be on one that lacks it: the library has no switches for that."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable, Collection

from jobworker_lib.cgroup import clone, hierarchies
from jobworker_lib.isolation import bpf, calls

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


def hide(what: Collection[str]) -> None:
    """Hide things from this process, and from all that it executes."""
    if not what:
        return
    calls.unshare(calls.CLONE_NEWNS)
    calls.make_private()
    for name in what:
        _HIDING[name]()


def _check(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
