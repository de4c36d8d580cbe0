"""What clients may ask of the server, as the configuration file says it."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from jobworker_server.errors import ConfigError
from jobworker_server.nearest import nearest
from jobworker_server.quantities import BYTES, SECONDS, quantity
from jobworker_server.quotas import Quotas

_NONE = "none"
_SMALLEST_MESSAGE = 4096
_Read = Callable[[object], Any]


def quotas(value: object) -> Quotas:
    """What ``quotas`` of the configuration file says.

    Raises:
        ConfigError: it can't be used; the message does not name the file.
    """
    if not isinstance(value, dict):
        raise ConfigError("quotas must hold a setting a line, such as quotas: {callsPerSecond: 100}")
    found = {}
    for key, given in value.items():
        if key not in _KEYS:
            raise ConfigError(f"quotas: there is no setting {key!r}; {nearest(str(key), _KEYS)}")
        name, read = _KEYS[key]
        try:
            found[name] = read(given)
        except ValueError as error:
            raise ConfigError(f"quotas.{key}: {error}, not {given!r}") from None
    return Quotas(**found)


def _rate(value: object) -> float:
    if type(value) not in (int, float) or not (math.isfinite(value) and value > 0):  # type: ignore[arg-type,operator]  # it was just looked at
        raise ValueError("expected a number above 0, or none")
    return float(value)  # type: ignore[arg-type]  # as above


def _count(value: object) -> int:
    if type(value) is not int or value < 1:
        raise ValueError("expected a whole number, 1 or more")
    return value


def _seconds(value: object) -> float:
    seconds = quantity(str(value), SECONDS, "a time such as 10s or 5m")
    if seconds < 1:
        raise ValueError("expected a time of a second or more")
    return seconds


def _bytes(value: object) -> int:
    size = int(quantity(str(value), BYTES, "a size such as 4M"))
    if not _SMALLEST_MESSAGE <= size < 1 << 31:
        raise ValueError("expected a size of 4K or more, and less than 2G")
    return size


def _or_none(read: _Read) -> _Read:
    return lambda value: None if value == _NONE else read(value)


_KEYS: dict[str, tuple[str, _Read]] = {
    "callsPerSecond": ("calls_per_second", _or_none(_rate)),
    "burst": ("burst", _count),
    "refusalsPerSecond": ("refusals_per_second", _or_none(_rate)),
    "streams": ("streams", _or_none(_count)),
    "messageBytes": ("message_bytes", _bytes),
    "connections": ("connections", _count),
    "handshake": ("handshake_seconds", _seconds),
    "idle": ("idle_seconds", _or_none(_seconds)),
}
