"""What one client may ask of the server, so that there is enough left for the others.

A client is an owner: two certificates of one owner share what it may do. Who calls more often than may be is slowed
down first, which a program in a loop never notices, and refused only where its calls would wait for long.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from jobworker_server.bucket import Bucket
from jobworker_server.errors import QuotaError

LONGEST_WAIT_SECONDS = 1.0
"""A call that would have to wait longer for its turn is refused."""
_SENT_AT_ONCE = 8 << 20
"""Bytes that all calls of a client may be sending at once: unread, it stays in memory, several times."""
_MOST_OF_A_CALL = 1 << 20
_LEAST_OF_A_CALL = 16 << 10
_PARTS = 4
"""Of so many each call takes one of what is left."""
_MOST_RECEIVED = 8
"""Requests of a client that may be on their way at once: their parts stay in memory until they are whole."""
_STREAM_RETRY_SECONDS = 1.0
_MOST_CLIENTS = 10_000
"""Of so many it is known how often they called; those that are forgotten may begin anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotas:
    """What clients may ask; docs/security.md tells why by default so much."""

    calls_per_second: float | None = 500.0
    """Calls of one client, on average; None: no bound."""
    burst: int = 1000
    """Calls that it may make at once where it made few before."""
    refusals_per_second: float | None = 10.0
    """Calls of one certificate, on average, that are looked at and refused for want of an identity; None: no bound."""
    streams: int | None = 256
    """Calls of one client that may be open at once, such as followers and waits; None: no bound."""
    message_bytes: int = 4 << 20
    """The largest message that a client may send."""
    connections: int = 4096
    """Connections that may be open at once, of all clients together, where there are twice as many descriptors."""
    handshake_seconds: float = 10.0
    """How long a client may take to open a connection."""
    idle_seconds: float | None = 600.0
    """How long a connection may be open without a call; None: for ever."""


class _Client:
    """What one client has done."""

    __slots__ = ("calls", "open", "receiving", "sending")

    def __init__(self, calls: Bucket) -> None:
        self.calls = calls
        self.open = 0
        self.receiving = asyncio.Semaphore(_MOST_RECEIVED)
        self.sending = 0
        """Bytes that its calls may be sending at the moment."""


class Accounts:
    """What clients of one server have asked of it, within bounded memory."""

    def __init__(self, quotas: Quotas, now: Callable[[], float] = time.monotonic) -> None:
        self._quotas = quotas
        self._now = now
        self._clients: OrderedDict[str, _Client] = OrderedDict()
        """By owner, the one who called last at the end."""

    @asynccontextmanager
    async def call_of(self, owner: str) -> AsyncIterator[Share]:
        """Bounds a call: it begins when it is its turn. What is given bounds what it does from then on.

        Raises:
            QuotaError: its turn is too far away, or the client has too many calls open.
        """
        client = self._client(owner)
        wait = self._wait_of_call(client)
        if self._quotas.streams is not None and client.open >= self._quotas.streams:
            raise QuotaError(
                "TOO_MANY_STREAMS",
                f"{client.open} calls of {owner} are open, which is the most that this server allows; end some",
                _STREAM_RETRY_SECONDS,
            )
        client.open += 1
        try:
            if wait:
                await asyncio.sleep(wait)
            share = Share(self, client)
            try:
                yield share
            finally:
                share.send_nothing()
        finally:
            client.open -= 1

    def _client(self, owner: str) -> _Client:
        client = self._clients.get(owner)
        if client is None:
            calls = Bucket(self._quotas.calls_per_second, self._quotas.burst, self._now())
            client = self._clients[owner] = _Client(calls)
            self._forget()
        self._clients.move_to_end(owner)
        return client

    def _forget(self) -> None:
        """Those who called longest ago, but not those who have calls open."""
        if len(self._clients) > _MOST_CLIENTS:
            oldest = next((owner for owner, client in self._clients.items() if not client.open), None)
            if oldest is not None:
                del self._clients[oldest]

    def _wait_of_call(self, client: _Client) -> float:
        """How long a call of the client has to wait for its turn, which it takes by this."""
        now = self._now()
        wait = client.calls.wait(now)
        if wait > LONGEST_WAIT_SECONDS:
            raise QuotaError(
                "RATE_LIMITED",
                f"too many calls: this server takes {self._quotas.calls_per_second:g} a second of one client; "
                "try again in a moment",
                wait,
                omitted=client.calls.omitted(now),
            )
        return client.calls.take(now)

    def take(self, client: _Client, tokens: float) -> float:
        """Take so many calls: how long the client has to wait until it really has them."""
        return client.calls.take(self._now(), tokens)


class Share:
    """What a call may do of what its client may do in all."""

    def __init__(self, accounts: Accounts, client: _Client) -> None:
        self._accounts = accounts
        self._client = client
        self._sending = 0

    def sendable_bytes(self) -> int:
        """How much output to send next, now that what was sent before is on its way.

        A part of what the other calls leave: theirs may be stuck, and then stays in memory.
        """
        self.send_nothing()
        left = _SENT_AT_ONCE - self._client.sending
        self._sending = max(_LEAST_OF_A_CALL, min(left // _PARTS, _MOST_OF_A_CALL))
        self._client.sending += self._sending
        return self._sending

    def send_nothing(self) -> None:
        """What was sent before is on its way, and no more comes for now."""
        self._client.sending -= self._sending
        self._sending = 0

    def receiving(self) -> asyncio.Semaphore:
        """Within it the call may receive its request."""
        return self._client.receiving

    async def turn(self, calls: float = 1.0) -> None:
        """Wait until the call may do what is as much work as so many calls."""
        if wait := self._accounts.take(self._client, calls):
            await asyncio.sleep(wait)
