"""Does something to a process as it enters its Nth step, by strace's fault injection."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import NamedTuple

from conformance.processes import PATIENCE_SECONDS

KILL = "signal=KILL"
STOP = "signal=STOP"
"""It stops after the call; whoever waits for that goes on with SIGCONT."""
DISK_FULL = "error=ENOSPC"

# What changes something that others can see. An unknown name, on another processor, is passed over for its "?".
WRITES = ("write", "pwrite64", "splice", "ftruncate")
FILES = ("?open", "openat", "?rename", "renameat", "?unlink", "unlinkat", "?mkdir", "mkdirat", "?rmdir", "bind")
PROCESSES = ("?fork", "?vfork", "clone", "?clone3", "execve", "wait4", "kill", "pidfd_send_signal", "setsid")
MESSAGES = ("sendmsg", "sendto", "recvmsg", "recvfrom", "accept4", "connect", "listen")
DESCRIPTORS = ("flock", "close", "socket", "socketpair", "pipe2", "dup3", "?dup2", "fchdir", "chdir", "?poll", "ppoll")
STEPS = (*WRITES, *FILES, *PROCESSES, *MESSAGES, *DESCRIPTORS)

_CALL = re.compile(r"^(?:\d+ +)?(\w+)\(", re.MULTILINE)


class Step(NamedTuple):
    """The ``number``th call of this name that a process makes from some moment on; strace counts each name apart."""

    call: str
    number: int

    def __str__(self) -> str:
        return f"{self.call}:{self.number}"


@contextmanager
def watching(pid: int, log: Path, *, calls: tuple[str, ...] = STEPS, follow: bool = False) -> Iterator[None]:
    """Note the steps of a process until the block ends; with ``follow`` those of its threads and children, too."""
    with _strace(pid, log, [f"--trace={','.join(calls)}", *_following(follow)]):
        yield


def steps_in(log: Path) -> list[Step]:
    """The steps that a process has gone through while it was watched."""
    counts: Counter[str] = Counter()
    steps = []
    for name in _CALL.findall(log.read_text(errors="replace")):
        counts[name] += 1
        steps.append(Step(name, counts[name]))
    return steps


@contextmanager
def at_step(pid: int, step: Step, what: str, log: Path, *, follow: bool = False) -> Iterator[None]:
    """Until the block ends, ``what`` happens to a process at its ``step``, counted from now.

    With ``follow`` each thread and child counts for itself.
    """
    inject = f"--inject={step.call}:{what}:when={step.number}"
    with _strace(pid, log, [f"--trace={step.call}", inject, *_following(follow)]):
        yield


@contextmanager
def _strace(pid: int, log: Path, options: list[str]) -> Iterator[None]:
    command = ["strace", "-p", str(pid), "-o", str(log), *options]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            said = process.stderr.readline()
            assert "attached" in said, said
            yield
        finally:
            process.terminate()
            process.wait(PATIENCE_SECONDS)


def _following(follow: bool) -> list[str]:
    return ["--follow-forks"] if follow else []


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
