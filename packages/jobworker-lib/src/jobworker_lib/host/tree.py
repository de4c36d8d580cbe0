"""Ends all processes of a tree, without root and without cgroups.

A process is signalled through a pidfd that was opened before it was seen in the tree, so another one that gets its pid
in between is never hit (pidfd_send_signal(2)).
"""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress

from jobworker_lib.host.descriptors import at_once
from jobworker_lib.host.libc import pidfd_of
from jobworker_lib.host.reach import IsTop, reach, urgent

Tree = Callable[[], list[int]]
"""Lists the pids that it has now."""

_HANDLES_AT_ONCE = 256
_TERMINATE_ROUNDS = 8
_FREEZING_SECONDS = 60.0


def below(parent: int) -> IsTop:
    """The tree of all below a process."""
    return lambda _, its_parent: its_parent == parent


def terminate(is_top: IsTop, farewell: Sequence[signal.Signals] = (signal.SIGTERM,), until: float = math.inf) -> None:
    """SIGTERM to every process, those that are forked meanwhile too; what is stopped is woken to see it.

    ``farewell`` are other signals in its place. ``until`` is when to give up, by the monotonic clock.
    """

    def ask(handle: int) -> None:
        for number in (*farewell, signal.SIGCONT):
            signal.pidfd_send_signal(handle, number)

    reached: set[int] = set()
    with urgent():
        for _ in range(_TERMINATE_ROUNDS):  # bounded: a fork bomb always has new ones
            if not reach(is_top, ask, reached, until):
                return


def freeze(is_top: IsTop) -> None:
    """Stop every process (SIGSTOP), until none is found that was not stopped.

    What forks and changes its session as fast as it can is never all seen at once. But what stands still forks no more,
    leaves its pid to no other, and leaves the processor to who is after the rest.
    """

    def stop(handle: int) -> None:
        signal.pidfd_send_signal(handle, signal.SIGSTOP)

    reached: set[int] = set()
    until = time.monotonic() + _FREEZING_SECONDS
    while reach(is_top, stop, reached, until):
        pass


def uproot(is_top: IsTop, tree: Tree) -> None:
    """End a tree, given in both ways: freeze it, so that nothing outruns us, and kill it. Some may be left still."""
    with urgent():
        freeze(is_top)
        kill(tree)


def kill(tree: Tree) -> None:
    """SIGKILL to every process and to its process group.

    The kernel signals a group at once, so processes that fork faster than /proc can be read do not escape. Processes
    that change their group at each fork may, unless they are frozen: call again until none is left.
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


def _each(tree: Tree, do: Callable[[int, int], None]) -> None:
    """Do something to all of the tree, each given as pid and pidfd."""
    pids = tree()
    most = at_once(_HANDLES_AT_ONCE)
    for start in range(0, len(pids), most):
        with ExitStack() as handles:
            opened: dict[int, int] = {}
            for pid in pids[start : start + most]:
                with suppress(ProcessLookupError):
                    opened[pid] = pidfd_of(pid)
                    handles.callback(os.close, opened[pid])
            for pid in opened.keys() & set(tree()):
                with suppress(ProcessLookupError, PermissionError):
                    do(pid, opened[pid])
