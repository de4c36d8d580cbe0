"""How long a call may last: until the certificate expires, it may not be made any more, or the server stops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime

from jobworker_server.errors import ShutdownError
from jobworker_server.identity import Identity

STUCK_SECONDS = 2.0
"""How long the end of a call waits for its client to take a message."""

Check = Callable[[], object]
"""What a call is held against. Raises CallError where it may not be made, or not be made any more."""


class Lifetime:
    """The time that one call has. Within :meth:`held` it ends a little later."""

    def __init__(self, seconds: float) -> None:
        self._deadline = asyncio.get_running_loop().time() + seconds
        self.timeout = asyncio.timeout_at(self._deadline)
        self._is_held = False
        self._checks: list[Check] = []
        self.reason: Exception | None = None
        """Why the call was ended; None: its time is over."""

    def require(self, check: Check) -> None:
        """Hold the call against ``check``, now and after each change of what calls are held against.

        Raises:
            CallError: it may not be made.
        """
        check()
        self._checks.append(check)

    def check(self) -> None:
        """Hold the call against its checks again, and end it with what the first of them says that it fails."""
        try:
            for check in self._checks:
                check()
        except Exception as error:  # noqa: BLE001  one with a fault is not passed, and the other calls go on
            self.end(error)

    def end(self, reason: Exception) -> None:
        """End the call as soon as it may, with this error; the first one stands."""
        self.reason = self.reason or reason
        self._deadline = min(self._deadline, asyncio.get_running_loop().time())
        self._reschedule()

    @contextmanager
    def held(self) -> Iterator[None]:
        """Put off the end while a message is sent, but not for ever: the client may have stopped reading.

        What gRPC has of the message then stays with it until the client reads on, or is gone; the status follows it.
        """
        self._is_held = True
        self._reschedule()
        try:
            yield
        finally:
            self._is_held = False
            self._reschedule()

    def _reschedule(self) -> None:
        if not self.timeout.expired():
            self.timeout.reschedule(self._deadline + STUCK_SECONDS if self._is_held else self._deadline)


class Lifetimes:
    """Those of all calls of a server."""

    def __init__(self) -> None:
        self._open: set[Lifetime] = set()
        self._closed = False

    def close(self) -> None:
        """End all calls, those that are yet to come too."""
        self._closed = True
        for lifetime in self._open:
            lifetime.end(ShutdownError())

    def check(self) -> None:
        """Hold all open calls against their checks, and end those that fail: to be done after each change of these."""
        for lifetime in self._open:
            lifetime.check()

    @asynccontextmanager
    async def of(self, caller: Identity) -> AsyncIterator[Lifetime]:
        """Bounds what is done within.

        Raises:
            ShutdownError: the server is stopping.
            UnauthenticatedError: the certificate, or the token, has expired.
            CallError: the call failed a check, see :meth:`Lifetime.require`.
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
            raise (lifetime.reason or caller.expired()) from None
