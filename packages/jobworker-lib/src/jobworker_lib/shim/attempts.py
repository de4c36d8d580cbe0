"""Keeps the account of a job's attempts, and says when its command is executed again."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from jobworker_lib.job.attempts import Attempt
from jobworker_lib.job.directory import ATTEMPTS, JobDirectory

if TYPE_CHECKING:
    from jobworker_lib.job.restart import RestartPolicy
    from jobworker_lib.shim.ending import Outcome

_MOST_KEPT = 100
_RETRY_SECONDS = 1.0


class Attempts:
    """The attempts of one job, and ``attempts.json``, which appears when the first of several has ended.

    What is only here when the shim dies can be told from other records: the first attempt's start from
    ``started.json``, the last one's end from ``exit.json``.
    """

    def __init__(self, directory: JobDirectory, policy: RestartPolicy | None, started_ns: int) -> None:
        self._directory = directory
        self._policy = policy
        self._attempts = [Attempt(number=1, started_ns=started_ns)]
        self.next_at: float | None = None
        """When the next attempt is due, by the monotonic clock."""

    @property
    def restarts(self) -> int:
        """How often the command may be executed again in all."""
        return self._policy.max_restarts if self._policy else 0

    def end(self, outcome: Outcome) -> None:
        """Note the end of the current attempt and plan the next one, after the pause of the policy."""
        self._attempts[-1] = replace(
            self._attempts[-1],
            ended_ns=time.time_ns(),
            exit_code=outcome.exit_code,
            signal=outcome.signal,
            error=outcome.error,
        )
        with suppress(OSError):  # a full disk: it is written with the next attempt
            self._write(self._attempts)
        self.next_at = time.monotonic() + self._pause()

    def begin(self, output_offset: int) -> bool:
        """Note the next attempt before it begins. False: that can't be written now, and it is put off.

        Raises:
            FileNotFoundError: the job's directory was removed.
        """
        attempt = Attempt(number=self._attempts[-1].number + 1, started_ns=time.time_ns(), output_offset=output_offset)
        attempts = [*self._attempts, attempt][-_MOST_KEPT:]
        try:
            self._write(attempts)
        except FileNotFoundError:
            raise
        except OSError:
            self.next_at = time.monotonic() + _RETRY_SECONDS
            return False
        self._attempts = attempts
        self.next_at = None
        return True

    def _pause(self) -> float:
        if self._policy is None:
            raise RuntimeError("a job without a restart policy has one attempt")
        doublings = min(self._attempts[-1].number - 1, 64)  # more would be past any pause, and past a float
        return min(self._policy.backoff * 2.0**doublings, self._policy.max_backoff)

    def _write(self, attempts: list[Attempt]) -> None:
        self._directory.write(ATTEMPTS, attempts)
