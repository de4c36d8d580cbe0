"""The executions of a job's command: one, or several where it has a restart policy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobworker_lib.job.timestamps import utc_from_ns

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One execution of a job's command; also how it stands in ``attempts.json``."""

    number: int
    """1 is the first."""
    started_ns: int
    """When the command was executed, in nanoseconds since the epoch."""
    output_offset: int = 0
    """Where its output begins in the job's output; it ends where the next attempt's begins."""
    ended_ns: int | None = None
    """When nothing of it was left; None before."""
    exit_code: int | None = None
    """0 to 255, where the main process exited."""
    signal: int | None = None
    """The signal's number, where one ended the main process."""
    error: str | None = None
    """Why the command could not be executed this time, where it couldn't."""

    @property
    def started_at(self) -> datetime:
        """When the command was executed, in UTC."""
        return utc_from_ns(self.started_ns)

    @property
    def ended_at(self) -> datetime | None:
        """When nothing of it was left, in UTC; None before."""
        return None if self.ended_ns is None else utc_from_ns(self.ended_ns)
