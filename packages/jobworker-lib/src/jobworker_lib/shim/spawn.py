"""Executes a job's command with pipes, or a terminal, for its input and output."""

from __future__ import annotations

import os
import subprocess
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

from jobworker_lib.job.start_errors import WORKING_DIRECTORY
from jobworker_lib.shim.enter import Command, enter
from jobworker_lib.shim.limiting import limit_steps
from jobworker_lib.shim.pty import Terminal, take_over

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobworker_lib.job.spec import JobSpec
    from jobworker_lib.job.terminal import TerminalSize


class Spawned:
    """A job's main process, and our ends of what it reads and writes, all of them non-blocking."""

    def __init__(self, spec: JobSpec, size: TerminalSize | None = None) -> None:
        """Execute the command in a session of its own, on a terminal of ``size`` where it has one.

        Raises:
            OSError: of chdir(2) (``filename`` is the working directory) or execve(2).
        """
        self.terminal: Terminal | None = None
        """The job's terminal; its ``master`` is read and written through descriptors of its own."""
        self.pipes: tuple[int, ...]
        """To read its output from, in the order of the streams' numbers."""
        self.input: int | None
        """To write what it is to read; None: it has no input."""
        with ExitStack() as failing, ExitStack() as passed:
            if size is not None:
                self.pid = self._on_terminal(spec, size, failing)
            else:
                self.pid = self._with_pipes(spec, failing, passed)
            failing.pop_all()  # what is closed where it fails is kept where it doesn't
        for descriptor in self.pipes:
            os.set_blocking(descriptor, False)
        if self.input is not None:
            os.set_blocking(self.input, False)

    def _with_pipes(self, spec: JobSpec, failing: ExitStack, passed: ExitStack) -> int:
        reads, writes = zip(os.pipe2(os.O_CLOEXEC), os.pipe2(os.O_CLOEXEC), strict=True)
        stdin, self.input = os.pipe2(os.O_CLOEXEC) if spec.stdin else (os.open(os.devnull, os.O_RDWR), None)
        passed.callback(os.close, stdin)
        if self.input is not None:
            failing.callback(os.close, self.input)
        for read, write in zip(reads, writes, strict=True):
            failing.callback(os.close, read)
            passed.callback(os.close, write)
        self.pipes = reads
        return _execute(spec, stdin, *writes)

    def _on_terminal(self, spec: JobSpec, size: TerminalSize, failing: ExitStack) -> int:
        self.terminal = terminal = Terminal(size)
        failing.callback(terminal.close)
        self.input = os.dup(terminal.master)
        failing.callback(os.close, self.input)
        output = os.dup(terminal.master)
        failing.callback(os.close, output)
        self.pipes = (output,)
        return _execute(spec, terminal.slave, terminal.slave, terminal.slave, on_terminal=True)


def _execute(spec: JobSpec, stdin: int, stdout: int, stderr: int, *, on_terminal: bool = False) -> int:
    steps = limit_steps(spec.limits)
    if not steps:
        return _execute_by_vfork(spec, stdin, stdout, stderr, take_over if on_terminal else None)
    if on_terminal:
        steps.append(("terminal", take_over))
    steps.append((WORKING_DIRECTORY, partial(os.chdir, spec.cwd)))
    return enter(Command(spec.argv, spec.env, (stdin, stdout, stderr)), steps)


def _execute_by_vfork(spec: JobSpec, stdin: int, stdout: int, stderr: int, prepare: Callable[[], None] | None) -> int:
    process = subprocess.Popen(  # vfork(2) where there is no preexec_fn, and no change of user
        spec.argv,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        cwd=spec.cwd,
        env=spec.env,
        start_new_session=True,
        preexec_fn=prepare,  # noqa: PLW1509  # for terminals alone, and a shim has one thread
    )
    process.returncode = 0  # reaped by the shim with all others of the tree, not by Popen
    return process.pid
