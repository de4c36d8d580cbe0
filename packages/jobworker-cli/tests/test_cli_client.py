"""The Python client against a server: requests, prefixes of ids, pages, errors, accidents."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from jobworker.v1 import job_pb2
from jobworker.v1 import worker_service_pb2 as api
from jobworker_cli import errors
from jobworker_cli.client import Client, Credentials
from jobworker_cli.fence import Limits
from jobworker_cli.models import JobState, Stream
from scripted_server import ScriptedServer, chunk, exited, job, refusal


def test_tls_1_3(client: Client, server: ScriptedServer) -> None:
    list(client.list())
    assert server.service.tls_versions == {b"TLSv1.3"}


def test_start_sends_what_it_was_given(client: Client, server: ScriptedServer) -> None:
    server.service.jobs = [job(("ls", "-l"), limits=job_pb2.Limits(pids=5))]
    started = client.start(["ls", "-l"], cwd="/srv", env={"A": "1"}, labels={"team": "a"}, timeout=1.5)
    assert (started.argv, started.state, started.limits) == (("ls", "-l"), JobState.RUNNING, Limits(pids=5))
    (request,) = server.service.requests_of(api.StartRequest)
    assert (list(request.argv), request.cwd, dict(request.env)) == (["ls", "-l"], "/srv", {"A": "1"})
    assert (dict(request.labels), request.timeout.ToMilliseconds()) == ({"team": "a"}, 1500)


def test_a_start_is_sent_again_with_the_same_request_id(client: Client, server: ScriptedServer) -> None:
    server.service.jobs = [job()]
    fail = refusal("UNAVAILABLE", "SERVER_STOPPING", "the server is stopping")

    def fail_once(request: Any, context: Any) -> Any:
        del server.service.answers["Start"]
        return fail(request, context)

    server.service.answers["Start"] = fail_once
    client.start(["true"])
    client.start(["true"])
    first, again, second = server.service.requests_of(api.StartRequest)
    assert first.request_id == again.request_id != second.request_id
    uuid.UUID(first.request_id)


def test_signals_are_not_sent_again(client: Client, server: ScriptedServer) -> None:
    server.service.answers["Signal"] = refusal("UNAVAILABLE", "SERVER_STOPPING", "the server is stopping")
    with pytest.raises(errors.NoAnswerError, match="the server is stopping"):
        client.signal(str(uuid.uuid4()), "SIGHUP")
    assert len(server.service.requests) == 1


@pytest.mark.parametrize("field", ["argv", "cwd", "env", "labels"])
def test_what_is_not_utf_8_is_refused(client: Client, field: str) -> None:
    bad = "\udcff"
    arguments: dict[str, Any] = {"argv": ["true"], field: {"argv": ["x", bad], "cwd": bad}.get(field, {"k": bad})}
    with pytest.raises(errors.InvalidRequestError, match=f"{field}: it holds bytes that are not UTF-8"):
        client.start(**arguments)


def test_list_fetches_all_pages_as_needed(client: Client, server: ScriptedServer) -> None:
    server.service.jobs = [job() for _ in range(5)]
    listed = client.list(page_size=2, states=[JobState.RUNNING], labels={"a": "b"}, all_owners=True)
    assert next(listed).id == server.service.jobs[0].id
    assert len(server.service.requests) == 1
    assert [found.id for found in listed] == [known.id for known in server.service.jobs[1:]]
    last = server.service.requests[-1]
    assert (last.page_token, list(last.states), dict(last.labels), last.all_owners) == ("4", [2], {"a": "b"}, True)


def test_resolve(client: Client, server: ScriptedServer) -> None:
    ids = ["aaaa0000-0000-4000-8000-000000000000", "aaab0000-0000-4000-8000-000000000000"]
    server.service.jobs = [job(job_id=job_id) for job_id in ids]
    assert client.resolve("AAAB") == ids[1]
    assert server.service.requests[-1].all_owners
    with pytest.raises(errors.AmbiguousIdError) as caught:
        client.resolve("aaa")
    assert [candidate.id for candidate in caught.value.candidates] == ids
    for unknown in ("b", "nonsense", "", "../x"):
        with pytest.raises(errors.JobNotFoundError):
            client.resolve(unknown)


def test_a_whole_id_is_not_looked_up(client: Client, server: ScriptedServer) -> None:
    job_id = str(uuid.uuid4())
    assert client.resolve(job_id.upper()) == job_id
    assert server.service.requests == []


@pytest.mark.parametrize(
    ("code", "reason", "kind"),
    [
        ("NOT_FOUND", "JOB_NOT_FOUND", errors.JobNotFoundError),
        ("UNAUTHENTICATED", "NO_ROLE", errors.NotAuthenticatedError),
        ("PERMISSION_DENIED", "NOT_ALLOWED", errors.PermissionDeniedError),
        ("FAILED_PRECONDITION", "JOB_NOT_RUNNING", errors.JobNotRunningError),
        ("FAILED_PRECONDITION", "JOB_RUNNING", errors.JobRunningError),
        ("FAILED_PRECONDITION", "COMMAND_NOT_FOUND", errors.CommandNotFoundError),
        ("FAILED_PRECONDITION", "COMMAND_NOT_EXECUTABLE", errors.StartFailedError),
        ("FAILED_PRECONDITION", "BAD_WORKING_DIRECTORY", errors.StartFailedError),
        ("INVALID_ARGUMENT", "ARGUMENTS_TOO_LONG", errors.StartFailedError),
        ("FAILED_PRECONDITION", "LIMIT_NOT_ENFORCEABLE", errors.LimitNotEnforceableError),
        ("FAILED_PRECONDITION", "ISOLATION_NOT_AVAILABLE", errors.IsolationNotAvailableError),
        ("RESOURCE_EXHAUSTED", "QUOTA", errors.RefusedError),
        ("UNAVAILABLE", "SERVER_STOPPING", errors.NoAnswerError),
        ("INTERNAL", "INTERNAL", errors.ServerError),
        ("DATA_LOSS", "OF_A_LATER_VERSION", errors.ServerError),
    ],
)
def test_refusals(
    client: Client, server: ScriptedServer, code: str, reason: str, kind: type[errors.ClientError]
) -> None:
    server.service.answers["QueryStatus"] = refusal(code, reason, "what happened")
    with pytest.raises(errors.ClientError, match="what happened") as caught:
        client.status(str(uuid.uuid4()))
    assert type(caught.value) is kind


def test_field_violations_are_told(client: Client, server: ScriptedServer) -> None:
    server.service.answers["Start"] = refusal("INVALID_ARGUMENT", "INVALID_ARGUMENT", "give an absolute path", "cwd")
    with pytest.raises(errors.InvalidRequestError, match=r"^cwd: give an absolute path$"):
        client.start(["true"], cwd="tmp")


def test_a_request_that_is_too_large(client: Client) -> None:
    with pytest.raises(errors.RefusedError, match="larger than the server takes"):
        client.start(["echo", "x" * (5 << 20)])


def test_no_answer_in_time(server: ScriptedServer, certs: Path) -> None:
    release = threading.Event()
    server.service.answers["QueryStatus"] = lambda *_: release.wait(30)
    with Client(server.address, Credentials.from_directory(certs), timeout=0.3) as client:
        with pytest.raises(errors.NoAnswerError, match=r"no answer from localhost:\d+ within 0\.3 seconds"):
            client.status(str(uuid.uuid4()))
        release.set()


def test_stop_has_time_for_the_grace_period(server: ScriptedServer, certs: Path) -> None:
    stopped = job(state=job_pb2.JOB_STATE_STOPPED, signal=15, reason=job_pb2.EXIT_REASON_STOPPED)
    remaining = []

    def stop(_request: Any, context: Any) -> api.StopResponse:
        remaining.append(context.time_remaining())
        return api.StopResponse(job=stopped)

    server.service.answers["Stop"] = stop
    with Client(server.address, Credentials.from_directory(certs), timeout=5) as client:
        assert client.stop(stopped.id, grace=60).signal == 15
        client.stop(stopped.id, grace=60, force=True)
    assert 60 < remaining[0] < 66
    assert remaining[1] < 6


def test_output_arrives_as_it_was_sent(client: Client, server: ScriptedServer) -> None:
    server.service.batches = [[chunk(b"a\xff", 5), chunk(b"b", 7, "stderr")], [], [chunk(b"c", 8)]]
    chunks = list(client.output(str(uuid.uuid4()), offset=5, follow=False, stream=Stream.STDOUT))
    assert [(c.data, c.stream, c.offset) for c in chunks] == [
        (b"a\xff", "stdout", 5),
        (b"b", "stderr", 7),
        (b"c", "stdout", 8),
    ]
    (request,) = server.service.requests
    assert (request.offset, request.follow, request.stream) == (5, False, 1)


def test_an_interrupted_stream_tells_where_to_go_on(client: Client, server: ScriptedServer) -> None:
    release = threading.Event()

    def output(*_: Any) -> Iterator[api.GetOutputResponse]:
        yield api.GetOutputResponse(chunks=[chunk(b"abc", 10)])
        release.wait(30)

    server.service.answers["GetOutput"] = output
    stream = client.output(str(uuid.uuid4()), offset=10)
    assert next(stream).data == b"abc"
    server.cut()
    with pytest.raises(errors.OutputInterruptedError) as caught:
        next(stream)
    release.set()
    assert caught.value.offset == 13


def test_wait_outlives_a_server_that_is_away_for_a_moment(client: Client, server: ScriptedServer) -> None:
    ended = exited(3)
    server.service.jobs = [job(job_id=ended.id)]
    fail = refusal("UNAVAILABLE", "SERVER_STOPPING", "the server is stopping")

    def fail_once(request: Any, context: Any) -> Any:
        del server.service.answers["Wait"]
        server.service.jobs = [ended]
        return fail(request, context)

    server.service.answers["Wait"] = fail_once
    assert client.wait(ended.id).exit_code == 3


def test_wait_does_not_wait_for_a_server_that_never_was(certs: Path) -> None:
    with (
        Client("localhost:1", Credentials.from_directory(certs)) as client,
        pytest.raises(errors.NoAnswerError, match="is jobworker-server running"),
    ):
        client.wait(str(uuid.uuid4()))


def test_a_state_of_a_later_version(client: Client, server: ScriptedServer) -> None:
    server.service.jobs = [job(state=99)]
    with pytest.raises(errors.ServerError) as caught:
        client.status(server.service.jobs[0].id)
    assert caught.value.hint == "update jobworker-cli"


@pytest.mark.parametrize("offset", [-1, 1 << 64])
def test_an_offset_that_can_not_be(client: Client, offset: int) -> None:
    with pytest.raises(errors.InvalidRequestError, match="offset"):
        next(client.output(str(uuid.uuid4()), offset=offset))


@pytest.mark.parametrize("seconds", [-1.0, float("nan"), float("inf")])
def test_a_time_that_can_not_be(client: Client, seconds: float) -> None:
    with pytest.raises(errors.InvalidRequestError, match="grace"):
        client.stop(str(uuid.uuid4()), grace=seconds)


def test_from_config_takes_what_the_command_line_takes(
    server: ScriptedServer, certs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.service.jobs = [job()]
    file = tmp_path / "config.yaml"
    file.write_text(f"contexts:\n  a: {{serverAddress: 'nowhere:1'}}\n  b: {{serverAddress: '{server.address}'}}\n")
    monkeypatch.setenv("JOBWORKER_CERTS", str(certs))
    monkeypatch.delenv("JOBWORKER_SERVER", raising=False)
    with Client.from_config(config=file, context="b", timeout=5) as client:
        assert [found.id for found in client.list()] == [server.service.jobs[0].id]
    with pytest.raises(errors.ConfigurationError, match=r"has no context 'c' \(from the argument context\)"):
        Client.from_config(config=file, context="c")
    with pytest.raises(errors.ConfigurationError, match=r"\(from JOBWORKER_CERTS and the argument name\)"):
        Client.from_config(server=server.address, name="nobody")


def test_jobs_come_as_they_end(client: Client, server: ScriptedServer) -> None:
    server.service.jobs = [exited(n) for n in (1, 2)]
    server.service.answers["Wait"] = lambda *_: api.WaitResponse(jobs=server.service.jobs[1:])
    assert [ended.exit_code for ended in client.as_ended([known.id for known in server.service.jobs])] == [1, 2]
    assert list(client.as_ended([])) == []


def test_a_wait_that_takes_too_long(client: Client, server: ScriptedServer) -> None:
    server.service.jobs = [job()]
    release = threading.Event()
    server.service.answers["Wait"] = lambda *_: release.wait(30)
    with pytest.raises(TimeoutError):
        client.wait(server.service.jobs[0].id, timeout=0.2)
    release.set()
