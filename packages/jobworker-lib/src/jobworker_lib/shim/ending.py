"""How a job comes to its end: who asked for it, and when signals are due."""

from __future__ import annotations

import os
import time

from jobworker_lib.directory import ExitRecord
from jobworker_lib.status import Reason, State

LINGER_SECONDS = 3.0
"""How long processes that outlive their main process may go on before SIGTERM."""
LINGER_GRACE_SECONDS = 2.0
"""How long they have after that before SIGKILL."""


class Ending:
    """The plan for a job's end; all times by the monotonic clock, in seconds."""

    def __init__(self, timeout: float | None) -> None:
        self.timeout_at = None if timeout is None else time.monotonic() + timeout
        self.terminate_at: float | None = None
        self.kill_at: float | None = None
        self._asked: Reason | None = None
        self._wait_status: int | None = None

    @property
    def main_exited(self) -> bool:
        """Whether the main process has been reaped."""
        return self._wait_status is not None

    def stop(self, reason: Reason, grace: float) -> None:
        """Plan SIGTERM now and SIGKILL after ``grace`` seconds; an earlier plan is only ever brought forward.

        The first reason stands, and none counts when the main process has exited before.
        """
        now = time.monotonic()
        if not self.main_exited:
            self._asked = self._asked or reason
        self.timeout_at = None
        if grace > 0 and self.kill_at is None:
            self.terminate_at = now
        self.kill_at = min(now + grace, self.kill_at if self.kill_at is not None else now + grace)

    def main_ended(self, wait_status: int) -> None:
        """The main process was reaped: what is left of its tree gets a bounded time."""
        self._wait_status = wait_status
        self.timeout_at = None
        if self.kill_at is None:
            self.terminate_at = time.monotonic() + LINGER_SECONDS
            self.kill_at = self.terminate_at + LINGER_GRACE_SECONDS

    def record(self) -> ExitRecord:
        """How the job ended, told when all of it is over."""
        if self._wait_status is None:
            raise RuntimeError("the main process has not been reaped")
        code = os.waitstatus_to_exitcode(self._wait_status)
        return ExitRecord(
            state=State.STOPPED if self._asked else State.EXITED,
            reason=self._asked or Reason.EXITED,
            ended_ns=time.time_ns(),
            exit_code=code if code >= 0 else None,
            signal=-code if code < 0 else None,
        )
