"""What every call passes, whichever RPC it is of."""

from __future__ import annotations

import asyncio
import inspect
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message

from jobworker.v1 import worker_service_pb2
from jobworker.v1.worker_service_pb2 import QueryStatusRequest, QueryStatusResponse
from jobworker_lib import aio
from jobworker_server import server, service
from jobworker_server.call import Call
from jobworker_server.conversation import Conversation
from jobworker_server.credentials import CredentialFiles
from jobworker_server.gate import Duplex, Rpc, Stream, Unary
from jobworker_server.listening import Address, free_addresses
from jobworker_server.policy import Operation
from jobworker_server.server import Server
from jobworker_server.tls import MutualTls
from server_testing import TIMEOUT, Authority, failing

METHODS = worker_service_pb2.DESCRIPTOR.services_by_name["WorkerService"].methods_by_name


def test_each_method_of_the_api_is_served_with_its_types() -> None:
    assert set(service.RPCS) == set(METHODS)
    for name, method in METHODS.items():
        rpc = service.RPCS[name]
        assert rpc.request.DESCRIPTOR is method.input_type
        kinds = {(False, False): Unary, (False, True): Stream, (True, True): Duplex}
        assert isinstance(rpc, kinds[method.client_streaming, method.server_streaming])


def test_each_method_of_the_api_has_an_operation_of_its_own() -> None:
    assert {rpc.operation for rpc in service.RPCS.values()} == set(Operation) - {Operation.INPUT}, (
        "that is Attach's too"
    )


@pytest.mark.parametrize("kind", [Unary, Stream, Duplex])
def test_an_rpc_can_not_be_made_without_its_operation(kind: type[object]) -> None:
    assert inspect.signature(kind).parameters["operation"].default is inspect.Parameter.empty


@asynccontextmanager
async def serving(certs: Path, state_dir: Path, authority: Authority, role: str) -> AsyncIterator[grpc.aio.Channel]:
    """A server in this process, and a channel to it."""
    tls = MutualTls(CredentialFiles(certs / "ca.pem", certs / "server.pem", certs / "server.key"))
    pair = authority.client("ann", role)
    credentials = grpc.ssl_channel_credentials(authority.ca.cert_pem, pair.key_pem, pair.cert_pem)
    async with (
        aio.Engine(state_dir) as engine,
        Server(engine, tls, Address("localhost", 0)) as server,
        grpc.aio.secure_channel(str(server.address), credentials) as channel,
    ):
        yield channel


Work = Callable[[grpc.aio.Channel], Awaitable[object]]


@pytest.fixture
def run(server_certs: Path, tmp_path: Path, authority: Authority) -> Callable[[Work, str], None]:
    """Runs something that is given a channel to a server in this process."""

    def run(work: Work, role: str) -> None:
        async def main() -> None:
            async with serving(server_certs, tmp_path, authority, role) as channel:
                await asyncio.wait_for(work(channel), TIMEOUT)

        asyncio.run(main())

    return run


async def call(channel: grpc.aio.Channel, method: str) -> None:
    async for _ in channel.unary_stream(method, request_serializer=bytes)(b""):
        pass


@pytest.mark.parametrize("method", ["/jobworker.v1.WorkerService/Restart", "/jobworker.v1.Other/Start", "/", "/a"])
def test_a_method_that_is_not_in_the_table_does_not_exist(run: Callable[[Work, str], None], method: str) -> None:
    with failing() as failure:
        run(lambda channel: call(channel, method), "full")
    assert failure.code is grpc.StatusCode.UNIMPLEMENTED


def test_a_free_port_that_is_taken_meanwhile_is_not_the_last(
    run: Callable[[Work, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        offered = [[Address("127.0.0.1", taken.getsockname()[1])]]
        monkeypatch.setattr(server, "free_addresses", lambda at: offered.pop() if offered else free_addresses(at))
        run(lambda channel: channel.channel_ready(), "full")
    assert not offered


async def _fault(*_: object) -> QueryStatusResponse:
    raise RuntimeError("the details\nof the fault")


async def _fault_in_stream(_call: Call, _request: Message, send: Callable[[Message], Awaitable[None]]) -> None:
    await send(QueryStatusResponse())
    raise RuntimeError("the details\nof the fault")


async def _fault_in_conversation(_call: Call, conversation: Conversation[Any, Any]) -> None:
    await conversation.during(_receive_for_ever(conversation), _fault_in_talk(conversation))


async def _receive_for_ever(conversation: Conversation[Any, Any]) -> None:
    while await conversation.receive() is not None:
        pass
    await asyncio.Event().wait()


async def _fault_in_talk(conversation: Conversation[Any, Any]) -> None:
    await conversation.send(QueryStatusResponse())
    raise RuntimeError("the details\nof the fault")


FAULTS: dict[str, Rpc] = {
    "duplex": Duplex(Operation.QUERY, QueryStatusRequest, _fault_in_conversation),
    "unary": Unary(Operation.QUERY, QueryStatusRequest, _fault),
    "stream": Stream(Operation.QUERY, QueryStatusRequest, _fault_in_stream),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_of_ours_is_told_by_an_id_that_is_in_the_log(
    run: Callable[[Work, str], None], kind: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(service, "RPCS", {"QueryStatus": FAULTS[kind]})

    with failing() as failure:
        run(lambda channel: call(channel, "/jobworker.v1.WorkerService/QueryStatus"), "full")
    assert (failure.code, failure.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert "details\nof" not in failure.message
    assert failure.metadata is not None
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert failure.metadata["error_id"] in record.getMessage()
    assert record.exc_info is not None
    assert "the details" in str(record.exc_info[1])


@pytest.mark.parametrize("kind", FAULTS)
def test_who_may_not_call_gets_no_further(
    run: Callable[[Work, str], None], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "RPCS", {"QueryStatus": FAULTS[kind]})

    with failing() as failure:
        run(lambda channel: call(channel, "/jobworker.v1.WorkerService/QueryStatus"), "stranger")
    assert (failure.code, failure.reason) == (grpc.StatusCode.PERMISSION_DENIED, "UNKNOWN_ROLE")
