"""How much of a job's output is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

OutputLimitAction = Literal["stop", "drop_oldest"]

ACTIONS: tuple[OutputLimitAction, ...] = get_args(OutputLimitAction)
SMALLEST_LIMIT = 64 << 10


@dataclass(frozen=True, slots=True)
class OutputLimit:
    """A bound on the output of both streams together."""

    bytes: int
    """The most bytes that are kept; at least 65536."""
    action: OutputLimitAction = "stop"
    """At the limit, ``stop`` the job, or ``drop_oldest``: keep the newest output and tell readers of the gap."""
