"""What a job may use."""

from __future__ import annotations

from dataclasses import dataclass, fields

from jobworker_lib.errors import LimitNotEnforceableError


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of a whole job, all its processes together; None: no limit."""

    memory_bytes: int | None = None
    """Most memory, in bytes."""
    cpus: float | None = None
    """CPU time a second, in processors: 0.5 is half of one."""
    pids: int | None = None
    """Most processes and threads."""


def require_enforceable(limits: Limits) -> None:
    """Refuse what this engine can't enforce, rather than ignore it.

    Raises:
        LimitNotEnforceableError: a limit is set; this engine has no means yet to enforce any.
    """
    for limit in fields(limits):
        if getattr(limits, limit.name) is not None:
            raise LimitNotEnforceableError(
                limit.name, "this version of jobworker does not put jobs in cgroups; start the job without the limit"
            )
