"""The asyncio client where its connection is lost, and where it is given up."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest

from jobworker.v1 import worker_service_pb2 as api
from jobworker_cli import errors
from jobworker_cli.client import Credentials, aio
from scripted_server import ScriptedServer, chunk, exited, job, refusal


def connect(server: ScriptedServer, certs: Path, **options: Any) -> aio.Client:
    return aio.Client(server.address, Credentials.from_directory(certs), **options)


def test_tls_1_3_and_pages(server: ScriptedServer, certs: Path) -> None:
    server.service.jobs = [job() for _ in range(5)]

    async def listed() -> list[str]:
        async with connect(server, certs) as client:
            return [found.id async for found in client.list(page_size=2)]

    assert asyncio.run(listed()) == [known.id for known in server.service.jobs]
    assert server.service.tls_versions == {b"TLSv1.3"}


def test_a_stream_goes_on_with_the_next_byte(server: ScriptedServer, certs: Path) -> None:
    told: list[str] = []
    release = threading.Event()

    def output(request: api.GetOutputRequest, _context: Any) -> Iterator[api.GetOutputResponse]:
        if request.offset == 0:
            yield api.GetOutputResponse(chunks=[chunk(b"abc", 0)])
            release.wait(30)
        else:
            yield api.GetOutputResponse(chunks=[chunk(b"def", request.offset)])

    server.service.answers["GetOutput"] = output

    async def read() -> list[tuple[int, bytes]]:
        found = []
        async with connect(server, certs, tell=told.append) as client:
            async for piece in client.output(str(uuid.uuid4())):
                found.append((piece.offset, piece.data))
                if len(found) == 1:
                    server.drop_connections()
        return found

    try:
        assert asyncio.run(read()) == [(0, b"abc"), (3, b"def")]
    finally:
        release.set()
    assert [message.split(";")[0].split(" to ")[0] for message in told] == ["the connection", "connected"]


def test_a_stream_that_is_given_up_tells_where_to_go_on(server: ScriptedServer, certs: Path) -> None:
    release = threading.Event()

    def output(*_: Any) -> Iterator[api.GetOutputResponse]:
        yield api.GetOutputResponse(chunks=[chunk(b"abc", 10)])
        release.wait(30)

    server.service.answers["GetOutput"] = output

    async def read() -> None:
        async with connect(server, certs, reconnect=0) as client, aclosing(client.output("x", offset=10)) as pieces:
            async for _ in pieces:
                server.cut()

    try:
        with pytest.raises(errors.OutputInterruptedError) as caught:
            asyncio.run(read())
    finally:
        release.set()
    assert caught.value.offset == 13


def test_refusals_are_told_as_the_other_client_does(server: ScriptedServer, certs: Path) -> None:
    server.service.answers["QueryStatus"] = refusal("PERMISSION_DENIED", "NOT_ALLOWED", "what happened")

    async def ask() -> None:
        async with connect(server, certs) as client:
            await client.status(str(uuid.uuid4()))

    with pytest.raises(errors.PermissionDeniedError, match="what happened") as caught:
        asyncio.run(ask())
    assert caught.value.hint


def test_nobody_listens(certs: Path) -> None:
    async def ask() -> None:
        async with aio.Client("localhost:1", Credentials.from_directory(certs)) as client:
            await client.wait(str(uuid.uuid4()))

    with pytest.raises(errors.NoAnswerError, match="is jobworker-server running"):
        asyncio.run(ask())


def test_a_wait_that_is_not_worth_it(server: ScriptedServer, certs: Path) -> None:
    server.service.jobs = [job()]
    release = threading.Event()
    server.service.answers["Wait"] = lambda *_: release.wait(30)

    async def wait() -> None:
        async with connect(server, certs) as client:
            await client.wait(server.service.jobs[0].id, timeout=0.2)

    try:
        with pytest.raises(TimeoutError):
            asyncio.run(wait())
    finally:
        release.set()


def test_jobs_come_as_they_end(server: ScriptedServer, certs: Path) -> None:
    server.service.jobs = [exited(n) for n in (1, 2)]
    asked: list[list[str]] = []

    def wait(request: api.WaitRequest, _context: Any) -> api.WaitResponse:
        asked.append(list(request.job_ids))
        return api.WaitResponse(jobs=server.service.jobs[1:])

    server.service.answers["Wait"] = wait

    async def codes() -> list[int | None]:
        async with connect(server, certs) as client:
            ids = [known.id for known in server.service.jobs]
            return [ended.exit_code async for ended in client.as_ended([*ids, ids[0]])]

    assert asyncio.run(codes()) == [1, 2]
    assert asked == [[server.service.jobs[1].id]]
