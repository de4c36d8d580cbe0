"""Watching over the API and with the command line: who may see what, and that nothing is missed or told twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import grpc
import pytest

from conformance.processes import PATIENCE_SECONDS
from harness.api import Api, failing
from harness.certs import Certs
from harness.cli import Cli
from harness.server import Server
from jobworker.v1 import worker_service_pb2
from jobworker.v1.worker_service_pb2 import Event, WatchRequest


@contextmanager
def watching(api: Api, **fields: object) -> Iterator[Iterator[Event]]:
    """The events from now on; the watch has begun."""
    call = api.stub.Watch(WatchRequest(**fields), timeout=PATIENCE_SECONDS)  # type: ignore[arg-type]  # as they are named
    assert next(call).cursor

    def events() -> Iterator[Event]:
        for response in call:
            yield from response.events

    try:
        yield events()
    finally:
        call.cancel()


def run(api: Api) -> str:
    return api.wait(api.start(["true"]).id).id


def until_end_of(job_id: str, events: Iterator[Event]) -> list[str]:
    """The jobs of the events up to the end of this one."""
    seen = []
    for event in events:
        seen.append(event.job_id)
        if event.job_id == job_id and event.type == worker_service_pb2.EVENT_TYPE_ENDED:
            return seen
    raise AssertionError("the stream ended")


@pytest.mark.parametrize("fields", [{}, {"all_owners": True}, {"owner": "carol"}])
def test_a_user_sees_the_events_of_own_jobs_only(
    fields: dict[str, object], server: Server, certs: Certs, api: Api
) -> None:
    with Api(server, certs.client("user", "carol")) as carol, watching(carol, **fields) as events:
        job_id = run(api)
        api.call("Delete", job_id=job_id)
        own = run(carol)
        assert set(until_end_of(own, events)) == {own}


@pytest.mark.parametrize("role", ["full", "readonly", "observer"])
def test_who_may_list_all_jobs_sees_the_events_of_all(role: str, server: Server, certs: Certs, api: Api) -> None:
    with Api(server, certs.client(role, "dave")) as dave, watching(dave, all_owners=True) as events:
        job_id = run(api)
        assert job_id in until_end_of(job_id, events)


def test_a_user_sees_nothing_of_others_however_asked(server: Server, certs: Certs, api: Api) -> None:
    theirs = api.start(["sleep", "1000"]).id
    owner = api.status(theirs).owner
    seen: list[Event] = []

    def collect(events: Iterator[Event]) -> None:
        with suppress(grpc.RpcError):  # the stream is hung up at the end
            seen.extend(events)

    with (
        ThreadPoolExecutor() as pool,
        Api(server, certs.client("user", "carol")) as carol,
        watching(carol, owner=owner) as of_owner,
        watching(carol, job_ids=[theirs], all_owners=True) as of_job,
        watching(carol) as of_own,
    ):
        pool.submit(collect, of_owner)
        pool.submit(collect, of_job)
        api.stop(theirs, force=True)
        own = run(carol)
        assert set(until_end_of(own, of_own)) == {own}
    assert seen == []


def test_an_event_brings_its_job(api: Api) -> None:
    with watching(api) as events:
        job_id = run(api)
        for event in events:
            assert event.job.id == event.job_id
            if event.job_id != job_id:
                continue  # the end of a test's before: an event comes after the end that was waited for
            if event.type == worker_service_pb2.EVENT_TYPE_ENDED:
                assert event.job.exit_code == 0
                assert event.time.ToMicroseconds() == event.job.ended_at.ToMicroseconds()
                break
        api.call("Delete", job_id=job_id)
        deleted = next(events)
        assert (deleted.type, deleted.job_id) == (worker_service_pb2.EVENT_TYPE_DELETED, job_id)
        assert not deleted.HasField("job")


def test_a_cursor_that_has_expired_is_out_of_range(api: Api) -> None:
    with failing() as failure:
        next(api.stub.Watch(WatchRequest(cursor="0123456789abcdef-17"), timeout=PATIENCE_SECONDS))
    assert (failure.code, failure.reason) == (grpc.StatusCode.OUT_OF_RANGE, "CURSOR_EXPIRED")


def test_command_goes_on_after_a_cursor_with_a_line_an_event(cli: Cli) -> None:
    with cli.running("events", "-o", "json") as process:
        assert process.stdout
        cursor = json.loads(process.stdout.readline())["cursor"]
        job_id = cli.start(["true"])
        live = [json.loads(process.stdout.readline()) for _ in range(3)]
    assert [(event["event"], event["id"], event["job"]["id"]) for event in live] == [
        (kind, job_id, job_id) for kind in ("created", "started", "ended")
    ]
    with cli.running("events", "-o", "json", "--cursor", cursor) as process:
        assert process.stdout
        assert json.loads(process.stdout.readline())["cursor"]
        assert [json.loads(process.stdout.readline())["cursor"] for _ in range(3)] == [
            event["cursor"] for event in live
        ]
    with cli.running("events", "--cursor", live[1]["cursor"], job_id) as process:
        assert process.stdout
        assert process.stdout.readline().decode().split()[1:] == [job_id, "ended", "exited", "(exit", "code:", "0)"]
