"""Which values limits may have, whatever the host can enforce."""

from __future__ import annotations

import math
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from jobworker_lib.errors import InvalidArgumentError
from jobworker_lib.job.limits import IoLimit, Limits

if TYPE_CHECKING:
    from collections.abc import Callable

_LARGEST = (1 << 63) - 1
_RANGES = {
    "memory_bytes": (1, _LARGEST),
    "pids": (1, 1 << 22),  # the kernel never has more
    "memory_high_bytes": (1, _LARGEST),
    "swap_bytes": (0, _LARGEST),
    "cpu_weight": (1, 10_000),
    "open_files": (1, _LARGEST),
    "file_size_bytes": (0, _LARGEST),
    "core_size_bytes": (0, _LARGEST),
    "nice": (-20, 19),
}
_SMALLEST_CPUS, _LARGEST_CPUS = 0.001, 10_000


def checked_limits(limits: Limits, check_text: Callable[[str, object], str]) -> Limits:
    """The limits, where each of them can be used; ``check_text`` checks a text of a field.

    Raises:
        InvalidArgumentError: a value is of the wrong type, out of range, or contradicts another.
    """
    for name, (smallest, largest) in _RANGES.items():
        _check_whole(f"limits.{name}", getattr(limits, name), smallest, largest)
    _check_cpus(limits.cpus)
    if limits.memory_bytes and limits.memory_high_bytes and limits.memory_high_bytes > limits.memory_bytes:
        raise InvalidArgumentError("limits.memory_high_bytes", "give no more than memory_bytes: it would do nothing")
    devices = []
    for number, limit in enumerate(limits.io):
        _check_io(f"limits.io[{number}]", limit)
        devices.append(check_text(f"limits.io[{number}].device", limit.device))
    if len(set(devices)) != len(devices):
        raise InvalidArgumentError("limits.io", "give each device once")
    return limits


def _check_whole(field: str, value: object, smallest: int, largest: int) -> None:
    if value is None:
        return
    if not isinstance(value, int) or isinstance(value, bool) or not smallest <= value <= largest:
        many = f"{smallest} to {largest}" if largest < _LARGEST else f"{smallest} or more"
        raise InvalidArgumentError(field, f"give a whole number, {many}")


def _check_cpus(cpus: Any) -> None:
    if cpus is None:
        return
    is_number = isinstance(cpus, int | float) and not isinstance(cpus, bool) and math.isfinite(cpus)
    if not is_number or not _SMALLEST_CPUS <= cpus <= _LARGEST_CPUS:
        raise InvalidArgumentError("limits.cpus", f"give a number of processors, {_SMALLEST_CPUS} to {_LARGEST_CPUS}")


def _check_io(field: str, limit: IoLimit) -> None:
    rates = [part.name for part in fields(IoLimit) if part.name != "device"]
    for name in rates:
        _check_whole(f"{field}.{name}", getattr(limit, name), 1, _LARGEST)
    if all(getattr(limit, name) is None for name in rates):
        raise InvalidArgumentError(field, f"give at least one of {', '.join(rates)}")
