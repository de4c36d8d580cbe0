"""What one client may ask: who asks for more is told so, and the others notice nothing."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack, contextmanager
from pathlib import Path

import grpc
import pytest

from jobworker.v1.worker_service_pb2 import (
    AttachRequest,
    AttachStart,
    GetOutputRequest,
    ListJobsRequest,
    QueryStatusRequest,
    TerminalSize,
    WaitRequest,
    WatchRequest,
)
from jobworker_server.errors import ConfigError, QuotaError
from jobworker_server.quota_setting import quotas
from jobworker_server.quotas import Accounts, Quotas
from server_testing import TIMEOUT, Authority, Client, Failure, ServerProcess, failing, wait_until

FEW = """
quotas:
  callsPerSecond: 20
  burst: 10
  streams: 8
  messageBytes: 64K
  handshake: 3s
  idle: 3s
"""
MANY_CONNECTIONS = 1000
CLIENT_HELLO_CUT_SHORT = bytes.fromhex("1603010200010001fc0303")


@contextmanager
def serving(certs: Path, tmp_path: Path, config: str, authority: Authority) -> Iterator[Callable[[str], Client]]:
    """A server with this configuration; what is given makes clients of it."""
    path = tmp_path / "server.yaml"
    path.write_text(config)
    with ServerProcess(certs, tmp_path / "state", "127.0.0.1:0", "--config", str(path)) as server, ExitStack() as stack:

        def connect(name: str) -> Client:
            client = Client(server.address, authority.client(name, "full"), authority)
            stack.callback(client.close)
            return client

        connect.server = server  # type: ignore[attr-defined]  # for who looks at its process
        yield connect
        connect("cleaner").stop_all()


@pytest.fixture
def few(server_certs: Path, tmp_path: Path, authority: Authority) -> Iterator[Callable[[str], Client]]:
    with serving(server_certs, tmp_path, FEW, authority) as connect:
        yield connect


def server_of(connect: Callable[[str], Client]) -> ServerProcess:
    found: ServerProcess = connect.server  # type: ignore[attr-defined]  # set above
    return found


def try_to_list(client: Client) -> Failure:
    """How a call ended; without a code where it was answered."""
    try:
        with failing() as failure:
            client.stub.ListJobs(ListJobsRequest(), timeout=TIMEOUT)
    except AssertionError:
        return Failure()
    return failure


def test_calls_beyond_the_rate_wait_and_then_are_refused(few: Callable[[str], Client]) -> None:
    eager, other = few("eager"), few("other")
    began = time.monotonic()
    with ThreadPoolExecutor(100) as pool:
        together = [pool.submit(try_to_list, eager) for _ in range(100)]
        other.stub.ListJobs(ListJobsRequest(), timeout=TIMEOUT)
        failures = [future.result() for future in together]
    seconds = time.monotonic() - began
    counts = Counter(failure.reason for failure in failures)
    assert counts[""] >= 8, "the burst, and who had not to wait for long"
    assert counts[""] <= 10 + 20 * (seconds + 1), "what was saved up, and what came to it meanwhile"
    assert sum(counts.values()) == counts[""] + counts["RATE_LIMITED"] + counts["TOO_MANY_STREAMS"]
    for failure in failures:
        if failure.reason:
            assert failure.code is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert failure.retry_seconds is not None
            assert 0 < failure.retry_seconds < 5
    wait_until(lambda: not try_to_list(eager).reason)


def test_program_in_a_loop_is_slowed_down_and_never_refused(few: Callable[[str], Client]) -> None:
    client = few("loop")
    for _ in range(40):
        client.stub.ListJobs(ListJobsRequest(), timeout=TIMEOUT)


def test_streams_are_opened_until_they_are_refused(few: Callable[[str], Client]) -> None:
    greedy, other = few("greedy"), few("other")
    job = greedy.start("sleep", "1000")
    with ExitStack() as stack:
        calls = []
        for _ in range(8):
            call = greedy.stub.GetOutput(GetOutputRequest(job_id=job.id, follow=True), timeout=TIMEOUT)
            stack.callback(call.cancel)
            assert call.initial_metadata()
            calls.append(call)
        with failing() as failure:
            next(greedy.stub.Watch(WatchRequest(), timeout=TIMEOUT))
        assert (failure.reason, failure.code) == ("TOO_MANY_STREAMS", grpc.StatusCode.RESOURCE_EXHAUSTED)
        assert failure.retry_seconds
        again = few("greedy")  # another connection and another certificate of the same owner
        assert try_to_list(again).reason == "TOO_MANY_STREAMS"
        other.stub.QueryStatus(QueryStatusRequest(job_id=job.id), timeout=TIMEOUT)
        calls[0].cancel()
        wait_until(lambda: not try_to_list(again).reason)


def test_message_beyond_the_size_is_refused(few: Callable[[str], Client]) -> None:
    client = few("big")
    with failing() as failure:
        client.start("true", "x" * (65 << 10))
    assert failure.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert client.start("true", "x" * (60 << 10)).id


def connections(server: ServerProcess) -> int:
    return sum(name.startswith("socket:") for name in server.open_files())


@pytest.mark.parametrize("beginning", [b"", CLIENT_HELLO_CUT_SHORT, b"GET / HTTP/1.1\r\n\r\n", b"\0" * 1000])
def test_connections_that_are_not_opened_are_closed(few: Callable[[str], Client], beginning: bytes) -> None:
    server, client = server_of(few), few("patient")
    call = client.stub.Watch(WatchRequest())
    assert call.initial_metadata()
    before = connections(server)
    with ExitStack() as stack:
        for _ in range(100):
            sock = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            sock.sendall(beginning)
        client.stub.ListJobs(ListJobsRequest(), timeout=TIMEOUT)
        wait_until(lambda: connections(server) <= before)
        few("new").stub.ListJobs(ListJobsRequest(), timeout=TIMEOUT)
    assert call.is_active()
    call.cancel()


def test_handshake_a_byte_at_a_time_is_given_up(few: Callable[[str], Client]) -> None:
    server = server_of(few)
    with socket.create_connection(("127.0.0.1", server.port)) as sock:
        sock.settimeout(TIMEOUT)
        sent = 0
        try:
            for byte in CLIENT_HELLO_CUT_SHORT + bytes(500):
                sock.sendall(bytes([byte]))
                sent += 1
                sock.settimeout(0.05)
                try:
                    if sock.recv(1) == b"":
                        break
                except TimeoutError:
                    continue
        except ConnectionError:
            pass
        assert sent < 200, "it was hung up on long before"


def test_idle_connections_are_closed_and_those_with_a_call_are_not(few: Callable[[str], Client]) -> None:
    server, idle, busy = server_of(few), few("idle"), few("busy")
    before = connections(server)
    call = busy.stub.Watch(WatchRequest())
    assert call.initial_metadata()
    idle.stub.ListJobs(ListJobsRequest(), timeout=TIMEOUT)
    assert connections(server) >= before + 2
    wait_until(lambda: connections(server) <= before + 1)
    assert call.is_active()
    idle.stub.ListJobs(ListJobsRequest(), timeout=TIMEOUT)
    call.cancel()


def test_more_connections_than_descriptors_leave_enough_for_calls(
    server_certs: Path, tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server is started with few descriptors, and may have no more."""
    monkeypatch.setattr("sys.executable", str(_with_few_descriptors(tmp_path)))
    with serving(server_certs, tmp_path, "quotas: {handshake: 2s}", authority) as connect, ExitStack() as stack:
        monkeypatch.undo()
        client, server = connect("inside"), server_of(connect)
        job = client.start("sleep", "1000")
        for _ in range(MANY_CONNECTIONS):
            sock = stack.enter_context(socket.socket())
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", server.port))
        for _ in range(20):
            assert client.start("true").id
        call = client.stub.GetOutput(GetOutputRequest(job_id=job.id, follow=True))
        assert call.initial_metadata()
        call.cancel()
        stack.close()
        wait_until(lambda: try_to_list(connect("new")).code is None)


def _with_few_descriptors(tmp_path: Path) -> Path:
    import sys  # noqa: PLC0415  # its executable is replaced meanwhile

    wrapper = tmp_path / "python"
    wrapper.write_text(f'#!/bin/sh\nulimit -n 256\nexec {sys.executable} "$@"\n')
    wrapper.chmod(0o755)
    return wrapper


def test_jobs_have_the_limit_on_descriptors_that_the_server_was_started_with(
    server_certs: Path, tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys  # noqa: PLC0415  # as above

    wrapper = tmp_path / "python"
    wrapper.write_text(f'#!/bin/sh\nulimit -S -n 300\nexec {sys.executable} "$@"\n')
    wrapper.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(wrapper))
    with serving(server_certs, tmp_path, "quotas: {}", authority) as connect:
        monkeypatch.undo()
        limits = Path(f"/proc/{server_of(connect).process.pid}/limits").read_text()
        match = re.search(r"Max open files +(\d+) +(\d+)", limits)
        assert match
        assert match[1] == str(min(int(match[2]), 65536)), "the server took what it could get"
        client = connect("ann")
        job = client.start("sh", "-c", "ulimit -S -n; ulimit -H -n")
        assert client.output(job.id).split() == [b"300", match[2].encode()]


def resident_mebibytes(server: ServerProcess) -> int:
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    match = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert match
    return int(match[1]) >> 10


def test_readers_that_do_not_read_leave_memory_and_others_alone(
    server_certs: Path, tmp_path: Path, authority: Authority
) -> None:
    with serving(server_certs, tmp_path, "quotas: {}", authority) as connect, ExitStack() as stack:
        server, slow, other = server_of(connect), connect("slow"), connect("other")
        job = slow.start("head", "-c", "200M", "/dev/zero")
        slow.wait(job.id)
        before = resident_mebibytes(server)
        calls = []
        for _ in range(100):
            call = slow.stub.GetOutput(GetOutputRequest(job_id=job.id, follow=True))
            stack.callback(call.cancel)
            calls.append(call)
        for call in calls:
            assert call.initial_metadata()
        assert len(other.output(job.id)) == 200 << 20, "a reader that reads gets all meanwhile"
        assert resident_mebibytes(server) - before < 300


def test_thousand_connections_leave_the_server_as_it_was(
    server_certs: Path, tmp_path: Path, authority: Authority
) -> None:
    with serving(server_certs, tmp_path, "quotas: {handshake: 2s}", authority) as connect:
        server, client = server_of(connect), connect("ann")
        client.start("true")
        before, open_before = resident_mebibytes(server), connections(server)
        for _ in range(3):
            with ExitStack() as stack:
                for number in range(MANY_CONNECTIONS):
                    sock = stack.enter_context(socket.socket())
                    sock.setblocking(False)
                    sock.connect_ex(("127.0.0.1", server.port))
                    if number % 100 == 0:
                        client.stub.ListJobs(ListJobsRequest(), timeout=TIMEOUT)
            wait_until(lambda: connections(server) <= open_before)
        assert resident_mebibytes(server) - before < 200


def test_searching_and_talking_in_many_calls_leaves_others_their_turn(
    server_certs: Path, tmp_path: Path, authority: Authority
) -> None:
    """Each call asks for more lines of a long log than there are; others change a terminal's size without pause."""
    with serving(server_certs, tmp_path, "quotas: {}", authority) as connect, ExitStack() as stack:
        busy, other = connect("busy"), connect("other")
        job = busy.start("head", "-c", "1G", "/dev/zero")
        terminal = busy.start("sleep", "1000", terminal=TerminalSize(rows=24, columns=80))
        busy.stub.Wait(WaitRequest(job_ids=[job.id]), timeout=3 * TIMEOUT)  # a disk may be slow

        def resizes() -> Iterator[AttachRequest]:
            yield AttachRequest(start=AttachStart(job_id=terminal.id, input=True))
            while True:
                yield AttachRequest(resize=TerminalSize(rows=24, columns=80))

        for _ in range(40):
            stack.callback(busy.stub.GetOutput(GetOutputRequest(job_id=job.id, tail_lines=1 << 60)).cancel)
        for _ in range(10):
            stack.callback(busy.stub.Attach(resizes()).cancel)
        began = time.monotonic()
        for _ in range(20):
            other.stub.ListJobs(ListJobsRequest(), timeout=TIMEOUT)
        assert time.monotonic() - began < 20, "a call of another waits for a second at most"


def test_what_is_known_of_clients_is_bounded() -> None:
    async def call_as_many() -> int:
        accounts = Accounts(Quotas())
        async with accounts.call_of("first"):
            for number in range(12_000):
                async with accounts.call_of(f"client {number}"):
                    pass
            assert "first" in accounts._clients, "it has a call open"
        return len(accounts._clients)

    assert asyncio.run(call_as_many()) <= 10_000


def test_tokens_come_back_with_time() -> None:
    now = 100.0

    async def call(accounts: Accounts, times: int) -> int:
        done = 0
        for _ in range(times):
            try:
                async with asyncio.timeout(0.01), accounts.call_of("ann"):
                    done += 1
            except TimeoutError:  # it would have to wait
                continue
            except QuotaError as error:
                waits.append(error.retry_seconds)
                break
        return done

    waits: list[float] = []
    accounts = Accounts(Quotas(calls_per_second=2, burst=5), now=lambda: now)
    assert asyncio.run(call(accounts, 20)) == 5
    now += 1.5
    assert asyncio.run(call(accounts, 20)) == 1, "those who waited have had two"
    now += 1000
    assert asyncio.run(call(accounts, 20)) == 5
    assert len(waits) == 3
    assert min(waits) > 1


def test_calls_that_are_stuck_leave_less_for_those_that_come() -> None:
    """What all may be sending stays near a bound, however they came, and what one has sent is there for others."""

    async def open_many() -> tuple[list[int], int, list[int]]:
        accounts = Accounts(Quotas())
        async with AsyncExitStack() as stack:
            shares = [await stack.enter_async_context(accounts.call_of("ann")) for _ in range(200)]
            stuck = [share.sendable_bytes() for share in shares]
            async with accounts.call_of("bob") as other:
                of_another = other.sendable_bytes()
            for share in shares[1:]:
                share.send_nothing()
            return stuck, of_another, [shares[1].sendable_bytes(), shares[1].sendable_bytes()]

    stuck, of_another, later = asyncio.run(open_many())
    assert stuck == sorted(stuck, reverse=True)
    assert (stuck[0], stuck[-1]) == (1 << 20, 16 << 10)
    assert sum(stuck) < 12 << 20
    assert of_another == 1 << 20
    assert later == [1 << 20, 1 << 20]


def test_everything_can_be_set() -> None:
    said = {
        "callsPerSecond": 2.5, "burst": 3, "refusalsPerSecond": 1, "streams": "none", "messageBytes": "1M",
        "connections": 10, "handshake": "5s", "idle": "none",
    }  # fmt: skip
    assert quotas(said) == Quotas(
        calls_per_second=2.5,
        burst=3,
        refusals_per_second=1.0,
        streams=None,
        message_bytes=1 << 20,
        connections=10,
        handshake_seconds=5,
        idle_seconds=None,
    )
    assert quotas({}) == Quotas()


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        (3, "quotas must hold a setting a line"),
        ({"callPerSecond": 3}, "did you mean 'callsPerSecond'"),
        ({"callsPerSecond": 0}, r"quotas\.callsPerSecond: expected a number above 0, or none, not 0"),
        ({"callsPerSecond": True}, "expected a number"),
        ({"callsPerSecond": float("nan")}, "expected a number"),
        ({"burst": "none"}, r"quotas\.burst: expected a whole number"),
        ({"streams": 0}, "expected a whole number, 1 or more"),
        ({"streams": 1.5}, "expected a whole number, 1 or more"),
        ({"messageBytes": "1"}, "expected a size of 4K or more"),
        ({"messageBytes": "3G"}, "less than 2G"),
        ({"connections": "none"}, "expected a whole number"),
        ({"handshake": "0s"}, "expected a time of a second or more"),
        ({"idle": "soon"}, "expected a time such as 10s"),
    ],
)
def test_what_can_not_be_used_is_told(said: object, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        quotas(said)


def test_threads_of_one_client_are_all_answered(few: Callable[[str], Client]) -> None:
    """More of them than may be open at once wait in their own client, or are told; none hangs."""
    client = few("threads")
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(try_to_list(client).reason)) for _ in range(200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)
    assert len(found) == 200
    assert set(found) <= {"", "RATE_LIMITED", "TOO_MANY_STREAMS"}
