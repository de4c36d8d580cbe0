"""The loop of one running job, over all its attempts."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from jobworker_lib.events.event import EventType
from jobworker_lib.host import tree
from jobworker_lib.host.procfs import descendants
from jobworker_lib.job.start_errors import explain
from jobworker_lib.job.status import Reason
from jobworker_lib.shim.accounting import Accounting
from jobworker_lib.shim.capture import Capture
from jobworker_lib.shim.ending import DEFAULT_GRACE_SECONDS, Ending, Outcome
from jobworker_lib.shim.interaction import Interaction
from jobworker_lib.shim.spawn import Spawned
from jobworker_lib.shim.victims import Victim, name_of_killed

if TYPE_CHECKING:
    from jobworker_lib.cgroup.group import Group
    from jobworker_lib.job.directory import ExitRecord
    from jobworker_lib.job.spec import JobSpec
    from jobworker_lib.output.writer import OutputWriter
    from jobworker_lib.shim.attempts import Attempts
    from jobworker_lib.shim.control import Control
    from jobworker_lib.shim.out_of_memory import OutOfMemory
    from jobworker_lib.shim.signals import SignalPipe
    from jobworker_lib.shim.teller import Teller

_KILL_AGAIN_SECONDS = 0.05
_TERMINATING_SECONDS = 3.0
"""How long it may take, at least, until all have got SIGTERM. A fork bomb always has new ones."""


class JobLoop:
    """Attends to the processes, pipes, requests and times of one job."""

    def __init__(
        self,
        process: Spawned,
        spec: JobSpec,
        writer: OutputWriter,
        control: Control,
        signals: SignalPipe,
        attempts: Attempts,
        teller: Teller,
        group: Group | None,
        memory: OutOfMemory,
    ) -> None:
        self._group = group
        self._accounting = Accounting(group, self._job_processes)
        self._memory = memory
        self._process = process
        self._spec = spec
        self._writer = writer
        self._truncated = False
        self._teller = teller
        self._control = control
        self._signals = signals
        self._attempts = attempts
        self._ending = Ending(spec.timeout, attempts.restarts)
        self._poller = select.poll()
        self._poller.register(control, select.POLLIN)
        self._poller.register(signals, select.POLLIN)
        if self._memory.descriptor is not None:
            self._poller.register(self._memory.descriptor, select.POLLIN)
        self._capture = Capture(process.pipes, writer, self._poller)
        self._interaction = Interaction(spec.terminal, self._poller)
        self._interaction.begin(process)
        self._watch_main()

    def run(self) -> ExitRecord:
        """Return when no process of the job is left, all its output is in the log, and it is not executed again."""
        self._finish_attempt()
        while self._ending.restarts:
            self._ending.attempt_over()
            self._attempts.end(self._ending.outcome)
            self._until(self._pause_is_over)
            self._finish_attempt()
        written = self._writer
        return replace(
            self._ending.record(),
            output_bytes=written.size,
            output_dropped_bytes=written.dropped_bytes,
            usage=self._accounting.final(),
        )

    def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            for descriptor, events in self._poller.poll(self._milliseconds_to_next()):
                self._handle(descriptor, events)
            self._do_what_is_due()

    def _finish_attempt(self) -> None:
        self._until(self._attempt_is_over)
        if self._ending.ran_out_of_memory:
            self._ending.out_of_memory_process = self._memory.process(self._process.victims())
        self._interaction.end()
        self._process.close()

    def _attempt_is_over(self) -> bool:
        is_over = self._reap() and self._capture.drain()
        self._mind_output_limit()
        return is_over

    def _pause_is_over(self) -> bool:
        """Execute the command again when it is time for it. True also where it is not to be any more."""
        if not self._ending.restarts:
            return True
        if self._attempts.next_at is None or time.monotonic() < self._attempts.next_at:
            return False
        try:
            if not self._attempts.begin(self._writer.size):
                return False
        except FileNotFoundError:  # the directory was removed, and the job with it
            self._ending.stop(Reason.STOPPED, 0)
            return True
        self._execute_again()
        return True

    def _execute_again(self) -> None:
        self._ending.begin_again()
        self._memory.begin_attempt()
        try:
            process = Spawned(self._spec, self._interaction.size, self._group)
        except OSError as error:
            kind, message = explain(error, self._spec)
            self._ending.main_ended(Outcome(error_kind=kind, error=message))
            return
        self._process = process
        self._capture = Capture(process.pipes, self._writer, self._poller)
        self._interaction.begin(process)
        self._watch_main()

    def _watch_main(self) -> None:
        if self._process.link is not None:
            self._poller.register(self._process.link, select.POLLIN)

    def _handle(self, descriptor: int, events: int) -> None:
        if descriptor in self._capture:
            self._capture.ready(descriptor)
            self._interaction.output_was_taken()
            return
        if descriptor in self._interaction:
            self._interaction.ready(descriptor, events)
            return
        if descriptor == self._memory.descriptor:
            self._memory.hear()
            self._ending.memory_is_short()
            return
        self._reap()  # who has exited by itself before a stop was not stopped
        if descriptor == self._control.fileno():
            self._control.answer(self._ending, self._process, self._interaction, self._accounting)
        elif signal.SIGTERM in self._signals.read():
            self._ending.stop(Reason.STOPPED, DEFAULT_GRACE_SECONDS)

    def _reap(self) -> bool:
        """Reap all that has exited, orphans of the tree too; True: none is left."""
        is_alone = self._reap_children()
        if not self._ending.main_exited and (status := self._process.main_status()) is not None:
            self._ending.main_ended(Outcome.of(status))
            if self._memory.happened:
                self._ending.memory_ran_out(kernel_kills_all=self._memory.kernel_kills_all)
            if self._process.link is not None:
                self._poller.unregister(self._process.link)
        return is_alone

    def _reap_children(self) -> bool:
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return True
            if ended is None:
                return False
            name = name_of_killed(ended.si_pid, ended.si_code, ended.si_status)
            pid, wait_status, used = os.wait4(ended.si_pid, 0)
            if name is not None:
                self._memory.killed(Victim(name, pid, used.ru_maxrss))
            self._accounting.add(used)
            self._process.reaped(pid, wait_status)

    def _mind_output_limit(self) -> None:
        """Note the first time that output is dropped, and stop a job that has written more than it may."""
        if self._truncated or not self._writer.dropped_bytes:
            return
        self._truncated = True
        self._teller.tell(EventType.OUTPUT_TRUNCATED, time.time_ns(), None)
        if self._writer.beyond_limit:
            self._ending.exceeded_output_limit(DEFAULT_GRACE_SECONDS)

    def _do_what_is_due(self) -> None:
        now = time.monotonic()
        ending = self._ending
        if self._capture.retry_at is not None and self._capture.retry_at <= now:
            self._capture.retry()
        if self._interaction.due_at is not None and self._interaction.due_at <= now:
            self._interaction.do_what_is_due()
        if self._teller.retry_at is not None and self._teller.retry_at <= now:
            self._teller.retry()
        if ending.timeout_at is not None and ending.timeout_at <= now:
            self._reap()
            if ending.timeout_at is not None:
                ending.stop(Reason.TIMED_OUT, DEFAULT_GRACE_SECONDS)
        if ending.terminate_at is not None and ending.terminate_at <= now:
            ending.terminate_at = None
            until = max(now + _TERMINATING_SECONDS, ending.kill_at or now)
            tree.terminate(tree.below(os.getpid()), self._interaction.farewell, until)
        if ending.kill_at is not None and ending.kill_at <= now:
            ending.kill_at = now + _KILL_AGAIN_SECONDS
            self._kill()

    def _job_processes(self) -> list[int]:
        return [pid for pid in _own_tree() if pid != self._process.init_pid]

    def _kill(self) -> None:
        self._memory.kill_begins()
        if self._group is not None:
            self._group.kill()
        tree.uproot(tree.below(os.getpid()), _own_tree)

    def _milliseconds_to_next(self) -> float | None:
        ending = self._ending
        due = [
            at
            for at in (
                self._capture.retry_at,
                self._attempts.next_at,
                self._interaction.due_at,
                self._teller.retry_at,
                ending.timeout_at,
                ending.terminate_at,
                ending.kill_at,
            )
            if at is not None
        ]
        return max(0.0, (min(due) - time.monotonic()) * 1000) if due else None


def _own_tree() -> list[int]:
    return descendants(os.getpid())
