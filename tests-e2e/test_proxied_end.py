"""The end of an attachment through proxies, which drop the last of a call that the server ends first: none is cut."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import jobworker_cli.client as sync
from conformance.jobs import awaiting, sh
from conformance.processes import PATIENCE_SECONDS
from harness.api import Api
from harness.certs import Certs
from harness.proxies import Directory, Proxy
from harness.server import Server
from jobworker.v1.worker_service_pb2 import AttachRequest, AttachResponse, AttachStart
from jobworker_cli.client import aio

KINDS = [
    pytest.param(kind, marks=pytest.mark.skipif(shutil.which(kind) is None, reason=f"{kind} is not installed"))
    for kind in ("nginx", "haproxy")
]
TIMES = 20
DATA = bytes(range(256)) * 4000


@pytest.fixture(scope="module", params=KINDS)
def proxied(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Proxy]]:
    own = tmp_path_factory.mktemp("proxied-end")
    certs = Certs(own / "certs")
    with Directory() as directory, Proxy(request.param, certs, directory) as proxy:
        (own / "server.yaml").write_text(f"proxy: {{socket: {directory.socket}, group: {Proxy.group(request.param)}}}")
        server = Server(certs, own, options=["--config", str(own / "server.yaml")])
        try:
            yield server, proxy
        finally:
            server.close()


@pytest.fixture
def client(proxied: tuple[Server, Proxy]) -> Iterator[sync.Client]:
    """It raises OutputInterruptedError where an attachment is cut, as ``attach`` of the command line joins again."""
    server, proxy = proxied
    with sync.Client(proxy.address, sync.Credentials.from_directory(server.certs.directory)) as client:
        yield client


@contextmanager
def feeding(attachment: sync.Attachment) -> Iterator[None]:
    def feed() -> None:
        attachment.write(DATA)
        attachment.close_input()

    thread = threading.Thread(target=feed)
    thread.start()
    yield
    thread.join(PATIENCE_SECONDS)


def test_who_writes_gets_all_to_the_end(client: sync.Client) -> None:
    for _ in range(TIMES):
        job = client.start(["cat"], stdin=True)
        with client.attach(job.id) as attachment, feeding(attachment):
            assert b"".join(chunk.data for chunk in attachment.output()) == DATA
        assert attachment.job.exit_code == 0


def test_who_watches_gets_all_to_the_end(client: sync.Client, tmp_path: Path) -> None:
    for number in range(TIMES):
        gate = tmp_path / str(number)
        job = client.start(sh(f"{awaiting(gate)}; head -c 1000000 /dev/zero"), stdin=True)
        with client.attach(job.id, watch_only=True) as attachment:
            gate.touch()
            assert sum(len(chunk.data) for chunk in attachment.output()) == 1_000_000
        assert attachment.job.exit_code == 0


def test_a_program_that_awaits_gets_all_to_the_end(proxied: tuple[Server, Proxy]) -> None:
    server, proxy = proxied

    async def feed(attachment: aio.Attachment) -> None:
        await attachment.write(DATA)
        await attachment.close_input()

    async def join_many() -> None:
        async with aio.Client(proxy.address, sync.Credentials.from_directory(server.certs.directory)) as client:
            for _ in range(TIMES):
                job = await client.start(["cat"], stdin=True)
                async with await client.attach(job.id) as attachment:
                    feeding = asyncio.create_task(feed(attachment))
                    assert b"".join([chunk.data async for chunk in attachment.output()]) == DATA
                    await feeding
                assert attachment.job.exit_code == 0

    asyncio.run(join_many())


def keep_quiet(start: AttachStart, until: threading.Event) -> Iterator[AttachRequest]:
    """Says nothing more, and does not half-close before it is told to."""
    yield AttachRequest(start=start)
    until.wait(PATIENCE_SECONDS)


def test_who_reads_slowly_gets_all_to_the_end(client: sync.Client, proxied: tuple[Server, Proxy]) -> None:
    """All is in the buffers of the proxy for longer than the server waits for who has not promised to half-close."""
    server, _ = proxied
    job = client.start(["cat"], stdin=True)
    with Api(server, server.certs.full) as api, client.attach(job.id) as slow:
        impatient = threading.Event()
        other = api.stub.Attach(keep_quiet(AttachStart(job_id=job.id), impatient), timeout=PATIENCE_SECONDS)
        assert next(other).job.id == job.id
        slow.write(bytes(50_000))
        slow.close_input()
        *_, last = other
        assert last.job.HasField("ended_at")
        impatient.set()
        assert sum(len(chunk.data) for chunk in slow.output()) == 50_000
        assert slow.job.exit_code == 0


def test_the_end_of_the_call_waits_for_who_has_promised_to_half_close(proxied: tuple[Server, Proxy]) -> None:
    server, _ = proxied
    with Api(server, server.certs.full) as api:
        job_id = api.start(["cat"], stdin=True).id
        promised, never = threading.Event(), threading.Event()
        patient_start = AttachStart(job_id=job_id, half_closes=True)
        patient = api.stub.Attach(keep_quiet(patient_start, promised), timeout=PATIENCE_SECONDS)
        impatient = api.stub.Attach(keep_quiet(AttachStart(job_id=job_id), never), timeout=PATIENCE_SECONDS)
        for call in (patient, impatient):
            assert next(call).job.id == job_id
        api.attach(AttachRequest(end_of_input=True), job_id=job_id, input=True)
        ends: list[AttachResponse] = list(impatient)  # comes to its end, though it half-closes never
        assert ends[-1].job.HasField("ended_at")
        assert next(patient).job.HasField("ended_at")
        assert patient.is_active()
        promised.set()
        assert list(patient) == []
        never.set()
