"""One call ends a whole tree, or asks all of it to end."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from jobworker_lib.host import tree
from jobworker_lib.host.libc import pidfd_of
from jobworker_lib.host.procfs import descendants
from jobworker_lib.host.reach import IsTop, urgent
from lib_testing import PATIENCE_SECONDS, all_pids, parent, process_state, wait_until

# Says which signal ends it, unless it is one that can't be caught.
_TELLER = """
import os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: os._exit(7))
print("ready", flush=True)
while True:
    signal.pause()
"""


@contextmanager
def sessions(count: int) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes in sessions, and so in groups, of their own."""
    processes = [
        subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", _TELLER], stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        for _ in range(count)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        yield processes
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def kill(is_top: IsTop) -> None:
    """As it is done to jobs."""
    tree.uproot(is_top, lambda: [pid for pid in all_pids() if is_top(pid, parent(pid))])


ENDS = pytest.mark.parametrize("end", [kill, tree.terminate])


def among(processes: list[subprocess.Popen[str]]) -> IsTop:
    pids = {process.pid for process in processes}
    return lambda pid, _: pid in pids


@pytest.mark.parametrize(("end", "status"), [(kill, -signal.SIGKILL), (tree.terminate, 7)])
def test_reaches_every_process(end: Callable[[IsTop], None], status: int) -> None:
    with sessions(5) as processes:
        end(among(processes))
        assert [process.wait(PATIENCE_SECONDS) for process in processes] == [status] * 5


def test_wakes_what_is_stopped_to_be_asked() -> None:
    with sessions(2) as processes:
        for process in processes:
            os.kill(process.pid, signal.SIGSTOP)
        tree.terminate(among(processes))
        assert [process.wait(PATIENCE_SECONDS) for process in processes] == [7, 7]


def test_asks_nobody_when_it_is_too_late() -> None:
    with sessions(1) as processes:
        tree.terminate(among(processes), until=time.monotonic() - 1)
        assert processes[0].poll() is None


@ENDS
def test_passes_over_what_the_kernel_has_no_handle_for(end: Callable[[IsTop], None]) -> None:
    """Such as a thread; older kernels tell the same of a process that is just being reaped."""
    goes_on = threading.Event()
    thread = threading.Thread(target=goes_on.wait)
    thread.start()
    try:
        assert thread.native_id is not None
        with pytest.raises(ProcessLookupError):
            pidfd_of(thread.native_id)
        with sessions(1) as processes:
            end(among(processes))
            assert processes[0].wait(PATIENCE_SECONDS) in (7, -signal.SIGKILL)
    finally:
        goes_on.set()
        thread.join()


_SCATTERS = """
import mmap, os, time
count, end = mmap.mmap(-1, 1), time.monotonic() + 60
while time.monotonic() < end:
    if count[0] < 30:
        count[0] += 1
        if os.fork() == 0:
            os.setsid()
"""
"""Some thirty processes, each of a session of its own, that have nothing to do but to fork."""


def test_frozen_tree_stands_still_and_is_killed_whole() -> None:
    with subprocess.Popen([sys.executable, "-c", _SCATTERS], start_new_session=True) as process:

        def all_of_it() -> list[int]:
            return [process.pid, *descendants(process.pid)]

        wait_until(lambda: len(all_of_it()) > 5, "some of them")

        def all_stand_still() -> bool:
            tree.freeze(lambda pid, _: pid == process.pid)  # again, for what was in the midst of a fork
            return all(process_state(pid) == "T" for pid in all_of_it())

        wait_until(all_stand_still, "the stop of all of them")
        found = all_of_it()
        handles = [os.pidfd_open(pid) for pid in found]
        tree.kill(all_of_it)
        for handle in handles:
            assert select.select([handle], [], [], PATIENCE_SECONDS)[0], "it has ended"
            os.close(handle)


def test_kills_nobody_that_is_not_of_the_tree_any_more() -> None:
    """Its pid may be another's since the tree was looked at."""
    with sessions(1) as (process,):
        looks = iter([[process.pid]])
        tree.kill(lambda: next(looks, []))
        assert process.poll() is None
        process.terminate()
        assert process.wait(PATIENCE_SECONDS) == 7


def test_is_as_urgent_as_before_when_it_is_done() -> None:
    before = os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0)
    with urgent():
        assert os.sched_getscheduler(0) in (os.SCHED_RR, before[0])
    assert (os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0)) == before
