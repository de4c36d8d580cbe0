"""Requests, from what a client sent."""

from __future__ import annotations

from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from jobworker_server.errors import InvalidRequestError

RequestT = TypeVar("RequestT", bound=Message)


def decoded(kind: type[RequestT], data: bytes) -> RequestT:
    """The request that stands in ``data``.

    Raises:
        InvalidRequestError: it is no message of this kind.
    """
    try:
        return kind.FromString(data)
    except DecodeError:
        raise InvalidRequestError("request", f"it can't be read as a {kind.DESCRIPTOR.name}") from None
