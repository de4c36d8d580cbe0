"""Reaches the processes of a tree that may be larger than this process has time for: it competes with them for it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from jobworker_lib.host.libc import pidfd_of
from jobworker_lib.host.procfs import all_pids, own_children, parent_of

IsTop = Callable[[int, int], bool]
"""Whether a process, given as its pid and that of its parent, is of a tree though its parent is not."""


def reach(is_top: IsTop, do: Callable[[int], None], reached: set[int], until: float) -> int:
    """Do something to each process of a tree but those in ``reached``, which it adds them to: how many that were.

    ``do`` gets a pidfd, opened before the process was seen to be of the tree, so none that has its pid later is meant.
    One look at each has to do: among a thousand processes that never sleep, a millisecond takes a second. ``until``
    is when to give up, by the monotonic clock.
    """
    before = len(reached)
    for pid in own_children():  # what forks and exits in one go, again and again, is here for a moment only
        if time.monotonic() > until:
            break
        if pid not in reached:
            _visit(pid, is_top, do, reached)
    waiting = [pid for pid in all_pids() if pid not in reached]
    while waiting:
        others = []
        for pid in waiting:
            if time.monotonic() > until:
                return len(reached) - before
            parent = _visit(pid, is_top, do, reached)
            if parent is not None:
                others.append((pid, parent))
        waiting = [pid for pid, parent in others if parent in reached]  # pids may have begun anew
    return len(reached) - before


@contextmanager
def urgent() -> Iterator[None]:
    """Within the block, be served before all others, where the kernel allows it: with root (sched(7))."""
    policy, parameter = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(os.sched_get_priority_min(os.SCHED_RR)))
    except OSError:
        yield
        return
    try:
        yield
    finally:
        os.sched_setscheduler(0, policy, parameter)


def _visit(pid: int, is_top: IsTop, do: Callable[[int], None], reached: set[int]) -> int | None:
    """Do it, where the process is of the tree: None, or where it is not, its parent."""
    try:
        handle = pidfd_of(pid)
    except ProcessLookupError:
        return None
    try:
        parent = parent_of(pid)
        if parent not in reached and not is_top(pid, parent):
            return parent
        reached.add(pid)
        do(handle)
    except (ProcessLookupError, FileNotFoundError, PermissionError):  # it is gone, or another user's by now
        return None
    finally:
        os.close(handle)
    return None
