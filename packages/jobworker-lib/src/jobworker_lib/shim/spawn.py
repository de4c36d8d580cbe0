"""Executes a job's command with pipes, or a terminal, for its input and output."""

from __future__ import annotations

import errno
import os
import subprocess
from contextlib import ExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING

from jobworker_lib.errors import InvalidArgumentError
from jobworker_lib.host.procfs import was_executed
from jobworker_lib.isolation import plan as isolating
from jobworker_lib.job.isolation import Isolation
from jobworker_lib.job.start_errors import WORKING_DIRECTORY, KilledError, StepError
from jobworker_lib.shim.enter import Command, enter
from jobworker_lib.shim.init import Orders
from jobworker_lib.shim.limiting import limit_steps
from jobworker_lib.shim.namespace import Namespace
from jobworker_lib.shim.pty import Terminal, take_over
from jobworker_lib.shim.victims import Victims

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from jobworker_lib.cgroup.group import Group
    from jobworker_lib.isolation.plan import IsolationPlan
    from jobworker_lib.job.spec import JobSpec
    from jobworker_lib.job.terminal import TerminalSize
    from jobworker_lib.shim.enter import Step


class Spawned:
    """A job's main process, and our ends of what it reads and writes, all of them non-blocking."""

    def __init__(self, spec: JobSpec, size: TerminalSize | None = None, group: Group | None = None) -> None:
        """Execute the command in a session of its own, on a terminal of ``size`` and in a cgroup where it has one.

        Raises:
            StepError: of what the main process does to itself before.
            KilledError: it was killed before.
            OSError: of chdir(2) (``filename`` is the working directory) or execve(2).
        """
        self._group = group
        self.terminal: Terminal | None = None
        """The job's terminal; its ``master`` is read and written through descriptors of its own."""
        self.pipes: tuple[int, ...]
        """To read its output from, in the order of the streams' numbers."""
        self.input: int | None
        """To write what it is to read; None: it has no input."""
        self.pid: int
        """The main process."""
        self._namespace: Namespace | None = None
        self._wait_status: int | None = None
        with ExitStack() as failing, ExitStack() as passed:
            if size is not None:
                self._on_terminal(spec, size, failing, passed)
            else:
                self._with_pipes(spec, failing, passed)
            failing.pop_all()  # what is closed where it fails is kept where it doesn't
        for descriptor in self.pipes:
            os.set_blocking(descriptor, False)
        if self.input is not None:
            os.set_blocking(self.input, False)

    def reaped(self, pid: int, wait_status: int) -> None:
        """A child of this process has ended."""
        if self._namespace is None and pid == self.pid:
            self._wait_status = wait_status

    def main_status(self) -> int | None:
        """The wait status of the main process; None: it has not ended."""
        return self._wait_status if self._namespace is None else self._namespace.main_status()

    def victims(self) -> Victims:
        """Who was killed of those that this process can't reap itself; when nothing is left."""
        return Victims() if self._namespace is None else self._namespace.victims()

    @property
    def link(self) -> int | None:
        """What becomes readable when the main process has ended, where it is no child of this process."""
        return None if self._namespace is None else self._namespace.link.fileno()

    @property
    def init_pid(self) -> int | None:
        """The process between this one and the main process, where there is one: it is not the job's."""
        return None if self._namespace is None else self._namespace.init_pid

    def send_signal(self, number: int) -> None:
        """Signal the main process, which has not ended as far as :meth:`main_status` told."""
        with suppress(PermissionError, ProcessLookupError):  # it has changed its user; it has just ended
            if self._namespace is None:
                os.kill(self.pid, number)  # not reaped yet, so the pid can't be another's
            else:
                self._namespace.send_signal(number)

    def close(self) -> None:
        """Nothing of it is left."""
        if self._namespace is not None:
            self._namespace.close()

    def _with_pipes(self, spec: JobSpec, failing: ExitStack, passed: ExitStack) -> None:
        reads, writes = zip(os.pipe2(os.O_CLOEXEC), os.pipe2(os.O_CLOEXEC), strict=True)
        stdin, self.input = os.pipe2(os.O_CLOEXEC) if spec.stdin else (os.open(os.devnull, os.O_RDWR), None)
        passed.callback(os.close, stdin)
        if self.input is not None:
            failing.callback(os.close, self.input)
        for read, write in zip(reads, writes, strict=True):
            failing.callback(os.close, read)
            passed.callback(os.close, write)
        self.pipes = reads
        self._execute(spec, (stdin, writes[0], writes[1]), passed)

    def _on_terminal(self, spec: JobSpec, size: TerminalSize, failing: ExitStack, passed: ExitStack) -> None:
        self.terminal = terminal = Terminal(size)
        failing.callback(terminal.close)
        self.input = os.dup(terminal.master)
        failing.callback(os.close, self.input)
        output = os.dup(terminal.master)
        failing.callback(os.close, output)
        self.pipes = (output,)
        self._execute(spec, (terminal.slave,) * 3, passed, os.ttyname(terminal.slave))

    def _execute(
        self, spec: JobSpec, stdio: tuple[int, int, int], passed: ExitStack, terminal: str | None = None
    ) -> None:
        plan = _isolation_plan(spec, terminal)
        fork, steps = self._group.entry(passed) if self._group is not None else (os.fork, [])
        steps += limit_steps(spec.limits)
        if plan is None and self._group is None and not steps:
            self.pid = _execute_by_vfork(spec, stdio, take_over if terminal else None)
            return
        if terminal:
            steps.append(("terminal", take_over))
        command = Command(spec.argv, spec.env, stdio)
        if plan is None:
            self.pid = _execute_by_fork(command, [*steps, (WORKING_DIRECTORY, partial(os.chdir, spec.cwd))], fork)
        elif plan.has_init:
            orders = Orders(
                command=command,
                setup=isolating.namespace_steps(plan),
                main=[*steps, *isolating.command_steps(plan)],
                farewell=isolating.farewell_steps(plan),
                fork=fork,
            )
            self._namespace = Namespace(orders, plan.clone_flags)
            self._namespace.require_executed()
            self.pid = self._namespace.main_pid
        else:
            steps += [*isolating.namespace_steps(plan), *isolating.command_steps(plan)]
            self.pid = _execute_by_fork(command, steps, fork)


def _isolation_plan(spec: JobSpec, terminal: str | None) -> IsolationPlan | None:
    """What isolates the job; None: nothing does. StepError where its user is gone, since it was accepted."""
    if spec.isolation is None and spec.user is None:
        return None
    try:
        return isolating.make(
            spec.isolation or Isolation(),
            cwd=spec.cwd,
            hidden=spec.hidden_paths,
            user=spec.user,
            groups=spec.groups,
            terminal=terminal,
        )
    except InvalidArgumentError as error:
        raise StepError(error.field, errno.ENOENT) from None


def _execute_by_fork(command: Command, steps: Iterable[Step], fork: Callable[[], int]) -> int:
    pid = enter(command, steps, fork)
    if not was_executed(pid):
        os.waitpid(pid, 0)
        raise KilledError
    return pid


def _execute_by_vfork(spec: JobSpec, stdio: tuple[int, int, int], prepare: Callable[[], None] | None) -> int:
    process = subprocess.Popen(  # vfork(2) where there is no preexec_fn, and no change of user
        spec.argv,
        stdin=stdio[0],
        stdout=stdio[1],
        stderr=stdio[2],
        cwd=spec.cwd,
        env=spec.env,
        start_new_session=True,
        preexec_fn=prepare,  # noqa: PLW1509  # for terminals alone, and a shim has one thread
    )
    process.returncode = 0  # reaped by the shim with all others of the tree, not by Popen
    return process.pid
