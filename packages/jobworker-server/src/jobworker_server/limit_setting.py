"""Limits of jobs, as the configuration file says them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jobworker_lib import InvalidArgumentError, IoLimit, Limits
from jobworker_lib.job.limit_checks import checked_limits
from jobworker_server.errors import ConfigError
from jobworker_server.limit_policy import LimitPolicy
from jobworker_server.quantities import BYTES, SECONDS, quantity, size_text, time_text

_Read = Callable[[object], Any]


def _size(value: object) -> int:
    return int(quantity(str(value), BYTES, "a size such as 512M or 1.5G"))


def _number(value: object) -> int:
    if type(value) is not int:
        raise ValueError("expected a whole number")
    return value


def _processors(value: object) -> float:
    if type(value) not in (int, float):
        raise ValueError("expected a number of processors, such as 0.5")
    return value  # type: ignore[return-value]  # it was just looked at


def _seconds(value: object) -> float:
    seconds = quantity(str(value), SECONDS, "a time such as 90s, 30m or 8h")
    if seconds == 0:
        raise ValueError("expected more than no time")
    return seconds


def _path(value: object) -> str:
    if not isinstance(value, str) or not value.startswith("/"):
        raise ValueError("expected an absolute path")
    return value


_IO_KEYS: dict[str, tuple[str, _Read]] = {
    "device": ("device", _path),
    "read": ("read_bytes_per_second", _size),
    "write": ("write_bytes_per_second", _size),
    "readOps": ("read_operations_per_second", _number),
    "writeOps": ("write_operations_per_second", _number),
}


def _devices(value: object) -> tuple[IoLimit, ...]:
    if not isinstance(value, list):
        raise ValueError(  # noqa: TRY004  # as for every value that is not what is expected
            "expected a list, such as [{read: 50M, write: 20M}]"
        )
    return tuple(IoLimit(**_fields("io", limit, _IO_KEYS)) for limit in value)


_KEYS: dict[str, tuple[str, _Read]] = {
    "memory": ("memory_bytes", _size),
    "memoryHigh": ("memory_high_bytes", _size),
    "swap": ("swap_bytes", _size),
    "cpus": ("cpus", _processors),
    "cpuWeight": ("cpu_weight", _number),
    "pids": ("pids", _number),
    "openFiles": ("open_files", _number),
    "fileSize": ("file_size_bytes", _size),
    "coreSize": ("core_size_bytes", _size),
    "nice": ("nice", _number),
    "io": ("io", _devices),
}
_TIMEOUT = "timeout"
_PART_KEYS: dict[str, tuple[str, _Read]] = {**_KEYS, _TIMEOUT: (_TIMEOUT, _seconds)}
"""Of the default, and of the maximum. The wall time is no field of the library's limits, as it can be changed later."""


def limit_policy(value: object) -> LimitPolicy:
    """What ``limits`` of the configuration file says.

    Raises:
        ConfigError: it can't be used; the message does not name the file.
    """
    if not isinstance(value, dict) or not value.keys() <= {"default", "max"}:
        raise ConfigError("limits must hold default, max or both, such as limits: {max: {memory: 4G}}")
    default, default_timeout = _part("limits.default", value.get("default", {}))
    maximum, maximum_timeout = _part("limits.max", value.get("max", {}))
    policy = LimitPolicy(default, maximum, default_timeout, maximum_timeout)
    if excess := policy.excess(policy.default):
        raise ConfigError(f"limits.default.{_key(excess[0])} goes beyond limits.max.{_key(excess[0])}")
    if default_timeout is not None and not policy.allows_timeout(default_timeout):
        raise ConfigError(f"limits.default.{_TIMEOUT} goes beyond limits.max.{_TIMEOUT}")
    return policy


def written(limits: Limits, timeout: float | None) -> dict[str, str]:
    """Limits and a wall time as they would be written in the configuration file, by their keys."""
    found = {}
    for key, (name, read) in _KEYS.items():
        value = getattr(limits, name)
        if value is not None and value != ():
            found[key] = size_text(value) if read is _size else _devices_text(value) if name == "io" else f"{value:g}"
    return found if timeout is None else {**found, _TIMEOUT: time_text(timeout)}


def _devices_text(devices: tuple[IoLimit, ...]) -> str:
    parts = []
    for device in devices:
        rates = {key: getattr(device, name) for key, (name, _) in _IO_KEYS.items() if key != "device"}
        texts = [f"{key} {value if key.endswith('Ops') else size_text(value)}" for key, value in rates.items() if value]
        parts.append(f"{' '.join(texts)} a second{f' of {device.device}' if device.device else ''}")
    return " and ".join(parts)


def _part(place: str, value: object) -> tuple[Limits, float | None]:
    """The limits, and the wall time, that are the default or the maximum."""
    found = _fields(place, value, _PART_KEYS)
    timeout = found.pop(_TIMEOUT, None)
    try:
        return checked_limits(Limits(**found), lambda _, text: str(text)), timeout
    except InvalidArgumentError as error:
        name = error.field.removeprefix("limits.")
        raise ConfigError(f"{place}.{_key(name)}: {error.problem}") from None


def _fields(place: str, value: object, keys: dict[str, tuple[str, _Read]]) -> dict[str, Any]:
    if not isinstance(value, dict) or not value.keys() <= keys.keys():
        raise ConfigError(f"{place} must hold none but {', '.join(keys)}")
    found = {}
    for key, given in value.items():
        name, read = keys[key]
        try:
            found[name] = read(given)
        except ValueError as error:
            raise ConfigError(f"{place}.{key}: {error}, not {given!r}") from None
    return found


def _key(name: str) -> str:
    """The key of a limit, by the name that the engine has for it."""
    return next((key for key, (field, _) in _KEYS.items() if field == name), name)
