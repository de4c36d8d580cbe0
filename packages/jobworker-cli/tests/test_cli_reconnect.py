"""Connections that break in the middle of a stream: it goes on with the next byte, and people are told once."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from cli_process import TIMEOUT_SECONDS, Spawn
from jobworker.v1 import output_pb2
from jobworker.v1 import worker_service_pb2 as api
from jobworker_cli import errors
from jobworker_cli.client import Client, Credentials, Gap
from jobworker_cli.client.outage import Outage
from scripted_server import Answer, ScriptedServer, chunk, exited, job, refusal

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from jobworker_cli.models import Chunk

HEADERS = (("jobworker-api", "v1"),)
OUTPUT = bytes(range(256)) * 20


class FlakyJob:
    """A job whose output is served ten bytes at a time; at some offsets it pauses until the connection breaks."""

    def __init__(self, server: ScriptedServer, breaks: set[int]) -> None:
        self._server = server
        self._breaks = set(breaks)
        self.breaks = frozenset(breaks)
        server.service.jobs = [exited(0, output_bytes=len(OUTPUT))]
        server.service.answers["GetOutput"] = self._output
        self.id = server.service.jobs[0].id
        self.then: Answer | None = None
        """What is answered when connections have broken."""

    def _output(self, request: api.GetOutputRequest, context: Any) -> Iterator[api.GetOutputResponse]:
        context.send_initial_metadata(HEADERS)
        if self.then and not self._breaks:
            self.then(request, context)
        end = request.end_offset if request.HasField("end_offset") else len(OUTPUT)
        begin = end - 30 if request.HasField("tail_lines") else request.offset
        for offset in range(begin, end, 10):
            pauses = offset in self._breaks
            self._breaks.discard(offset)
            yield api.GetOutputResponse(chunks=[chunk(OUTPUT[offset : min(end, offset + 10)], offset)])
            if pauses:
                while context.is_active():
                    threading.Event().wait(0.01)

    def read(self, chunks: Iterable[Chunk]) -> list[Chunk]:
        """Take all chunks; where the job pauses, when all before it has come, break the connection."""
        taken = []
        for part in chunks:
            taken.append(part)
            if part.offset in self.breaks:
                self._server.drop_connections()
        return taken

    def read_from(self, process: subprocess.Popen[bytes], *, json_lines: bool = False) -> tuple[bytes, bytes]:
        """The same of the standard output of a command; and its standard error."""
        assert process.stdout is not None
        assert process.stderr is not None
        out = b""
        while part := process.stdout.readline() if json_lines else process.stdout.read(10):
            out += part
            if (json.loads(part)["offset"] if json_lines else len(out) - 10) in self.breaks:
                self._server.drop_connections()
        return out, process.stderr.read()


def hang_after(first: output_pb2.OutputChunk) -> Answer:
    """Answers with one chunk, and then with nothing until the connection breaks."""

    def output(_request: Any, context: Any) -> Iterator[api.GetOutputResponse]:
        context.send_initial_metadata(HEADERS)
        yield api.GetOutputResponse(chunks=[first])
        while context.is_active():
            threading.Event().wait(0.01)

    return output


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def patient(server: ScriptedServer, certs: Path, told: list[str]) -> Iterator[Client]:
    with Client(server.address, Credentials.from_directory(certs), tell=told.append) as client:
        yield client


def test_no_byte_is_lost_or_doubled(patient: Client, server: ScriptedServer, told: list[str]) -> None:
    flaky = FlakyJob(server, {0, 1230, 1240, 5110})
    chunks = flaky.read(patient.output(flaky.id))
    assert b"".join(part.data for part in chunks) == OUTPUT
    assert [part.offset for part in chunks] == [0, *(part.end for part in chunks[:-1])]
    assert len(server.service.requests_of(api.GetOutputRequest)) == 5
    lost, back = f"the connection to {server.address} was lost", f"connected to {server.address} again"
    assert [text.partition(";")[0] for text in told] == [lost, back] * 4


@pytest.mark.parametrize("reason", ["RATE_LIMITED", "TOO_MANY_STREAMS"])
def test_a_server_that_takes_no_more_calls_is_given_the_time_that_it_asks_for(
    patient: Client, server: ScriptedServer, told: list[str], reason: str
) -> None:
    """After a network failure it may not know yet that the calls that were open are gone."""
    flaky = FlakyJob(server, {1230})
    refuse = refusal("RESOURCE_EXHAUSTED", reason, "too many", retry_seconds=0.3)
    times: list[float] = []

    def refuse_twice(request: Any, context: Any) -> None:
        times.append(time.monotonic())
        if len(times) <= 2:
            refuse(request, context)

    flaky.then = refuse_twice
    assert b"".join(part.data for part in flaky.read(patient.output(flaky.id))) == OUTPUT
    assert len(times) >= 3
    assert all(after - before >= 0.3 for before, after in pairwise(times[:3]))
    assert told[-1].startswith("connected to ")


def test_last_lines_are_not_asked_for_again_where_some_had_come(
    patient: Client, server: ScriptedServer, told: list[str]
) -> None:
    flaky = FlakyJob(server, {len(OUTPUT) - 30})
    assert b"".join(part.data for part in flaky.read(patient.output(flaky.id, tail=3))) == OUTPUT[-30:]
    first, again, following = server.service.requests_of(api.GetOutputRequest)
    assert (first.tail_lines, first.end_offset, first.follow) == (3, len(OUTPUT), False)
    assert not again.HasField("tail_lines")
    assert (again.offset, again.end_offset, again.follow) == (len(OUTPUT) - 20, len(OUTPUT), False)
    assert (following.offset, following.follow) == (len(OUTPUT), True)
    assert len(told) == 2


def test_what_comes_from_now_on_begins_at_the_byte_that_is_next_now(patient: Client, server: ScriptedServer) -> None:
    flaky = FlakyJob(server, set())
    assert list(patient.output(flaky.id, tail=0)) == []
    (request,) = server.service.requests_of(api.GetOutputRequest)
    assert (request.offset, request.HasField("tail_lines")) == (len(OUTPUT), False)


def test_a_silent_stream_is_taken_up_again(
    patient: Client, server: ScriptedServer, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """That the server has accepted it is known from its headers."""
    server.service.jobs = [exited(0)]
    accepted = threading.Event()
    over = Outage.over

    def note(outage: Outage) -> None:
        over(outage)
        accepted.set()

    monkeypatch.setattr(Outage, "over", note)
    answers: list[Callable[[Any], None]] = [lambda _: None]

    def output(_request: Any, context: Any) -> Iterator[api.GetOutputResponse]:
        context.send_initial_metadata(HEADERS)
        if answers:
            answers.pop()
            while context.is_active():
                threading.Event().wait(0.01)
        yield api.GetOutputResponse(chunks=[chunk(b"late", 0)])

    server.service.answers["GetOutput"] = output
    seen: list[bytes] = []
    reader = threading.Thread(
        target=lambda: seen.extend(part.data for part in patient.output(server.service.jobs[0].id))
    )
    reader.start()
    assert accepted.wait(TIMEOUT_SECONDS)
    server.drop_connections()
    reader.join(TIMEOUT_SECONDS)
    assert seen == [b"late"]
    assert len(told) == 2


def test_a_server_that_stops_is_waited_for(patient: Client, server: ScriptedServer, told: list[str]) -> None:
    flaky = FlakyJob(server, set())
    stopping = refusal("UNAVAILABLE", "SERVER_STOPPING", "the server is stopping")
    real = server.service.answers["GetOutput"]

    def stop_once(request: Any, context: Any) -> Iterator[Any]:
        server.service.answers["GetOutput"] = real
        context.send_initial_metadata(HEADERS)
        yield api.GetOutputResponse(chunks=[chunk(OUTPUT[:10], 0)])
        stopping(request, context)

    server.service.answers["GetOutput"] = stop_once
    assert b"".join(part.data for part in patient.output(flaky.id)) == OUTPUT
    assert len(told) == 2


def test_one_that_never_answered_is_not_waited_for(patient: Client, server: ScriptedServer, told: list[str]) -> None:
    server.cut()
    with pytest.raises(errors.NoAnswerError, match="is jobworker-server running"):
        list(patient.output("00000000-0000-4000-8000-000000000000"))
    with pytest.raises(errors.NoAnswerError, match="is jobworker-server running"):
        patient.wait("00000000-0000-4000-8000-000000000000")
    assert told == []


def test_a_refusal_after_the_outage_is_told(patient: Client, server: ScriptedServer) -> None:
    flaky = FlakyJob(server, {0})
    flaky.then = refusal("NOT_FOUND", "JOB_NOT_FOUND", "there is no job")
    with pytest.raises(errors.JobNotFoundError):
        flaky.read(patient.output(flaky.id))


def test_it_is_given_up_after_a_while_with_the_offset(server: ScriptedServer, certs: Path) -> None:
    server.service.answers["GetOutput"] = hang_after(chunk(OUTPUT[:10], 5090))
    with Client(server.address, Credentials.from_directory(certs), reconnect=0.2) as client:
        chunks = client.output("00000000-0000-4000-8000-000000000000", offset=5090)
        assert next(chunks).offset == 5090
        server.cut()
        with pytest.raises(errors.OutputInterruptedError) as caught:
            list(chunks)
    assert caught.value.offset == 5100


def test_wait_tells_too(patient: Client, server: ScriptedServer, told: list[str]) -> None:
    running = job()
    server.service.jobs = [running]

    def break_once(_request: Any, _context: Any) -> api.WaitResponse:
        del server.service.answers["Wait"]
        server.service.jobs = [exited(7, job_id=running.id)]
        server.drop_connections()
        return api.WaitResponse()

    server.service.answers["Wait"] = break_once
    assert patient.wait(running.id).exit_code == 7
    assert len(told) == 2


def test_gaps_are_handed_on(client: Client, server: ScriptedServer) -> None:
    after_gap = chunk(b"new", 100)
    after_gap.gap.begin, after_gap.gap.end = 10, 100
    server.service.batches = [[chunk(b"old", 7)], [after_gap]]
    old, new = client.output("00000000-0000-4000-8000-000000000000")
    assert (old.gap, new.gap) == (None, Gap(10, 100))


@pytest.mark.parametrize("json_lines", [False, True])
def test_logs_go_on_and_say_so_once(spawn: Spawn, server: ScriptedServer, json_lines: bool) -> None:
    flaky = FlakyJob(server, {20, 2000})
    process = spawn("logs", *(["--json"] if json_lines else []), flaky.id)
    out, err = flaky.read_from(process, json_lines=json_lines)
    assert process.wait(TIMEOUT_SECONDS) == 0
    if json_lines:
        offsets = [json.loads(line)["offset"] for line in out.splitlines()]
        assert offsets == list(range(0, len(OUTPUT), 10))
    else:
        assert out == OUTPUT
    assert (
        err.decode().splitlines()
        == [
            f"the connection to {server.address} was lost; trying again for 30 seconds",
            f"connected to {server.address} again",
        ]
        * 2
    )


def test_run_goes_on(spawn: Spawn, server: ScriptedServer) -> None:
    flaky = FlakyJob(server, {100, 4000})
    process = spawn("run", "x")
    out, err = flaky.read_from(process)
    assert (process.wait(TIMEOUT_SECONDS), out) == (0, OUTPUT)
    assert err.count(b"was lost") == err.count(b"again\n") == 2


def test_gaps_are_told_on_the_standard_error(spawn: Spawn, server: ScriptedServer) -> None:
    server.service.jobs = [exited(0)]
    after_gap = chunk(b"new\n", 100)
    after_gap.gap.begin, after_gap.gap.end = 4, 100
    server.service.batches = [[chunk(b"old\n", 0), after_gap, chunk(b"newer\n", 104)]]
    process = spawn("logs", server.service.jobs[0].id)
    out, err = process.communicate(timeout=TIMEOUT_SECONDS)
    assert out == b"old\nnew\nnewer\n"
    assert err == b"96 bytes from offset 4 on were dropped to keep the job's output limit\n"
