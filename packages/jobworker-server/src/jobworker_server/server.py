"""A server from its start to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

import grpc

from jobworker_lib import aio
from jobworker_server import service, transport
from jobworker_server.audit import Audit
from jobworker_server.errors import ListenError
from jobworker_server.expiry import Expiry
from jobworker_server.gate import Gate
from jobworker_server.identity import Identification
from jobworker_server.limit_policy import LimitPolicy
from jobworker_server.listening import Address, free_addresses
from jobworker_server.policy import PolicyInForce
from jobworker_server.proxy_socket import ProxySocket
from jobworker_server.quotas import Quotas
from jobworker_server.reloading import Reloading
from jobworker_server.tls import MutualTls

_MOST_PORTS = 5
_GRACE = 2.0
"""Seconds that a stopping server gives its clients to take the end of their calls."""
_CLOSING_SECONDS = 5.0
"""And then gRPC to close their connections: it waits for ever for one whose client reads nothing of what is sent."""


class Server:
    """Serves an engine's jobs. As a context manager it takes calls within the block.

    The engine is the caller's: it is not closed with the server, and jobs run on. ``limits`` tells what jobs may use
    that clients start, ``policy`` who may do what, by default the built-in roles, ``identification`` who calls, and
    ``quotas`` what one client may ask. ``audit`` is told what they do; it is the caller's, too.
    ``proxy`` is where calls come from that clients make through a proxy.
    """

    def __init__(
        self,
        engine: aio.Engine,
        tls: MutualTls,
        listen: Address,
        *,
        limits: LimitPolicy | None = None,
        policy: PolicyInForce | None = None,
        identification: Identification | None = None,
        quotas: Quotas | None = None,
        audit: Audit | None = None,
        proxy: ProxySocket | None = None,
    ) -> None:
        policy = policy or PolicyInForce()
        identification = identification or Identification()
        self._quotas = quotas or Quotas()
        self._gate = Gate(
            engine, policy, limits or LimitPolicy(), self._quotas, lambda: tls.trust, identification, audit or Audit()
        )
        self._tls = tls
        self._reloading = Reloading(
            (*tls.reloadables, *policy.reloadables, *identification.reloadables), self._after_loading
        )
        self._expiry = Expiry(tls.expiring, self._next_expiry, self._gate.recheck)
        self._listen = listen
        self._proxy = proxy
        self._servers: list[grpc.aio.Server] = []

    async def start(self) -> Address:
        """Begin to take calls, and tell where: the address that was asked for, with the real port.

        Raises:
            ListenError: the address can't be listened on.
        """
        addresses = self._listen_for_clients()
        if self._proxy:
            self._listen_for(self._proxy)
        for server in self._servers:
            await server.start()
        self._watching = [asyncio.create_task(watch.run()) for watch in (self._reloading, self._expiry)]
        return Address(self._listen.host, addresses[0].port)

    def _listen_for_clients(self) -> list[Address]:
        """Listen; of free ports another is tried where somebody takes one between its choice and gRPC's binding it."""
        for _ in range(1 if self._listen.port else _MOST_PORTS):
            addresses = free_addresses(self._listen)
            server = self._new_server(self._gate, len(addresses))
            try:
                for address in addresses:
                    server.add_secure_port(str(address), self._tls.server_credentials())
            except RuntimeError:
                self._servers.remove(server)
            else:
                return addresses
        raise ListenError(f"can't listen on {address}: it was taken a moment ago; try again")

    def _new_server(self, gate: Gate, listeners: int) -> grpc.aio.Server:
        server = grpc.aio.server(options=transport.options(self._quotas, listeners))
        service.add_to(server, gate)
        self._servers.append(server)
        return server

    def _listen_for(self, proxy: ProxySocket) -> None:
        address = proxy.prepare()
        try:
            self._new_server(self._gate.behind_proxy(), 1).add_insecure_port(address)
        except RuntimeError:
            raise ListenError(f"can't listen on {proxy.path}; may the server's user write to its directory?") from None
        proxy.close_to_others()

    def _after_loading(self) -> None:
        self._gate.recheck()
        self._expiry.tell(datetime.now(UTC))

    def _next_expiry(self, now: datetime) -> datetime:
        return self._tls.trust.next_expiry(now)

    def reload(self, then: Callable[[], None] | None = None) -> None:
        """Read again what the server has from files; without it that is done when they change.

        ``then`` is called when it is done, whether the files could be used or not.
        """
        self._reloading.ask(then)

    async def stop(self) -> None:
        """Take no more calls, and end those that are open with UNAVAILABLE; done in a few seconds at most."""
        self._gate.close()
        stopping = [asyncio.create_task(server.stop(_GRACE)) for server in self._servers]
        await asyncio.wait(stopping, timeout=_GRACE + _CLOSING_SECONDS)
        if self._proxy:
            self._proxy.remove()
        unfinished = (*self._watching, *self._gate.unfinished)
        for task in unfinished:
            task.cancel()
        await asyncio.gather(*unfinished, return_exceptions=True)

    async def __aenter__(self) -> Self:
        self.address = await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()
