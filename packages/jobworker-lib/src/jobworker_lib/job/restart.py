"""When a job's command is executed again."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartPolicy:
    """Restarts a command that failed: it exited with another code than 0, or died of a signal that was not ours.

    What was stopped, or ended by its timeout or output limit, is never restarted.
    """

    max_restarts: int
    """Most times that the command is executed again, 1 to 1000."""
    backoff: float = 1.0
    """Seconds of pause before the first restart; each further pause is twice as long."""
    max_backoff: float = 300.0
    """The longest pause, in seconds."""
