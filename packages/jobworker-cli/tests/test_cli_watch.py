"""Events from a server that comes and goes: none is missed, none told twice."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from jobworker.v1 import worker_service_pb2 as api
from jobworker_cli import errors
from jobworker_cli.client import Client, Credentials
from jobworker_cli.models import Event
from jobworker_cli.render import event_json
from scripted_server import ScriptedServer, exited, refusal

COUNT = 6


def event(number: int) -> api.Event:
    made = exited(number)
    return api.Event(type=api.EVENT_TYPE_ENDED, job_id=made.id, job=made, cursor=f"after {number}")


def watch_with_breaks(request: api.WatchRequest, context: Any) -> Iterator[api.WatchResponse]:
    """Two events to each call, then nothing until the connection breaks."""
    begin = int(request.cursor.removeprefix("after ")) + 1 if request.cursor.startswith("after") else 0
    yield api.WatchResponse(cursor=request.cursor or "begin")
    for number in range(begin, begin + 2):
        yield api.WatchResponse(events=[event(number)], cursor=f"after {number}")
    while context.is_active():
        threading.Event().wait(0.01)


def test_goes_on_after_the_last_event_when_the_connection_broke(server: ScriptedServer, certs: Path) -> None:
    server.service.answers["Watch"] = watch_with_breaks
    told: list[str] = []
    seen: list[Event] = []
    with Client(server.address, Credentials.from_directory(certs), tell=told.append) as client:
        for found in islice(client.watch(all_owners=True), COUNT):
            seen.append(found)
            if len(seen) % 2 == 0 and len(seen) < COUNT:
                server.drop_connections()
    assert [found.cursor for found in seen] == [f"after {number}" for number in range(COUNT)]
    assert [found.job.exit_code for found in seen if found.job] == list(range(COUNT))
    cursors = [request.cursor for request in server.service.requests_of(api.WatchRequest)]
    assert cursors == ["", "after 1", "after 3"]
    assert "was lost" in told[0]


def test_begins_where_it_is_told(server: ScriptedServer, certs: Path) -> None:
    with Client(server.address, Credentials.from_directory(certs)) as client:
        assert list(client.watch_batches("after 7", job_ids=["x"], owner="ann")) == [([], "after 7")]
    (request,) = server.service.requests_of(api.WatchRequest)
    assert (list(request.job_ids), request.owner, request.all_owners) == (["x"], "ann", False)


def test_cursor_that_has_expired_is_an_error_of_its_own(server: ScriptedServer, certs: Path) -> None:
    server.service.answers["Watch"] = refusal("OUT_OF_RANGE", "CURSOR_EXPIRED", "it is too old")
    with Client(server.address, Credentials.from_directory(certs)) as client, pytest.raises(errors.CursorExpiredError):
        list(client.watch("after 7"))


def test_event_of_a_later_version_and_of_a_deleted_job(server: ScriptedServer, certs: Path) -> None:
    strange = api.Event(type=99, job_id="x", cursor="c")  # type: ignore[arg-type]  # of a later version
    server.service.answers["Watch"] = lambda *_: iter([api.WatchResponse(events=[strange], cursor="c")])
    with Client(server.address, Credentials.from_directory(certs)) as client:
        (found,) = client.watch()
    assert (found.type, found.job) == (None, None)
    assert json.loads(event_json(found)) == {
        "event": None,
        "time": "1970-01-01T00:00:00.000000Z",
        "id": "x",
        "cursor": "c",
        "job": None,
    }
