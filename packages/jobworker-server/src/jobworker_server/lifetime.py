"""How long a call may last: until its caller's certificate expires, or the server stops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime

from jobworker_server import identity
from jobworker_server.errors import ShutdownError
from jobworker_server.identity import Identity


class Lifetime:
    """The time that one call has. It does not end within :meth:`held`."""

    def __init__(self, seconds: float) -> None:
        self._deadline = asyncio.get_running_loop().time() + seconds
        self.timeout = asyncio.timeout_at(self._deadline)
        self._is_held = False

    def end(self) -> None:
        """End the call as soon as it may."""
        self._deadline = asyncio.get_running_loop().time()
        if not self._is_held and not self.timeout.expired():
            self.timeout.reschedule(self._deadline)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Put off the end: a message that is being sent can't be taken back, and gRPC takes no status meanwhile."""
        self._is_held = True
        self.timeout.reschedule(None)
        try:
            yield
        finally:
            self._is_held = False
            self.timeout.reschedule(self._deadline)


class Lifetimes:
    """Those of all calls of a server."""

    def __init__(self) -> None:
        self._open: set[Lifetime] = set()
        self._closed = False

    def close(self) -> None:
        """End all calls, those that are yet to come too."""
        self._closed = True
        for lifetime in self._open:
            lifetime.end()

    @asynccontextmanager
    async def of(self, caller: Identity) -> AsyncIterator[Lifetime]:
        """Bounds what is done within.

        Raises:
            ShutdownError: the server is stopping.
            UnauthenticatedError: the certificate has expired.
        """
        if self._closed:
            raise ShutdownError
        lifetime = Lifetime((caller.valid_until - datetime.now(UTC)).total_seconds())
        try:
            async with lifetime.timeout:
                self._open.add(lifetime)
                try:
                    yield lifetime
                finally:
                    self._open.discard(lifetime)
        except TimeoutError:
            if not lifetime.timeout.expired():
                raise
            raise self._end(caller) from None

    def _end(self, caller: Identity) -> Exception:
        return ShutdownError() if self._closed else identity.expired(caller)
