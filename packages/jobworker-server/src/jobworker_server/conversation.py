"""A call in which both sides talk at the same time."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Generic, TypeVar

import grpc
from google.protobuf.message import Message

from jobworker_server.decoding import decoded
from jobworker_server.lifetime import STUCK_SECONDS, Lifetime

RequestT = TypeVar("RequestT", bound=Message)
ResponseT = TypeVar("ResponseT", bound=Message)


class Conversation(Generic[RequestT, ResponseT]):
    """Takes requests one by one, when they are asked for, and sends responses, which may be done from several tasks."""

    def __init__(
        self, context: grpc.aio.ServicerContext[Any, Any], request: type[RequestT], lifetime: Lifetime
    ) -> None:
        self._context = context
        self._request = request
        self._lifetime = lifetime
        self._sending = asyncio.Lock()
        self._received_all = asyncio.Event()

    async def receive(self) -> RequestT | None:
        """The next request; None: the client sends no more. InvalidRequestError where it can't be read."""
        data = await self._context.read()
        if data is grpc.aio.EOF:
            self._received_all.set()
            return None
        return decoded(self._request, data)

    async def received_all(self, seconds: float) -> None:
        """Wait until the client sends no more, but no longer than this; somebody has to be receiving meanwhile.

        A call that ends before is reset on the wire, upon which a proxy may drop the last of what was sent.
        """
        with suppress(TimeoutError):
            await asyncio.wait_for(self._received_all.wait(), seconds)

    async def send(self, response: ResponseT) -> None:
        """Send a response; waits for a client that is slow to take it."""
        async with self._sending:
            with self._lifetime.held():
                await self._context.write(response)
        await asyncio.sleep(0)  # an end that was put off comes now, though there is always more to send

    async def during(self, main: Coroutine[Any, Any, None], *others: Coroutine[Any, Any, None]) -> None:
        """Do ``main`` to its end, and the others for as long; an error of any ends all of them and is raised."""
        tasks = [asyncio.ensure_future(work) for work in (main, *others)]
        try:
            pending = set(tasks)
            while not tasks[0].done():
                done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
        finally:
            with suppress(TimeoutError):  # what is being sent is awaited, as long as the client reads
                async with asyncio.timeout(STUCK_SECONDS), self._sending:
                    pass
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
