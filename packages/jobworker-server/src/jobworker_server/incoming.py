"""The request of a call that has one alone, received when it is known who calls."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

import grpc
from google.protobuf.message import Message

from jobworker_server.decoding import decoded
from jobworker_server.errors import InvalidRequestError
from jobworker_server.quotas import Share

T = TypeVar("T")
RequestT = TypeVar("RequestT", bound=Message)

_RECEIVING_SECONDS = 30.0
"""How long a client may take to send a request."""


async def in_turn(share: Share, receive: Callable[[], Awaitable[T]]) -> T:
    """What is received, as one of the few requests of its client that may be on their way at the same time.

    Raises:
        InvalidRequestError: it has not come in time.
    """
    async with share.receiving():
        try:
            async with asyncio.timeout(_RECEIVING_SECONDS):
                return await receive()
        except TimeoutError:
            message = f"it has not arrived within {_RECEIVING_SECONDS:g} seconds"
            raise InvalidRequestError("request", message) from None


class Incoming(Generic[RequestT]):
    """A request, first to be received, then to be read."""

    def __init__(self, kind: type[RequestT], context: grpc.aio.ServicerContext[Any, Any]) -> None:
        self._kind = kind
        self._context = context
        self._data: bytes | None = None

    async def receive(self, share: Share) -> None:
        """Take it in its turn.

        Raises:
            InvalidRequestError: none has come, or not in time.
        """
        data = await in_turn(share, self._context.read)
        if data is grpc.aio.EOF:
            raise InvalidRequestError("request", "there is none")
        self._data = data

    def request(self) -> RequestT:
        """The request.

        Raises:
            InvalidRequestError: it has not been received, or is no message of its kind.
        """
        if self._data is None:
            raise InvalidRequestError("request", "there is none")
        return decoded(self._kind, self._data)
