"""The forked way to execute a command: for jobs whose main process does something to itself before execve(2).

What it does is a list of steps. All reading, looking up and parsing for them is done before the fork, so that a step is
little more than a system call. The step that fails is told through a pipe that execve(2) closes, and raised here.

A shim has one thread, so its child may go on in Python.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NoReturn

from jobworker_lib.job.start_errors import StepError

Step = tuple[str, Callable[[], None]]
"""Something that a job's main process does to itself, which may raise OSError, and before it what that is called."""

EXECUTION = "execution"
"""Stands for the name of a step where it was execve(2) that failed."""
_LONGEST_FAILURE = 256
_RESTORED = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD, signal.SIGTERM)
"""Python ignores the first two, and the shim has handlers for the others."""


@dataclass(frozen=True, slots=True)
class Command:
    """What is executed, and the descriptors of its input and output."""

    argv: tuple[str, ...]
    env: Mapping[str, str]
    stdio: tuple[int, int, int]


def enter(command: Command, steps: Iterable[Step], fork: Callable[[], int] = os.fork) -> int:
    """Execute a command in a child that leads a session of its own and has taken the steps: its pid.

    It may have been killed, or have exited in a step, before it came so far.

    Raises:
        StepError: a step failed.
        OSError: of fork or execve(2).
    """
    reading, writing = os.pipe2(os.O_CLOEXEC)
    try:
        signals = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            pid = fork()
            if pid == 0:
                become(command, steps, writing, signals)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, signals)
            os.close(writing)
        try:
            hear(reading, command)
        except OSError:
            os.waitpid(pid, 0)
            raise
        return pid
    finally:
        os.close(reading)


def become(command: Command, steps: Iterable[Step], failures: int, signals: Iterable[int]) -> NoReturn:
    """In the child: take the steps and execute the command; ``signals`` are all that it has blocked then.

    Where that fails, which step it was and why is written to ``failures``, a descriptor that execve(2) closes.
    """
    step, number = EXECUTION, errno.EIO
    try:  # a fork must never return into its parent's code
        _take_over(command.stdio, signals)
        for name, do in steps:
            step = name
            do()
        step = EXECUTION
        os.closerange(3, failures)
        os.closerange(failures + 1, os.sysconf("SC_OPEN_MAX"))
        _execute(command)
    except OSError as error:
        number = error.errno or number
    finally:
        os.write(failures, f"{number} {step}".encode())
        os._exit(127)


def hear(reading: int, command: Command) -> None:
    """Return when the child has executed the command, or is gone; otherwise raise what it wrote, as :func:`enter`."""
    if failure := os.read(reading, _LONGEST_FAILURE).decode():
        number, _, name = failure.partition(" ")
        if name != EXECUTION:
            raise StepError(name, int(number))
        raise OSError(int(number), os.strerror(int(number)), command.argv[0])


def _take_over(stdio: tuple[int, int, int], signals: Iterable[int]) -> None:
    signal.set_wakeup_fd(-1)  # it is the shim's
    for number in _RESTORED:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, signals)
    os.setsid()
    above = [os.dup(descriptor) if descriptor < 3 else descriptor for descriptor in stdio]
    for target, descriptor in enumerate(above):
        os.dup2(descriptor, target)


def _execute(command: Command) -> NoReturn:
    """Execute the command as execvpe(3) finds it."""
    name = command.argv[0]
    paths = [name] if "/" in name else [os.path.join(directory, name) for directory in os.get_exec_path(command.env)]
    failures: list[OSError] = []
    for path in paths:
        try:
            os.execve(path, command.argv, command.env)  # noqa: S606 - a command is executed without a shell
        except OSError as error:
            failures.append(error)
    telling = [error for error in failures if error.errno not in (errno.ENOENT, errno.ENOTDIR)]
    raise (telling or failures)[-1]
