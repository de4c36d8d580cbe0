"""Live output, broken pipes and connections, and Ctrl-C."""

from __future__ import annotations

import os
import pty
import signal
import threading
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from cli_process import TIMEOUT_SECONDS, Cli, Spawn
from jobworker.v1 import job_pb2
from jobworker.v1 import worker_service_pb2 as api
from scripted_server import ScriptedServer, chunk, job, refusal

if TYPE_CHECKING:
    import subprocess


class LiveJob:
    """A job that prints a line, then goes on until it is stopped, or for ever."""

    def __init__(self, server: ScriptedServer) -> None:
        self._service = server.service
        self._service.jobs = [job()]
        self.id = self._service.jobs[0].id
        self.streaming = threading.Event()
        self.stopped = threading.Event()
        self._service.answers |= {"GetOutput": self._output, "Stop": self._stop}

    def end(self, number: int) -> None:
        reason = job_pb2.EXIT_REASON_STOPPED
        self._service.jobs = [job(job_id=self.id, state=job_pb2.JOB_STATE_STOPPED, signal=number, reason=reason)]
        self.stopped.set()

    def _output(self, _request: Any, context: Any) -> Iterator[api.GetOutputResponse]:
        context.add_callback(self.stopped.set)
        yield api.GetOutputResponse(chunks=[chunk(b"line\n", 100)])
        self.streaming.set()
        self.stopped.wait(TIMEOUT_SECONDS)

    def _stop(self, request: api.StopRequest, _context: Any) -> api.StopResponse:
        self.end(9 if request.force else 15)
        return api.StopResponse(job=self._service.jobs[0])


@pytest.fixture
def live(server: ScriptedServer) -> LiveJob:
    return LiveJob(server)


def first_line(process: subprocess.Popen[bytes]) -> bytes:
    assert process.stdout is not None
    return process.stdout.readline()


@pytest.mark.parametrize("command", [["run", "x"], ["logs"]])
def test_lines_show_at_once(live: LiveJob, spawn: Spawn, command: list[str]) -> None:
    process = spawn(*command, *([live.id] if command == ["logs"] else []))
    assert first_line(process) == b"line\n"
    assert process.poll() is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_run_stops_the_job(live: LiveJob, spawn: Spawn, server: ScriptedServer, number: int) -> None:
    process = spawn("run", "x")
    first_line(process)
    process.send_signal(number)
    assert process.wait(TIMEOUT_SECONDS) == 128 + 15
    (stop,) = server.service.requests_of(api.StopRequest)
    assert (stop.job_id, stop.force) == (live.id, False)


def test_a_second_ctrl_c_kills_the_job(live: LiveJob, spawn: Spawn, server: ScriptedServer) -> None:
    asked = threading.Event()

    def slow_stop(request: api.StopRequest, context: Any) -> api.StopResponse:
        if not request.force:
            asked.set()
            live.stopped.wait(TIMEOUT_SECONDS)
            return api.StopResponse(job=server.service.jobs[0])
        return live._stop(request, context)

    server.service.answers["Stop"] = slow_stop
    process = spawn("run", "x")
    first_line(process)
    process.send_signal(signal.SIGINT)
    assert asked.wait(TIMEOUT_SECONDS)
    process.send_signal(signal.SIGINT)
    assert process.wait(TIMEOUT_SECONDS) == 128 + 9


def test_at_a_terminal_a_stop_that_takes_long_is_told(live: LiveJob, spawn: Spawn, server: ScriptedServer) -> None:
    def slow_stop(*_: Any) -> api.StopResponse:
        live.stopped.wait(TIMEOUT_SECONDS)
        return api.StopResponse(job=server.service.jobs[0])

    server.service.answers["Stop"] = slow_stop
    terminal, remote = pty.openpty()
    with open(terminal, "rb", buffering=0) as shown:
        process = spawn("run", "x", stderr=remote)
        os.close(remote)
        first_line(process)
        process.send_signal(signal.SIGINT)
        told = b""
        while not told.endswith(b"\n"):  # a terminal may hand on a line in pieces
            told += shown.read(4096)
        assert told == b"waiting for the job to end; another Ctrl-C kills it\r\n"
        live.end(15)
        assert process.wait(TIMEOUT_SECONDS) == 128 + 15


@pytest.mark.usefixtures("live")
def test_ctrl_c_during_the_start_stops_the_job(spawn: Spawn, server: ScriptedServer) -> None:
    starting, go_on = threading.Event(), threading.Event()

    def slow_start(*_: Any) -> api.StartResponse:
        starting.set()
        go_on.wait(TIMEOUT_SECONDS)
        return api.StartResponse(job=server.service.jobs[0])

    server.service.answers["Start"] = slow_start
    process = spawn("run", "x")
    assert starting.wait(TIMEOUT_SECONDS)
    process.send_signal(signal.SIGINT)
    go_on.set()
    assert process.wait(TIMEOUT_SECONDS) == 128 + 15


def test_a_refused_stop_is_told_and_the_job_goes_on(live: LiveJob, spawn: Spawn, server: ScriptedServer) -> None:
    server.service.answers["Stop"] = refusal("PERMISSION_DENIED", "NOT_ALLOWED", "you may not stop")
    process = spawn("run", "x")
    first_line(process)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    assert process.stderr.readline() == b"error: you may not stop\n"
    live.end(15)
    assert process.wait(TIMEOUT_SECONDS) == 143


def test_run_stops_the_job_when_its_output_is_closed(spawn: Spawn, live: LiveJob, server: ScriptedServer) -> None:
    closed = threading.Event()

    def output(*_: Any) -> Iterator[api.GetOutputResponse]:
        yield api.GetOutputResponse(chunks=[chunk(b"line\n")])
        closed.wait(TIMEOUT_SECONDS)
        while not live.stopped.is_set():
            yield api.GetOutputResponse(chunks=[chunk(b"x" * 65536)])

    server.service.answers["GetOutput"] = output
    process = spawn("run", "x")
    first_line(process)
    assert process.stdout is not None
    process.stdout.close()
    closed.set()
    assert process.wait(TIMEOUT_SECONDS) == 128 + 15


def test_logs_into_head_exit_quietly(spawn: Spawn, server: ScriptedServer) -> None:
    def output(_request: Any, context: Any) -> Iterator[api.GetOutputResponse]:
        while context.is_active():
            yield api.GetOutputResponse(chunks=[chunk(b"line\n" * 10000)])

    server.service.answers["GetOutput"] = output
    process = spawn("logs", str(uuid.uuid4()))
    first_line(process)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.wait(TIMEOUT_SECONDS) == 128 + 13
    assert process.stderr.read() == b""


def test_ctrl_c_ends_logs_quietly(live: LiveJob, spawn: Spawn, server: ScriptedServer) -> None:
    process = spawn("logs", live.id)
    first_line(process)
    process.send_signal(signal.SIGINT)
    assert process.wait(TIMEOUT_SECONDS) == 130
    assert process.stderr is not None
    assert process.stderr.read() == b""
    assert server.service.requests_of(api.StopRequest) == []


def test_logs_tell_where_to_go_on_when_the_connection_breaks(
    live: LiveJob, spawn: Spawn, server: ScriptedServer
) -> None:
    process = spawn("--reconnect", "0.3", "logs", live.id)
    first_line(process)
    server.cut()
    assert process.wait(TIMEOUT_SECONDS) == 5
    assert process.stderr is not None
    told = process.stderr.read().decode()
    assert "was lost; trying again for 0.3 seconds\n" in told
    assert "(the output had come to offset 105)\n" in told
    assert "hint: go on with --offset 105\n" in told


def test_run_exits_with_125_when_the_connection_breaks(live: LiveJob, spawn: Spawn, server: ScriptedServer) -> None:
    process = spawn("--reconnect", "0.3", "run", "x")
    first_line(process)
    server.cut()
    assert process.wait(TIMEOUT_SECONDS) == 125
    assert process.stderr is not None
    assert f"`jobworker-cli logs --offset 105 {live.id}`" in process.stderr.read().decode()


@pytest.mark.parametrize("command", ["logs", "run"])
def test_who_is_not_accepted_any_more_is_told_where_to_go_on(cli: Cli, server: ScriptedServer, command: str) -> None:
    live = job()
    server.service.jobs = [live]
    refuse = refusal("UNAUTHENTICATED", "BAD_CERTIFICATE", "the certificate is revoked")

    def output(request: api.GetOutputRequest, context: Any) -> Iterator[api.GetOutputResponse]:
        yield api.GetOutputResponse(chunks=[chunk(b"hello", 100)])
        refuse(request, context)

    server.service.answers["GetOutput"] = output
    done = cli("logs", live.id) if command == "logs" else cli("run", "true")
    assert (done.returncode, done.stdout) == (4 if command == "logs" else 125, "hello")
    assert "error: the certificate is revoked\n" in done.stderr
    assert "--offset 105" in done.stderr
    assert "a client certificate that is accepted (--name or --cert)" in done.stderr
