"""Does something to a process as it enters its Nth step, by strace's fault injection."""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

KILL = "signal=KILL"
STOP = "signal=STOP"
"""It stops after the call, until somebody sends SIGCONT or the block ends."""
DISK_FULL = "error=ENOSPC"

# What changes something that others can see. An unknown name, on another processor, is passed over for its "?".
WRITES = ("write", "pwrite64", "splice", "ftruncate")
FILES = ("?open", "openat", "?rename", "renameat", "?unlink", "unlinkat", "?mkdir", "mkdirat", "?rmdir", "bind")
PROCESSES = ("?fork", "?vfork", "clone", "?clone3", "execve", "wait4", "kill", "pidfd_send_signal", "setsid")
MESSAGES = ("sendmsg", "sendto", "recvmsg", "recvfrom", "accept4", "connect", "listen")
DESCRIPTORS = ("flock", "close", "socket", "socketpair", "pipe2", "dup3", "?dup2", "fchdir", "chdir", "?poll", "ppoll")
STEPS = (*WRITES, *FILES, *PROCESSES, *MESSAGES, *DESCRIPTORS)

_DETACHING_SECONDS = 5.0
_CALL = re.compile(r"^(?:(\d+) +)?(\w+)\(", re.MULTILINE)


class Step(NamedTuple):
    """The ``number``th call of this name that a process makes from some moment on; strace counts each name apart."""

    call: str
    number: int

    def __str__(self) -> str:
        return f"{self.call}:{self.number}"


@contextmanager
def watching(pid: int, log: Path, *, calls: tuple[str, ...] = STEPS) -> Iterator[None]:
    """Note the steps of a process, that is of the threads it has now, until the block ends."""
    with _strace(pid, log, f"--trace={','.join(calls)}"):
        yield


def steps_in(log: Path) -> list[Step]:
    """The steps that a process has gone through while it was watched."""
    counts: Counter[tuple[str, str]] = Counter()
    steps: dict[Step, None] = {}
    for thread, name in _CALL.findall(log.read_text(errors="replace")):
        counts[thread, name] += 1
        steps.setdefault(Step(name, counts[thread, name]))
    return list(steps)


@contextmanager
def at_step(pid: int, step: Step, what: str, log: Path, *, follow: bool = False) -> Iterator[None]:
    """Until the block ends, ``what`` happens to a process at its ``step``, counted from now, for each thread apart.

    With ``follow`` it happens to its children, too.
    """
    handle = os.pidfd_open(pid)
    try:
        options = ["--follow-forks"] if follow else []
        with _strace(pid, log, f"--trace={step.call}", f"--inject={step.call}:{what}:when={step.number}", *options):
            yield
    finally:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, signal.SIGCONT)
        os.close(handle)


def stands_still(log: Path) -> bool:
    """Whether STOP has come to effect."""
    return "--- stopped by SIGSTOP ---" in log.read_text(errors="replace")


@contextmanager
def _strace(pid: int, log: Path, *options: str) -> Iterator[None]:
    # Each thread by itself, rather than with --follow-forks: that would follow what outlives the process, too.
    threads = os.listdir(f"/proc/{pid}/task")
    command = ["strace", *(f"--attach={thread}" for thread in threads), "-o", str(log), *options]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            for _ in threads:
                said = process.stderr.readline()
                assert said.endswith(("attached\n", f"{os.strerror(errno.ESRCH)}\n")), said  # a thread has just ended
            yield
        finally:
            process.terminate()
            try:
                process.wait(_DETACHING_SECONDS)
            except subprocess.TimeoutExpired:  # it may wait for a thread of a process that is dying
                process.kill()


@cache
def why_not() -> str:
    """Why processes can't be traced here; empty where they can."""
    if shutil.which("strace") is None:
        return "strace is missing (on Debian and Ubuntu: apt-get install strace)"
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True) as process:
        command = ["strace", "-p", str(process.pid), "--inject=close:signal=KILL:when=60000"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as strace:
            assert strace.stderr is not None
            said = strace.stderr.readline()
            strace.terminate()
        process.kill()
    return "" if said.endswith("attached\n") else f"processes can't be traced here: {said.strip()}"
