"""What none of a server's jobs may do with disks, whether a start names them or not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import fields, replace
from typing import Any

from jobworker_lib import IoLimit
from jobworker_lib.cgroup import devices
from jobworker_server.errors import InvalidRequestError

_RATES = tuple(field.name for field in fields(IoLimit) if field.name != "device")
_Rates = dict[str, Any]


def bounded(maximum: Iterable[IoLimit], asked: Sequence[IoLimit], cwd: str, *, refuse: bool) -> tuple[IoLimit, ...]:
    """What holds for a job that asks for these limits, and works in ``cwd``: they, and what it did not name.

    A maximum without a device is one of each disk that the host has. What goes beyond is refused, or else cut.

    Raises:
        InvalidRequestError: more than may be was asked for.
        LimitNotEnforceableError: what was asked for is no disk, or the maximum is for something that is none.
    """
    bounds = _by_disk(maximum)
    if not bounds:
        return tuple(asked)
    found, named = [], set()
    for number, limit in enumerate(asked):
        disk = devices.resolve(limit.device, cwd)
        named.add(disk)
        bound = bounds.get(disk, {})
        if refuse:
            _require_within(f"limits.io[{number}]", limit, bound)
        found.append(replace(limit, **_least(bound, _rates(limit))))
    return (*found, *(IoLimit(device=disk, **rates) for disk, rates in bounds.items() if disk not in named))


def _by_disk(maximum: Iterable[IoLimit]) -> dict[str, _Rates]:
    bounds: dict[str, _Rates] = {}
    for limit in maximum:
        for disk in [devices.resolve(limit.device, "/")] if limit.device else devices.all_disks():
            bounds[disk] = _least(bounds.get(disk, {}), _rates(limit))
    return bounds


def _require_within(field: str, limit: IoLimit, bound: _Rates) -> None:
    for name, value in _rates(limit).items():
        if name in bound and value > bound[name]:
            raise InvalidRequestError(f"{field}.{name}", f"this server allows at most {bound[name]}")


def _rates(limit: IoLimit) -> _Rates:
    return {name: value for name in _RATES if (value := getattr(limit, name)) is not None}


def _least(first: _Rates, second: _Rates) -> _Rates:
    return {name: min(rates[name] for rates in (first, second) if name in rates) for name in {**first, **second}}
