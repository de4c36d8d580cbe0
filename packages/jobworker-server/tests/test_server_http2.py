"""Clients with a good certificate that speak HTTP/2 as nobody should: requests that never come, and worse."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import grpc
import pytest

from jobworker.v1.worker_service_pb2 import ListJobsRequest
from jobworker_server import service
from jobworker_server.gate import Duplex
from raw_http2 import CANCEL, RESET, SETTINGS, RawConnection, frame
from server_testing import TIMEOUT, Authority, Client, ServerProcess, failing

Connect = Callable[..., RawConnection]
LARGEST = 4 << 20
BEGINNING = b"\0" + struct.pack(">I", LARGEST - 64)
"""Of a message, that says how long it is."""
OF_ONE_REQUEST = [name for name, rpc in service.RPCS.items() if not isinstance(rpc, Duplex)]
CONNECTIONS, CALLS = 2, 150  # they would be 1.2 GiB
MOST_MEBIBYTES = 300
MOST_SENDS = 5000


@pytest.fixture
def raw(own_server: ServerProcess, authority: Authority, tmp_path: Path) -> Iterator[Connect]:
    """Makes connections of one owner: ``raw(role)``."""
    with ExitStack() as stack:

        def make(role: str = "observer") -> RawConnection:
            pair = authority.client("mallory", role)
            return stack.enter_context(RawConnection(own_server.port, pair, authority, tmp_path))

        yield make


def mebibytes(server: ServerProcess) -> int:
    """How much memory the server has in use."""
    with open(f"/proc/{server.process.pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) >> 10 for line in status if line.startswith("VmRSS"))


@pytest.mark.parametrize("name", ["ListJobs", "Watch", "Attach"])
def test_requests_that_never_come_whole_take_little_memory(
    own_server: ServerProcess, own_client: Client, raw: Connect, name: str
) -> None:
    before = mebibytes(own_server)
    for _ in range(CONNECTIONS):
        connection = raw("user")
        for _ in range(CALLS):
            connection.call(name, BEGINNING)
        connection.fill(LARGEST - 1024, 1.0)
        own_client.stub.ListJobs(ListJobsRequest(), timeout=TIMEOUT)
    assert mebibytes(own_server) - before < MOST_MEBIBYTES


def test_requests_that_never_come_hold_up_their_own_client_alone(
    own_server: ServerProcess, own_client: Client, raw: Connect, authority: Authority
) -> None:
    connection = raw()
    streams = [connection.call("ListJobs", BEGINNING) for _ in range(20)]
    own_client.stub.ListJobs(ListJobsRequest(), timeout=TIMEOUT)
    same = Client(own_server.address, authority.client("mallory", "observer"), authority)
    try:
        waiting = same.stub.ListJobs.future(ListJobsRequest(), timeout=TIMEOUT)
        for stream in streams:
            connection.send(frame(RESET, 0, stream, CANCEL))
        waiting.result()
    finally:
        same.close()


@pytest.mark.parametrize("name", OF_ONE_REQUEST)
def test_call_without_a_request_is_refused(full: Client, name: str) -> None:
    call: grpc.StreamStreamMultiCallable[bytes, bytes] = full.channel.stream_stream(f"/{service.NAME}/{name}")
    with failing() as failure:
        list(call(iter(()), timeout=TIMEOUT))
    assert (failure.code, failure.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ("request",))


def test_calls_that_are_reset_at_any_point_leave_nothing(
    own_server: ServerProcess, raw: Connect, authority: Authority
) -> None:
    connection = raw("user")
    for name in service.RPCS:
        for data in (b"", BEGINNING, b"\0\0\0\0\0"):
            for _ in range(20):
                stream = connection.call(name, data)
                connection.send(frame(RESET, 0, stream, CANCEL))
        connection.call(name, b"\0\0\0\x10\0abc", ends=True)
    client = Client(own_server.address, authority.client("mallory", "user"), authority)
    try:
        for _ in range(20):
            client.stub.ListJobs(ListJobsRequest(), timeout=TIMEOUT)
    finally:
        client.close()
    assert own_server.stop() == 0
    assert "Traceback" not in own_server.log
    assert "ERROR" not in own_server.log


def test_client_that_reads_nothing_does_not_keep_a_server_from_stopping(
    own_server: ServerProcess, raw: Connect
) -> None:
    """Each of its settings has to be answered, until no answer can be sent any more."""
    connection = raw()
    with suppress(OSError):  # it takes no more, or has hung up
        for _ in range(MOST_SENDS):
            connection.send(frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 65535)) * 100, 1.0)
    assert own_server.stop() == 0
