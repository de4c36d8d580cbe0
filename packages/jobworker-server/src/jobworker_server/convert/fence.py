"""What holds a job in: its limits and its isolation."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Literal

from google.protobuf.message import Message
from google.protobuf.unknown_fields import UnknownFieldSet

from jobworker.v1 import job_pb2
from jobworker_lib import IoLimit, Isolation, Limits
from jobworker_server.convert.scalars import text
from jobworker_server.errors import InvalidRequestError

_NETWORKS = {
    "host": job_pb2.NETWORK_HOST,
    "isolated": job_pb2.NETWORK_ISOLATED,
    "none": job_pb2.NETWORK_NONE,
}
_ASKED_NETWORKS: dict[int, Literal["host", "isolated", "none"]] = {
    job_pb2.NETWORK_UNSPECIFIED: "host",
    job_pb2.NETWORK_HOST: "host",
    job_pb2.NETWORK_ISOLATED: "isolated",
    job_pb2.NETWORK_NONE: "none",
}


def limits(message: job_pb2.Limits) -> Limits:
    """The limits of a request.

    Raises:
        InvalidRequestError: a device is no absolute path, or there is a limit of a later version.
    """
    _require_known("limits", message)
    io = tuple(_io_limit(f"limits.io[{number}]", limit) for number, limit in enumerate(message.io))
    return Limits(**{**_set_fields(message), "io": io})


def limits_message(limits: Limits) -> job_pb2.Limits | None:
    """The limits of a job; None: it has none."""
    if limits == Limits():
        return None
    io = [job_pb2.IoLimit(**{**asdict(limit), "device": text(limit.device)}) for limit in limits.io]
    return job_pb2.Limits(**{**asdict(limits), "io": io})


def isolation(message: job_pb2.Isolation) -> Isolation:
    """The isolation of a request.

    Raises:
        InvalidRequestError: its network is not known, or there is something of a later version.
    """
    _require_known("isolation", message)
    if message.network not in _ASKED_NETWORKS:
        raise InvalidRequestError("isolation.network", f"there is no network {message.network}")
    return Isolation(
        pid=message.pid,
        ipc=message.ipc,
        uts=message.uts,
        network=_ASKED_NETWORKS[message.network],
        read_only=message.read_only,
        writable=tuple(message.writable),
        private_tmp=message.private_tmp,
        private_devices=message.private_devices,
        hidden=tuple(message.hidden),
        no_new_privileges=message.no_new_privileges,
        drop_capabilities=message.drop_capabilities,
        kept_capabilities=tuple(message.kept_capabilities),
        seccomp=message.seccomp,
        landlock=None if message.landlock_where_available and not message.landlock else message.landlock,
    )


def isolation_message(isolation: Isolation | None) -> job_pb2.Isolation | None:
    """How a job is kept apart from the host; None: not at all."""
    if isolation is None:
        return None
    return job_pb2.Isolation(
        pid=isolation.pid,
        ipc=isolation.ipc,
        uts=isolation.uts,
        network=_NETWORKS[isolation.network],
        read_only=isolation.read_only,
        writable=map(text, isolation.writable),
        private_tmp=isolation.private_tmp,
        private_devices=isolation.private_devices,
        hidden=map(text, isolation.hidden),
        no_new_privileges=isolation.no_new_privileges,
        drop_capabilities=isolation.drop_capabilities,
        kept_capabilities=isolation.kept_capabilities,
        seccomp=isolation.seccomp,
        landlock=bool(isolation.landlock),
        landlock_where_available=isolation.landlock is None,
    )


def _io_limit(field: str, message: job_pb2.IoLimit) -> IoLimit:
    _require_known(field, message)
    if message.device and not message.device.startswith("/"):
        raise InvalidRequestError(f"{field}.device", "give an absolute path; it is one of the server's host")
    return IoLimit(**_set_fields(message))


def _require_known(field: str, message: Message) -> None:
    """Refuse what only a later version knows, rather than ignore it."""
    if len(UnknownFieldSet(message)):
        raise InvalidRequestError(field, "it asks for something that this version of the server does not know")


def _set_fields(message: Message) -> dict[str, Any]:
    """The fields that are set, by name, as both the API and the engine name them."""
    return {field.name: value for field, value in message.ListFields()}
