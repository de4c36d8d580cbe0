"""What every call passes: identity, policy and the answer to errors, for unary and streaming RPCs alike.

Requests are received here, when the caller is known, so that strangers can't have anything kept or parsed: to gRPC
each RPC is one of many requests, for that of others it receives by itself, and keeps parts of it as long as it takes.

An RPC is served only as a :class:`Unary`, :class:`Stream` or :class:`Duplex`, none of which can be made without its
operation.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Generic, TypeVar

import grpc
from google.protobuf.message import Message

from jobworker_lib import aio
from jobworker_server import proxied, shown
from jobworker_server.access import Access
from jobworker_server.audit import Audit, Entry
from jobworker_server.call import Call
from jobworker_server.conversation import Conversation
from jobworker_server.error_status import internal_status, status_of
from jobworker_server.errors import PermissionDeniedError, UnauthenticatedError
from jobworker_server.identity import Identification, Identity
from jobworker_server.incoming import Incoming
from jobworker_server.lifetime import Lifetime, Lifetimes
from jobworker_server.limit_policy import LimitPolicy
from jobworker_server.policy import Operation, PolicyInForce
from jobworker_server.policy.permit import permit_of
from jobworker_server.quotas import Accounts, Quotas, Share
from jobworker_server.refusals import Refusals
from jobworker_server.shown import Shown
from jobworker_server.trust import Trust

RequestT = TypeVar("RequestT", bound=Message)
ResponseT = TypeVar("ResponseT", bound=Message)
Context = grpc.aio.ServicerContext[Any, Any]

_log = logging.getLogger(__name__)

_ACCEPTED = (("jobworker-api", "v1"),)
"""The headers of a stream: a client knows by them that it was accepted, and so that the server is there."""


class Gate:
    """Lets through who may pass; everything that a call is held against is here.

    ``unfinished`` holds what runs to its end although its caller may be gone.
    """

    def __init__(
        self,
        engine: aio.Engine,
        policy: PolicyInForce,
        limits: LimitPolicy,
        quotas: Quotas,
        trust: Callable[[], Trust],
        identification: Identification,
        audit: Audit,
    ) -> None:
        self._engine = engine
        self._identification = identification
        self._trust = trust
        self._audit = audit
        self._policy = policy
        self._limits = limits
        self._accounts = Accounts(quotas)
        self._refusals = Refusals(quotas)
        self._lifetimes = Lifetimes()
        self._shown = _shown_over_tls
        self.unfinished: set[asyncio.Task[object]] = set()

    def behind_proxy(self) -> Gate:
        """The same gate for calls that come through a proxy, which tells of the clients' certificates."""
        gate = copy.copy(self)
        gate._shown = _shown_to_proxy  # noqa: SLF001  it is one of ours
        return gate

    def recheck(self) -> None:
        """End the open calls that what holds now does not allow any more."""
        self._lifetimes.check()

    def close(self) -> None:
        """End the calls that are open, and let no other through: they fail with UNAVAILABLE."""
        self._lifetimes.close()

    @asynccontextmanager
    async def admit(
        self, operation: Operation, context: Context, incoming: Incoming[Any] | None = None
    ) -> AsyncIterator[Call]:
        """The call, where it may be made; whatever goes wrong in it is answered to the client here.

        ``incoming`` is its request, where it has one alone: it is received here, when it is known who calls.
        """
        entry = self._audit.entry(operation, context.peer(), incoming.request if incoming else None)
        try:
            presented = self._presented(context)
            entry.certificate = presented.certificate
            self._refusals.require_few(presented.certificate)
            presented.require_valid(datetime.now(UTC))
            require_trusted = partial(self._require_trusted, presented)
            require_trusted()
            identify = partial(self._identification.identify, presented.certificate, _metadata(context))
            entry.caller = caller = identify()
            async with self._lifetimes.of(caller) as lifetime:
                lifetime.require(require_trusted)
                if caller.token_valid_until is not None:
                    lifetime.require(identify)  # its key may be taken away
                async with self._accounts.call_of(caller.owner) as share:
                    if incoming:
                        await incoming.receive(share)
                    call = self._permitted(caller, operation, lifetime, share, entry)
                    lifetime.require(call.require_still_allowed)
                    entry.is_admitted = True
                    yield call
            await entry.ended(None)
        except asyncio.CancelledError:
            entry.abandoned()
            raise
        except Exception as error:  # noqa: BLE001  whatever it is, the client is answered, and a fault of ours logged
            is_stranger = isinstance(error, UnauthenticatedError) and not entry.is_admitted
            wait = self._refusals.count(entry.certificate) if is_stranger else 0.0
            await entry.ended(error)
            await _refuse(context, operation, error, wait)

    def _presented(self, context: Context) -> Shown:
        try:
            return self._shown(context)
        except UnauthenticatedError:
            self._refusals.require_few(None)
            raise

    def _require_trusted(self, presented: Shown) -> None:
        self._trust().require_trusted(presented, datetime.now(UTC))

    def _permitted(
        self,
        caller: Identity,
        operation: Operation,
        lifetime: Lifetime,
        share: Share,
        entry: Entry,
    ) -> Call:
        """The call, where the policy allows it: all of one policy, though another may be loaded at any moment."""
        policy = self._policy.current
        access = Access(self._policy, caller)
        scope = access.scope(operation, policy)
        permit = partial(permit_of, policy, caller, self._limits)
        return Call(self._engine, caller, scope, access, permit, share, lifetime, self.unfinished, entry)


@dataclass(frozen=True, slots=True)
class Unary(Generic[RequestT, ResponseT]):
    """An RPC of one response."""

    operation: Operation
    request: type[RequestT]
    answer: Callable[[Call, RequestT], Awaitable[ResponseT]]

    def handler(self, gate: Gate) -> grpc.RpcMethodHandler[Any, Any]:
        """What gRPC calls, behind the gate."""

        async def call(_requests: object, context: Context) -> ResponseT:
            incoming = Incoming(self.request, context)
            async with gate.admit(self.operation, context, incoming) as admitted:
                return await self.answer(admitted, incoming.request())

        return grpc.stream_unary_rpc_method_handler(call, response_serializer=_serialize)


@dataclass(frozen=True, slots=True)
class Stream(Generic[RequestT, ResponseT]):
    """An RPC of many responses; ``answer`` sends each by the function that it is given, which waits for the client."""

    operation: Operation
    request: type[RequestT]
    answer: Callable[[Call, RequestT, Callable[[ResponseT], Awaitable[None]]], Awaitable[None]]

    def handler(self, gate: Gate) -> grpc.RpcMethodHandler[Any, Any]:
        """What gRPC calls, behind the gate."""

        async def call(_requests: object, context: Context) -> None:
            incoming = Incoming(self.request, context)
            async with gate.admit(self.operation, context, incoming) as admitted:
                request = incoming.request()
                await context.send_initial_metadata(_ACCEPTED)  # at once, though there may be nothing to send for long

                async def send(response: ResponseT) -> None:
                    with admitted.lifetime.held():
                        await context.write(response)
                    await asyncio.sleep(0)  # an end that was put off comes now, though there is always more to send

                await self.answer(admitted, request, send)

        return grpc.stream_stream_rpc_method_handler(call, response_serializer=_serialize)


@dataclass(frozen=True, slots=True)
class Duplex(Generic[RequestT, ResponseT]):
    """An RPC of many requests and responses, at the same time."""

    operation: Operation
    """What it does whatever is asked; what else it does, the call is to be asked for: see :meth:`Call.doing`."""
    request: type[RequestT]
    answer: Callable[[Call, Conversation[RequestT, ResponseT]], Awaitable[None]]

    def handler(self, gate: Gate) -> grpc.RpcMethodHandler[Any, Any]:
        """What gRPC calls, behind the gate."""

        async def call(_requests: object, context: Context) -> None:
            async with gate.admit(self.operation, context) as admitted:
                await context.send_initial_metadata(_ACCEPTED)
                await self.answer(admitted, Conversation(context, self.request, admitted.lifetime))

        return grpc.stream_stream_rpc_method_handler(call, response_serializer=_serialize)


Rpc = Unary[Any, Any] | Stream[Any, Any] | Duplex[Any, Any]


def _serialize(message: Message) -> bytes:
    return message.SerializeToString()


def _shown_over_tls(context: Context) -> Shown:
    return shown.over_tls(context.auth_context())


def _shown_to_proxy(context: Context) -> Shown:
    return proxied.shown(_metadata(context))


def _metadata(context: Context) -> Sequence[tuple[str, str | bytes]]:
    return tuple(context.invocation_metadata() or ())


async def _refuse(context: Context, operation: Operation, error: Exception, wait: float) -> None:
    status = status_of(error)
    if status is None:
        error_id = secrets.token_hex(8)
        _log.error("error %s in %s called from %s", error_id, operation, context.peer(), exc_info=error)
        status = internal_status(error_id)
    elif isinstance(error, UnauthenticatedError | PermissionDeniedError):
        _log.warning("refused %s called from %s: %s", operation, context.peer(), error)
    if wait:
        await asyncio.sleep(wait)
    await context.abort_with_status(status)
