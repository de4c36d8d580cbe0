"""Whatever a client sends, valid or not: it is answered, soon, and never with a fault of the server.

Each RPC is tried, over a real connection, with bytes that are no message and with messages of any fields.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from fuzzing import TRICKY_TEXT, bounded, known, messages
from jobworker.v1.worker_service_pb2 import GetOutputRequest, ListJobsRequest, StartRequest, WatchRequest
from jobworker_server import service
from jobworker_server.gate import Duplex, Stream
from server_testing import TIMEOUT, Client, ServerProcess

ACCEPTABLE = {
    grpc.StatusCode.OK,
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.OUT_OF_RANGE,
}
OPEN_ENDED = ("Wait", "GetOutput", "GetStats", "Attach", "Watch")
"""They may wait for what does not come."""
STREAM_SECONDS = 0.2
HARMLESS = [["true"], ["/does/not/exist"], ["/"], [""], ["\0"], ["true", "\0"], ["x" * 5000], []]
"""What is started: these tests may run as root."""


@pytest.fixture(scope="module")
def jobs(full: Client) -> list[str]:
    """One that runs, one that has ended, and one that could not be executed."""
    running = full.start("sh", "-c", "echo out; exec sleep 1000", stdin=True).id
    ended = full.wait(full.start("sh", "-c", "echo out; echo err >&2").id)[0].id
    return [running, ended]


@pytest.fixture(scope="module")
def texts(jobs: list[str]) -> st.SearchStrategy[str]:
    token = base64.urlsafe_b64encode(f"{1 << 70} {jobs[0]}".encode()).decode()
    tricks = [*jobs, jobs[0][:8], jobs[0].upper(), f"../{jobs[0]}", token, *TRICKY_TEXT]
    return st.sampled_from(tricks) | st.text(max_size=40)


def code_of(client: Client, method: str, data: list[bytes]) -> grpc.StatusCode:
    """How the server answers these bytes."""
    is_open = method in OPEN_ENDED
    try:
        for _ in _answers(client.channel, method, data, STREAM_SECONDS if is_open else TIMEOUT):
            pass
    except grpc.RpcError as error:
        code: grpc.StatusCode = error.code()
        return grpc.StatusCode.OK if is_open and code is grpc.StatusCode.DEADLINE_EXCEEDED else code
    return grpc.StatusCode.OK


def _answers(channel: Any, method: str, data: list[bytes], timeout: float) -> Iterable[bytes]:
    rpc, path = service.RPCS[method], f"/{service.NAME}/{method}"
    answers: Iterable[bytes]
    if isinstance(rpc, Duplex):
        answers = channel.stream_stream(path)(iter(data), timeout=timeout)
    elif isinstance(rpc, Stream):
        answers = channel.unary_stream(path)(data[0], timeout=timeout)
    else:
        answers = [channel.unary_unary(path)(data[0], timeout=timeout)]
    return answers


def harmless(message: Message, argv: list[str]) -> Message:
    """The request, but for what it would run."""
    if isinstance(message, StartRequest):
        message.ClearField("argv")
        message.argv.extend(argv)
        message.ClearField("env")
    return message


@pytest.mark.parametrize("method", service.RPCS)
@bounded
@given(data=st.lists(st.binary(max_size=200), min_size=1, max_size=3))
def test_bytes_that_are_no_request(full: Client, method: str, data: list[bytes]) -> None:
    if method == "Start" and any(b"\x0a" in part for part in data):
        return  # field 1 is the command, and nobody knows what they spell
    assert code_of(full, method, data) in ACCEPTABLE


@pytest.mark.parametrize("method", service.RPCS)
@bounded
@given(data=st.data())
def test_requests_of_any_fields(full: Client, texts: st.SearchStrategy[str], method: str, data: st.DataObject) -> None:
    kind = service.RPCS[method].request
    asked = data.draw(st.lists(messages(kind, texts), min_size=1, max_size=3))
    argv = data.draw(st.sampled_from(HARMLESS))
    sent = [harmless(message, argv).SerializeToString() for message in asked]
    assert code_of(full, method, sent) in ACCEPTABLE


@pytest.mark.parametrize("method", service.RPCS)
def test_requests_that_were_found_before(full: Client, method: str) -> None:
    for message in known(service.RPCS[method].request):
        assert code_of(full, method, [message.SerializeToString()]) in ACCEPTABLE, message


@bounded
@given(token=st.text(max_size=60) | st.binary(max_size=60).map(lambda data: base64.urlsafe_b64encode(data).decode()))
def test_page_tokens(full: Client, token: str) -> None:
    assert code_of(full, "ListJobs", [ListJobsRequest(page_token=token).SerializeToString()]) in ACCEPTABLE


@bounded
@given(number=st.integers(), job_id=st.uuids())
def test_page_tokens_that_look_right(full: Client, number: int, job_id: object) -> None:
    token = base64.urlsafe_b64encode(f"{number} {job_id}".encode()).decode()
    assert code_of(full, "ListJobs", [ListJobsRequest(page_token=token).SerializeToString()]) in ACCEPTABLE


@pytest.fixture(scope="module")
def cursor(full: Client) -> str:
    """One that the server gave."""
    call = full.stub.Watch(WatchRequest(), timeout=TIMEOUT)
    found: str = next(call).cursor
    call.cancel()
    return found


@bounded
@given(data=st.data())
def test_cursors(full: Client, cursor: str, data: st.DataObject) -> None:
    """Changed at any place, and with any number."""
    position = data.draw(st.integers(0, len(cursor)))
    changed = cursor[:position] + data.draw(st.text(max_size=30)) + cursor[data.draw(st.integers(0, len(cursor))) :]
    assert code_of(full, "Watch", [WatchRequest(cursor=changed).SerializeToString()]) in ACCEPTABLE


@bounded
@given(
    offset=st.integers(0, (1 << 64) - 1),
    tail=st.none() | st.integers(0, (1 << 64) - 1),
    end=st.none() | st.integers(0, (1 << 64) - 1),
    follow=st.booleans(),
)
def test_parts_of_the_output(
    full: Client, jobs: list[str], offset: int, tail: int | None, end: int | None, follow: bool
) -> None:
    request = GetOutputRequest(job_id=jobs[1], offset=offset, follow=follow, tail_lines=tail, end_offset=end)
    assert code_of(full, "GetOutput", [request.SerializeToString()]) in ACCEPTABLE


@pytest.fixture(scope="module", autouse=True)
def unharmed(server: ServerProcess, full: Client) -> Iterator[None]:
    """At the end the server is what it was, and has found no fault of its own."""
    yield
    assert server.process.poll() is None
    assert full.start("true").id
    assert [line for line in server.log.splitlines() if " ERROR " in line] == []
    assert "Traceback" not in server.log
