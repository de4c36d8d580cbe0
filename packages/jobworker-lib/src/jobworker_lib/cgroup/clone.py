"""Forks a process that is in another cgroup from its beginning (clone3(2) with CLONE_INTO_CGROUP).

Only for a process with one thread, such as a shim: Python is told of the fork as by os.fork, but the C library is not.
"""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import struct
from functools import cache

_NR_CLONE3 = 435
"""On all architectures."""
_CLONE_INTO_CGROUP = 0x200000000

# This keeps the interpreter's lock during the call, as a fork must, and sees errno.
_libc = ctypes.PyDLL(None, use_errno=True)


_ARGUMENTS = struct.Struct("=11Q")
"""``struct clone_args``: its fields number 0, 4 and 10 are the flags, the signal at the end, and the cgroup."""


def fork_into(cgroup: int) -> int:
    """As os.fork, with the child in the cgroup whose directory a descriptor is of. OSError of clone3(2)."""
    ctypes.pythonapi.PyOS_BeforeFork()
    pid = -1
    try:
        pid = _clone(_CLONE_INTO_CGROUP, cgroup)
    finally:
        if pid == 0:
            ctypes.pythonapi.PyOS_AfterFork_Child()
        else:
            ctypes.pythonapi.PyOS_AfterFork_Parent()
    return pid


@cache
def into_cgroup_is_known() -> bool:
    """Whether the kernel can do it (Linux 5.7)."""
    try:
        _clone(_CLONE_INTO_CGROUP, 1 << 30)  # no such descriptor
    except OSError as error:
        return error.errno == errno.EBADF
    return False


def _clone(flags: int, cgroup: int) -> int:
    arguments = _ARGUMENTS.pack(flags, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, 0, 0, cgroup)
    pid: int = _libc.syscall(_NR_CLONE3, arguments, len(arguments))
    if pid < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return pid
