"""What jobs may use that don't say so, and what none may go beyond."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any

from jobworker_lib import Limits
from jobworker_server.disk_policy import bounded
from jobworker_server.errors import InvalidRequestError
from jobworker_server.quantities import size_text, time_text

_BOUNDED = tuple(limit.name for limit in fields(Limits) if limit.name != "io")
_OF_A_JOB_WITHOUT = {"cpu_weight": 100, "nice": 0}
"""What holds for a job that does not have the limit, where that is not "as much as it likes"."""


@dataclass(frozen=True, slots=True)
class LimitPolicy:
    """The limits of a server's jobs, over what each start asks for."""

    default: Limits = field(default_factory=Limits)
    """For what a start does not say."""
    maximum: Limits = field(default_factory=Limits)
    """What a start may ask for at most, and what holds where neither it nor the default says anything. For the niceness
    it is the least; what holds of disks, :mod:`.disk_policy` tells."""
    default_timeout: float | None = None
    """Seconds that a job may run whose start does not say; None: what the maximum is."""
    maximum_timeout: float | None = None
    """Seconds that a job may run at most, counted from its start; None: for ever."""

    def applied(self, limits: Limits, cwd: str) -> Limits:
        """What holds for a job that asks for these limits, and works in ``cwd``.

        Raises:
            InvalidRequestError: it asks for more than it may.
            LimitNotEnforceableError: it, or the maximum, is of a disk that is none.
        """
        if excess := self.excess(limits):
            name, bound = excess
            least = "at least" if name == "nice" else "at most"
            most = size_text(int(bound)) if name.endswith("_bytes") else bound
            raise InvalidRequestError(f"limits.{name}", f"this server allows {least} {most}")
        given: dict[str, Any] = {name: value for name in _BOUNDED if (value := self._given(limits, name)) is not None}
        disks = bounded(self.maximum.io, limits.io or self.default.io, cwd, refuse=bool(limits.io))
        found = Limits(**given, io=disks)
        if limits.memory_high_bytes is None and found.memory_bytes and found.memory_high_bytes:
            # Where the job chose less memory than that it would be refused, for a limit that it has not asked for.
            high = found.memory_high_bytes if found.memory_high_bytes < found.memory_bytes else None
            return replace(found, memory_high_bytes=high)
        return found

    def applied_timeout(self, asked: float | None) -> float | None:
        """The seconds that a job may run whose start asks for so many; InvalidRequestError where they are too many."""
        if asked is None:
            return self.maximum_timeout if self.default_timeout is None else self.default_timeout
        self.check_timeout("timeout", asked)
        return asked

    def check_timeout(self, name: str, seconds: float | None) -> None:
        """Refuse that a job may run so many seconds, or for ever, by an InvalidRequestError for that field."""
        if self.maximum_timeout is not None and not self.allows_timeout(seconds):
            raise InvalidRequestError(name, f"this server allows jobs to run {time_text(self.maximum_timeout)} at most")

    def allows_timeout(self, seconds: float | None) -> bool:
        """Whether a job may run so many seconds; None: for ever."""
        most = self.maximum_timeout
        return most is None or (seconds is not None and seconds <= most)

    def excess(self, limits: Limits) -> tuple[str, float] | None:
        """The first limit that goes beyond the maximum, and that; None: there is none."""
        for name in _BOUNDED:
            value, bound = getattr(limits, name), getattr(self.maximum, name)
            if value is not None and _tightest(name, value, bound) != value:
                return name, bound
        return None

    def and_(self, other: LimitPolicy) -> LimitPolicy:
        """Both: of two maxima the tighter one holds, of two defaults that of ``other``, within the maximum."""
        io = self.maximum.io + other.maximum.io  # several for a disk hold together
        maximum = Limits(**_fields(_tightest, self.maximum, other.maximum), io=io)
        defaults = _fields(lambda _, first, second: first if second is None else second, self.default, other.default)
        within: dict[str, Any] = {
            name: value if value is None else _tightest(name, value, getattr(maximum, name))
            for name, value in defaults.items()
        }
        most_seconds = _lesser(self.maximum_timeout, other.maximum_timeout)
        seconds = self.default_timeout if other.default_timeout is None else other.default_timeout
        return LimitPolicy(
            Limits(**within, io=other.default.io or self.default.io),
            maximum,
            seconds if seconds is None else _lesser(seconds, most_seconds),
            most_seconds,
        )

    def _given(self, limits: Limits, name: str) -> float | None:
        for value in (getattr(limits, name), getattr(self.default, name)):
            if value is not None:
                return value  # type: ignore[no-any-return]  # a field chosen by its name
        bound: float | None = getattr(self.maximum, name)
        without = _OF_A_JOB_WITHOUT.get(name)
        if bound is None or (without is not None and _tightest(name, without, bound) == without):
            return None
        return bound


def _fields(choose: Callable[[str, Any, Any], Any], first: Limits, second: Limits) -> dict[str, Any]:
    """What is chosen of two, for each limit that has a maximum."""
    return {name: choose(name, getattr(first, name), getattr(second, name)) for name in _BOUNDED}


def _tightest(name: str, first: float | None, second: float | None) -> float | None:
    """That of two which leaves less; None, which leaves anything, only where both are that."""
    return (_greater if name == "nice" else _lesser)(first, second)


def _lesser(first: float | None, second: float | None) -> float | None:
    return min((value for value in (first, second) if value is not None), default=None)


def _greater(first: float | None, second: float | None) -> float | None:
    return max((value for value in (first, second) if value is not None), default=None)
