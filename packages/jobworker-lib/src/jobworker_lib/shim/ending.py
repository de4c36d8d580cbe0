"""How a job comes to its end: who asked for it, when signals are due, and whether its command is executed again."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Self

from jobworker_lib.job.directory import ExitRecord
from jobworker_lib.job.status import Reason, State

DEFAULT_GRACE_SECONDS = 10.0
"""How long a job has after SIGTERM before SIGKILL, where nothing else is asked for."""
LINGER_SECONDS = 3.0
"""How long processes that outlive their main process may go on before SIGTERM."""
LINGER_GRACE_SECONDS = 2.0
"""How long they have after that before SIGKILL."""

_VICTIM_SECONDS = 0.5
"""How long the kernel has to kill whom it chooses itself, and we to see who that was, before the rest is killed."""
_ALL_VICTIMS_SECONDS = 5.0
"""The same where it kills all by itself, so that nothing should be left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one execution of the command ended."""

    exit_code: int | None = None
    signal: int | None = None
    error_kind: str | None = None
    error: str | None = None

    @classmethod
    def of(cls, wait_status: int) -> Self:
        """What waitpid(2) told of the main process."""
        code = os.waitstatus_to_exitcode(wait_status)
        return cls(exit_code=code) if code >= 0 else cls(signal=-code)


class Ending:
    """The plan for a job's end; all times by the monotonic clock, in seconds."""

    def __init__(self, timeout: float | None, restarts: int = 0) -> None:
        """``timeout`` counts from now, ``restarts`` is how often the command may be executed again."""
        self._began = time.monotonic()
        self._restarts_left = restarts
        self.timeout_at: float | None = None
        self.terminate_at: float | None = None
        self.kill_at: float | None = None
        self._asked: Reason | None = None
        self._outcome: Outcome | None = None
        self.ran_out_of_memory = False
        """Whether the main process did not end as it would have."""
        self.out_of_memory_process: str | None = None
        """Who was killed for that."""
        self.set_timeout(timeout)

    @property
    def main_exited(self) -> bool:
        """Whether the main process has been reaped."""
        return self._outcome is not None

    @property
    def restarts(self) -> bool:
        """Whether the command is executed again when nothing of this attempt is left: it failed by itself, and may."""
        failed = self._outcome is not None and self._outcome.exit_code != 0
        return failed and self._asked is None and self._restarts_left > 0

    @property
    def outcome(self) -> Outcome:
        """How the attempt ended whose main process has been reaped."""
        if self._outcome is None:
            raise RuntimeError("the main process has not been reaped")
        return self._outcome

    def set_timeout(self, timeout: float | None) -> None:
        """Plan the timeout anew: seconds from the job's start, None for never. A stop that is under way goes on."""
        if self._asked is None:
            self.timeout_at = None if timeout is None else self._began + timeout

    def stop(self, reason: Reason, grace: float) -> None:
        """Plan SIGTERM now and SIGKILL after ``grace`` seconds; an earlier plan is only ever brought forward.

        The first reason stands, and none counts when the main process has exited before, for the last time.
        """
        now = time.monotonic()
        if not self.main_exited or self.restarts:
            self._asked = self._asked or reason
        self.timeout_at = None
        if grace > 0 and (self.kill_at is None or self.terminate_at is not None):
            self.terminate_at = now
        self.kill_at = min(now + grace, self.kill_at if self.kill_at is not None else now + grace)

    def exceeded_output_limit(self, grace: float) -> None:
        """Plan the end of a job whose output was cut; that is its reason, too, where it has just exited by itself."""
        self.stop(Reason.OUTPUT_LIMIT, grace)
        self._asked = self._asked or Reason.OUTPUT_LIMIT

    def memory_is_short(self) -> None:
        """The kernel is about to kill some process of the job; the rest of it follows."""
        self._kill_within(_VICTIM_SECONDS)

    def memory_ran_out(self, *, kernel_kills_all: bool) -> None:
        """The main process ended as the job ran out of memory: the rest follows."""
        self.ran_out_of_memory = self._outcome is not None and self._outcome.exit_code != 0
        self._kill_within(_ALL_VICTIMS_SECONDS if kernel_kills_all else _VICTIM_SECONDS)

    def main_ended(self, outcome: Outcome) -> None:
        """The main process is gone: what is left of its tree gets a bounded time."""
        self._outcome = outcome
        if not self.restarts:
            self.timeout_at = None
        if self.kill_at is None:
            self.terminate_at = time.monotonic() + LINGER_SECONDS
            self.kill_at = self.terminate_at + LINGER_GRACE_SECONDS

    def attempt_over(self) -> None:
        """Nothing is left of this attempt, so there is nothing to signal."""
        self.terminate_at = self.kill_at = None

    def begin_again(self) -> None:
        """The command is executed again."""
        self._restarts_left -= 1
        self.ran_out_of_memory = False
        self.out_of_memory_process = None
        self._outcome = None

    def _kill_within(self, seconds: float) -> None:
        at = time.monotonic() + seconds
        self.kill_at = at if self.kill_at is None else min(self.kill_at, at)

    def record(self) -> ExitRecord:
        """How the job ended, told when all of it is over."""
        outcome = self.outcome
        state, reason = State.EXITED, Reason.EXITED
        if self._asked:
            state, reason = State.STOPPED, self._asked
        elif outcome.error is not None:
            state, reason = State.FAILED, Reason.FAILED_TO_START
        elif self.ran_out_of_memory:
            reason = Reason.OUT_OF_MEMORY
        return ExitRecord(
            state=state,
            reason=reason,
            ended_ns=time.time_ns(),
            exit_code=outcome.exit_code,
            signal=outcome.signal,
            error_kind=outcome.error_kind,
            error=outcome.error,
            out_of_memory_process=self.out_of_memory_process,
        )
