"""One call ends a whole tree, or asks all of it to end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from jobworker_lib.host import tree
from lib_testing import PATIENCE_SECONDS

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


@pytest.mark.parametrize(("end", "status"), [(tree.kill, -signal.SIGKILL), (tree.terminate, 7)])
def test_reaches_every_process(end: Callable[[tree.Tree], None], status: int) -> None:
    with sessions(5) as processes:
        end(lambda: [process.pid for process in processes])
        assert [process.wait(PATIENCE_SECONDS) for process in processes] == [status] * 5


def test_wakes_what_is_stopped_to_be_asked() -> None:
    with sessions(2) as processes:
        for process in processes:
            os.kill(process.pid, signal.SIGSTOP)
        tree.terminate(lambda: [process.pid for process in processes])
        assert [process.wait(PATIENCE_SECONDS) for process in processes] == [7, 7]


@pytest.mark.parametrize("end", [tree.kill, tree.terminate])
def test_passes_over_what_the_kernel_has_no_handle_for(end: Callable[[tree.Tree], None]) -> None:
    """Such as a thread; older kernels tell the same of a process that is just being reaped."""
    goes_on = threading.Event()
    thread = threading.Thread(target=goes_on.wait)
    thread.start()
    try:
        assert thread.native_id is not None
        tid = thread.native_id
        with pytest.raises(ProcessLookupError):
            tree.handle_of(tid)
        with sessions(1) as (process,):
            end(lambda: [tid, process.pid])
            assert process.wait(PATIENCE_SECONDS) in (7, -signal.SIGKILL)
    finally:
        goes_on.set()
        thread.join()


@pytest.mark.parametrize("end", [tree.kill, tree.terminate])
def test_spares_a_pid_that_is_not_of_the_tree_any_more(end: Callable[[tree.Tree], None]) -> None:
    """It may be another's since the tree was looked at."""
    with sessions(1) as (process,):
        looks = iter([[process.pid]])
        end(lambda: next(looks, []))
        assert process.poll() is None
        process.terminate()
        assert process.wait(PATIENCE_SECONDS) == 7
