"""Bounds on the jobs that may be started: those of a role, of an owner, and of both together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from jobworker_lib import Isolation
from jobworker_server.limit_policy import LimitPolicy
from jobworker_server.policy import fence

EVERYTHING = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Bounds on what may be started. None: there is no such bound; an empty list: nothing is allowed."""

    running: int | None = None
    """Most jobs of one owner that run at once."""
    queued: int | None = None
    """Most jobs of one owner that wait for their turn; 0: none of them waits."""
    priority: int | None = None
    """The highest that jobs may have in the queue."""
    commands: tuple[str, ...] | None = None
    """The commands that may be started: absolute paths, which are compared as they stand."""
    environment: tuple[str, ...] | None = None
    """The variables that a start may set: names, and beginnings of names with a star after them."""
    users: tuple[str, ...] | None = None
    """The Unix users that a job may run as, as they are written; the first is that of a start that names none."""
    limits: LimitPolicy = field(default_factory=LimitPolicy)
    isolation: Isolation | None = None
    """What a job has of it at least."""
    writable: tuple[str, ...] | None = None
    """The only working directories, and writable paths, that a start may name. None where the isolation does not depend
    on them."""
    new_privileges: bool = False
    """Whether jobs may gain privileges, as by executing a setuid program."""

    def and_(self, other: Rules) -> Rules:
        """Both: whatever either forbids is forbidden. Of two defaults, that of ``other`` holds."""
        return Rules(
            running=_smaller(self.running, other.running),
            queued=_smaller(self.queued, other.queued),
            priority=_smaller(self.priority, other.priority),
            commands=_common(self.commands, other.commands),
            environment=_common_patterns(self.environment, other.environment),
            users=_common(self.users, other.users),
            limits=self.limits.and_(other.limits),
            isolation=fence.both(self.isolation, other.isolation),
            writable=_common(self.writable, other.writable),
            new_privileges=self.new_privileges and other.new_privileges,
        )


ANYTHING = Rules(new_privileges=True)
"""No bound at all."""


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether a variable is one of those."""
    return any(
        name.startswith(pattern[:-1]) if pattern.endswith(EVERYTHING) else name == pattern for pattern in patterns
    )


def _smaller(first: int | None, second: int | None) -> int | None:
    return min((bound for bound in (first, second) if bound is not None), default=None)


def _common(first: tuple[str, ...] | None, second: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """What is in both, in the order of the second."""
    if first is None or second is None:
        return second if first is None else first
    return tuple(item for item in second if item in first)


def _common_patterns(first: tuple[str, ...] | None, second: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if first is None or second is None:
        return second if first is None else first

    def narrower() -> Iterator[str]:
        for one in second:
            for other in first:
                if matches(one, (other,)):
                    yield one
                elif matches(other, (one,)):
                    yield other

    return tuple(dict.fromkeys(narrower()))
