"""Streams of events, for synchronous programs and for asyncio ones."""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Self

from jobworker_lib.waiting.drivers import Place, block, block_async
from jobworker_lib.waiting.watcher import Change

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Generator

    from jobworker_lib.core import Core
    from jobworker_lib.events.event import Event
    from jobworker_lib.events.feed import EventFeed


class _AnyWatch:
    """A place in the stream of events; it holds no events, so one that is not read takes no memory."""

    def __init__(self, core: Core, feed: EventFeed) -> None:
        self._core = core
        self._feed = feed

    @property
    def cursor(self) -> str:
        """To go on after all events that were given, and those before that were not asked for."""
        return self._feed.cursor

    def _places(self) -> list[Place]:
        return [Place(self._core.events, Change.EVENTS)]


class Watch(_AnyWatch):
    """What :meth:`jobworker_lib.Engine.watch` gives: iterate over it, and close it, which leaving its block does."""

    def __iter__(self) -> Generator[Event]:
        """Each event as it comes; it never ends by itself. CursorExpiredError where it falls too far behind."""
        for batch in self.batches():
            yield from batch

    def batches(self) -> Generator[list[Event]]:
        """All events that are there at once. One without events tells that the cursor has moved on far."""
        with self._core.watched():
            while True:
                yield block(self._core, self._places(), self._feed.next_batch)

    def close(self) -> None:
        """Watch no more."""
        self._feed.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncWatch(_AnyWatch):
    """What :meth:`jobworker_lib.aio.Engine.watch` gives: as :class:`Watch`, awaited."""

    async def __aiter__(self) -> AsyncGenerator[Event]:
        """As iterating over a :class:`Watch`."""
        async with aclosing(self.batches()) as batches:
            async for batch in batches:
                for event in batch:
                    yield event

    async def batches(self) -> AsyncGenerator[list[Event]]:
        """As :meth:`Watch.batches`."""
        with self._core.watched():
            while True:
                yield await block_async(self._core, self._places(), self._feed.next_batch)

    async def close(self) -> None:
        """As :meth:`Watch.close`."""
        self._feed.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
