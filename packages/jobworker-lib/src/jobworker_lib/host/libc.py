"""The few calls of the C library that the standard library does not offer."""

from __future__ import annotations

import ctypes
import errno
import os

_libc = ctypes.CDLL(None, use_errno=True)

_ARGUMENTS = slice(45, 47)
"""Where a process keeps its arguments, of what follows its name in ``stat``."""

_OF_ONE_THAT_IS_GONE = (errno.EINVAL, errno.ENOENT)
"""Besides ESRCH: what some kernels tell of a process that is just being reaped."""

_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36

IN_MODIFY = 0x2
IN_MOVED_TO = 0x80
IN_DELETE_SELF = 0x400
IN_Q_OVERFLOW = 0x4000
IN_IGNORED = 0x8000
IN_ONLYDIR = 0x1000000
IN_MASK_ADD = 0x20000000


def become_subreaper() -> None:
    """Descendants that lose their parent become this process's children (PR_SET_CHILD_SUBREAPER of prctl(2))."""
    _check(_libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))


def set_process_name(name: str) -> None:
    """The name that ``ps`` and ``top`` show, at most 15 bytes (PR_SET_NAME of prctl(2))."""
    _check(_libc.prctl(_PR_SET_NAME, name.encode(), 0, 0, 0))


def set_command_line(text: str) -> None:
    """What /proc and ``ps`` show as the command line of this process, as far as it has room for that (proc(5))."""
    with open("/proc/self/stat", "rb") as file:
        start, end = map(int, file.read().rpartition(b")")[2].split()[_ARGUMENTS])
    if 0 < start < end:  # zeros are what those are told who may not know
        ctypes.memset(start, 0, end - start)
        ctypes.memmove(start, text.encode(), min(len(text.encode()), end - start - 1))


def pidfd_of(pid: int) -> int:
    """A pidfd of a process (pidfd_open(2)). ProcessLookupError where it is gone."""
    try:
        return os.pidfd_open(pid)
    except OSError as error:
        if error.errno not in _OF_ONE_THAT_IS_GONE:
            raise
        raise ProcessLookupError(error.errno, os.strerror(error.errno)) from None


def inotify_init() -> int:
    """A new inotify instance, closed on exec (inotify_init1(2))."""
    return _check(_libc.inotify_init1(os.O_CLOEXEC))


def inotify_add_watch(instance: int, path: str, mask: int) -> int:
    """Watch a path: its watch descriptor (inotify_add_watch(2))."""
    return _check(_libc.inotify_add_watch(instance, os.fsencode(path), mask))


def inotify_rm_watch(instance: int, watch: int) -> None:
    """End a watch (inotify_rm_watch(2))."""
    _check(_libc.inotify_rm_watch(instance, watch))


def _check(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
