"""Between the API's messages and the values of ``fence.py``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, fields
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from jobworker.v1 import job_pb2
from jobworker_cli.errors import InvalidRequestError
from jobworker_cli.fence import IoLimit, Isolation, Limits, Network, Usage

_NETWORKS = {job_pb2.Network.Value(f"NETWORK_{network.name}"): network for network in Network}
_FLAGS = (
    "pid", "ipc", "uts", "read_only", "private_tmp", "private_devices",
    "no_new_privileges", "drop_capabilities", "seccomp",
)  # fmt: skip
_LISTS = ("writable", "hidden", "kept_capabilities")


def limits(message: job_pb2.Limits) -> Limits:
    """Read limits; those of a later version are left out."""
    io = tuple(IoLimit(**_set_fields(IoLimit, limit)) for limit in message.io)
    return Limits(**{**_set_fields(Limits, message), "io": io})


def limits_value(limits: Limits) -> job_pb2.Limits:
    """The API's value of limits.

    Raises:
        InvalidRequestError: one can't be sent.
    """
    given: dict[str, Any] = {name: value for name, value in asdict(limits).items() if value is not None}
    given["io"] = [_io_value(limit) for limit in limits.io]
    try:
        return job_pb2.Limits(**given)
    except (ValueError, TypeError) as error:
        raise InvalidRequestError(f"limits: {error}") from None


def isolation(message: job_pb2.Isolation) -> Isolation:
    """Read an isolation."""
    given: dict[str, Any] = {name: getattr(message, name) for name in _FLAGS}
    given |= {name: tuple(getattr(message, name)) for name in _LISTS}
    undecided = message.landlock_where_available and not message.landlock
    network = _NETWORKS.get(message.network, Network.HOST)
    return Isolation(**given, network=network, landlock=None if undecided else message.landlock)


def isolation_value(isolation: Isolation) -> job_pb2.Isolation:
    """The API's value of an isolation.

    Raises:
        InvalidRequestError: a path or name can't be sent.
    """
    for name in _LISTS:
        require_text(f"isolation.{name}", getattr(isolation, name))
    given: dict[str, Any] = {name: getattr(isolation, name) for name in (*_FLAGS, *_LISTS)}
    return job_pb2.Isolation(
        **given,
        network=job_pb2.Network.Value(f"NETWORK_{isolation.network.name}"),
        landlock=bool(isolation.landlock),
        landlock_where_available=isolation.landlock is None,
    )


def usage(message: job_pb2.Usage) -> Usage:
    """Read what a job has used."""
    given = _set_fields(Usage, message)
    return Usage(**{name: _number(value) for name, value in given.items()})


def require_text(field: str, values: Iterable[str]) -> None:
    """Refuse what came from bytes that are not UTF-8: the API carries text. InvalidRequestError."""
    for value in values:
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InvalidRequestError(f"{field}: it holds bytes that are not UTF-8") from None


def _io_value(limit: IoLimit) -> job_pb2.IoLimit:
    require_text("limits.io.device", [limit.device])
    try:
        return job_pb2.IoLimit(**asdict(limit))
    except (ValueError, TypeError) as error:
        raise InvalidRequestError(f"limits.io: {error}") from None


def _set_fields(kind: type, message: Message) -> dict[str, Any]:
    """What is set and known, by name, as both sides name it."""
    known = {field.name for field in fields(kind)}
    return {field.name: value for field, value in message.ListFields() if field.name in known}


def _number(value: Any) -> Any:
    return value.ToNanoseconds() / 1e9 if isinstance(value, Duration) else value
