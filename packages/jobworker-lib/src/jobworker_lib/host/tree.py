"""Ends all processes of a tree, without root and without cgroups.

A tree is given as a function that lists the pids it has now. A pid is signalled through a pidfd that was opened before
the pid was seen in the tree a second time, so a pid that is reused in between is never hit (pidfd_send_signal(2)).
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack, suppress

from jobworker_lib.host.descriptors import at_once

Tree = Callable[[], list[int]]

_HANDLES_AT_ONCE = 256
_TERMINATE_ROUNDS = 8
_OF_ONE_THAT_IS_GONE = (errno.EINVAL, errno.ENOENT)
"""Besides ESRCH: what some kernels tell of a process that is just being reaped."""


def terminate(tree: Tree, farewell: Sequence[signal.Signals] = (signal.SIGTERM,)) -> None:
    """SIGTERM to every process, those that are forked meanwhile too; what is stopped is woken to see it.

    ``farewell`` are other signals in its place.
    """

    def ask(_pid: int, handle: int) -> None:
        for number in (*farewell, signal.SIGCONT):
            signal.pidfd_send_signal(handle, number)

    reached: set[int] = set()
    for _ in range(_TERMINATE_ROUNDS):  # bounded: a fork bomb always has new ones
        new = _each(tree, ask, skip=reached)
        if not new:
            return
        reached |= new


def kill(tree: Tree) -> None:
    """SIGKILL to every process and to its process group.

    The kernel signals a group at once, so processes that fork faster than /proc can be read do not escape. Processes
    that change their group at each fork may: call again until none is left.
    """
    done = {os.getpgid(0)}

    def end(pid: int, handle: int) -> None:
        group = os.getpgid(pid)
        with suppress(PermissionError):  # others of its group may be ours
            signal.pidfd_send_signal(handle, signal.SIGKILL)  # it is there, so that was its group and no other's
        if group not in done:
            done.add(group)
            os.killpg(group, signal.SIGKILL)

    _each(tree, end)


def handle_of(pid: int) -> int:
    """A pidfd of a process (pidfd_open(2)). ProcessLookupError where it is gone."""
    try:
        return os.pidfd_open(pid)
    except OSError as error:
        if error.errno not in _OF_ONE_THAT_IS_GONE:
            raise
        raise ProcessLookupError(error.errno, os.strerror(error.errno)) from None


def _each(tree: Tree, do: Callable[[int, int], None], skip: Collection[int] = ()) -> set[int]:
    """Do something to all of the tree but ``skip``, each given as pid and pidfd: the pids that were tried."""
    pids = [pid for pid in tree() if pid not in skip]
    most = at_once(_HANDLES_AT_ONCE)
    for start in range(0, len(pids), most):
        with ExitStack() as handles:
            opened: dict[int, int] = {}
            for pid in pids[start : start + most]:
                with suppress(ProcessLookupError):
                    opened[pid] = handle_of(pid)
                    handles.callback(os.close, opened[pid])
            for pid in opened.keys() & set(tree()):
                with suppress(ProcessLookupError, PermissionError):
                    do(pid, opened[pid])
    return set(pids)
