"""The client for asyncio programs: the same as :class:`jobworker_cli.client.Client`, awaited.

::

    from jobworker_cli.client.aio import Client

    async with Client.from_config() as client:
        job = await client.start(["sh", "-c", "echo hi; exit 3"])
        async for chunk in client.output(job.id):
            print(chunk.stream, chunk.data)
        print((await client.wait(job.id)).exit_code)
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Self, TypeVar

import grpc

from jobworker.v1 import worker_service_pb2 as api
from jobworker.v1.worker_service_pb2_grpc import WorkerServiceStub
from jobworker_cli.client import calls, convert, job_ids
from jobworker_cli.client.aio_attachment import Attachment
from jobworker_cli.client.base import BaseClient
from jobworker_cli.client.channel import open_async_channel
from jobworker_cli.client.output_options import OutputOptions, output_requests
from jobworker_cli.client.readings import EventReading, OutputReading, Reading, StatsReading, is_accepted
from jobworker_cli.client.start_request import start_request
from jobworker_cli.client.waiting import Waiting
from jobworker_cli.models import DEFAULT_GRACE_SECONDS

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Sequence
    from types import TracebackType
    from typing import Unpack

    from jobworker_cli.client.listing import ListOptions, PageOptions
    from jobworker_cli.client.outage import Outage
    from jobworker_cli.fence import Sample
    from jobworker_cli.models import Chunk, Event, Job, JobPage
    from jobworker_cli.starting import StartOptions

__all__ = ["Attachment", "Client"]

T = TypeVar("T")


class Client(BaseClient):
    """As :class:`jobworker_cli.client.Client`, awaited; to be made and used in one event loop."""

    def _connect(self) -> None:
        self._channel = open_async_channel(self._address, self._credentials)
        self._stub = WorkerServiceStub(self._channel)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End the connection, and with it what is still being streamed. Jobs run on."""
        await self._channel.close()

    async def start(self, argv: Sequence[str], **options: Unpack[StartOptions]) -> Job:
        """Start a job; it is sent again, safely, where a connection fails before the answer."""
        return await self._make(calls.start(start_request(argv, **options)))

    async def attach(
        self, job_id: str, *, watch_only: bool = False, offset: int = 0, tail: int | None = None
    ) -> Attachment:
        """Join a job: write to its standard input or terminal, and see its output."""
        start = convert.attach_start(job_id, watch_only=watch_only, offset=offset, tail=tail)
        return await Attachment.open(self._stub.Attach, start, self._explain, self._outage())

    async def status(self, job_id: str) -> Job:
        """Tell what a job is and where it is in its life."""
        return await self._make(calls.status(job_id))

    async def stats(self, job_id: str, *, interval: float = 1.0, once: bool = False) -> AsyncGenerator[Sample]:
        """Stream what a job uses, until it has ended; the last sample tells what it used in all."""
        request = api.GetStatsRequest(job_id=job_id, interval=convert.duration("interval", interval), once=once)
        async with aclosing(self._read(StatsReading(request))) as samples:
            async for sample in samples:
                yield sample

    async def stop(self, job_id: str, *, grace: float = DEFAULT_GRACE_SECONDS, force: bool = False) -> Job:
        """Stop a job with all its processes, and return it, ended."""
        return await self._make(calls.stop(job_id, grace, force=force))

    async def signal(self, job_id: str, signal: str) -> None:
        """Send a signal, by name such as ``SIGHUP``, to a job's main process."""
        await self._make(calls.signal(job_id, signal))

    async def set_timeout(self, job_id: str, timeout: float | None) -> Job:
        """Change how long a job may run: seconds from its start, or None, for ever."""
        return await self._make(calls.set_timeout(job_id, timeout))

    async def delete(self, job_id: str) -> None:
        """Remove an ended job with its output."""
        await self._make(calls.delete(job_id))

    async def wait(self, job_id: str, *, timeout: float | None = None) -> Job:
        """Wait until a job has ended, at most ``timeout`` seconds, and return it. TimeoutError."""
        async with aclosing(self.as_ended([job_id], timeout=timeout)) as ended:
            return await anext(ended)

    async def as_ended(self, job_ids: Iterable[str], *, timeout: float | None = None) -> AsyncGenerator[Job]:
        """Yield jobs as they end, those that have ended already first; ``timeout`` seconds for all of them."""
        waiting = Waiting(job_ids, timeout, self._timeout)
        outage = self._outage()
        while waiting.pending:
            rpc, request, deadline = waiting.next_call()
            try:
                response = await getattr(self._stub, rpc)(request, timeout=deadline)
            except grpc.RpcError as error:
                if not waiting.is_silence(error):
                    await self._pause(outage.pause(error), error)
                    waiting.lost()
                continue
            outage.over()
            for job in waiting.take(response):
                yield job

    async def output(self, job_id: str, **options: Unpack[OutputOptions]) -> AsyncGenerator[Chunk]:
        """Stream a job's output; see ``output_batches``."""
        async with aclosing(self.output_batches(job_id, **options)) as batches:
            async for batch in batches:
                for chunk in batch:
                    yield chunk

    async def output_batches(self, job_id: str, **options: Unpack[OutputOptions]) -> AsyncGenerator[Sequence[Chunk]]:
        """Stream a job's output as it arrives from the server, about 1 MiB at most at a time."""
        outage, now = self._outage(), 0
        if options.get("tail") is not None:
            now = (await self.status(job_id)).output_bytes
            outage.over()
        for request in output_requests(job_id, now, **options):
            async with aclosing(self._read(OutputReading(request), outage)) as batches:
                async for batch in batches:
                    yield batch

    async def watch(
        self, cursor: str = "", *, job_ids: Sequence[str] = (), owner: str = "", all_owners: bool = False
    ) -> AsyncGenerator[Event]:
        """Stream what happens to jobs, in order, for ever; see ``watch_batches``."""
        batches = self.watch_batches(cursor, job_ids=job_ids, owner=owner, all_owners=all_owners)
        async with aclosing(batches):
            async for batch, _ in batches:
                for event in batch:
                    yield event

    async def watch_batches(
        self, cursor: str = "", *, job_ids: Sequence[str] = (), owner: str = "", all_owners: bool = False
    ) -> AsyncGenerator[tuple[Sequence[Event], str]]:
        """Stream what happens to jobs as it arrives from the server, with the cursor to go on after it."""
        request = api.WatchRequest(cursor=cursor, job_ids=job_ids, owner=owner, all_owners=all_owners)
        async with aclosing(self._read(EventReading(request))) as batches:
            async for batch in batches:
                yield batch

    async def list(self, **options: Unpack[ListOptions]) -> AsyncGenerator[Job]:
        """Yield jobs, the newest first; pages are fetched as they are needed."""
        page = await self.list_page(**options)
        for job in page.jobs:
            yield job
        while page.next_page_token:
            page = await self.list_page(**options, page_token=page.next_page_token)
            for job in page.jobs:
                yield job

    async def list_page(self, **options: Unpack[PageOptions]) -> JobPage:
        """One page of a list, for programs that show one after the other."""
        return await self._make(calls.page(**options))

    async def resolve(self, prefix: str) -> str:
        """The id of the one job whose id begins with ``prefix``. A whole id is returned as it stands."""
        wanted = job_ids.normal(prefix)
        if job_ids.is_whole(wanted):
            return wanted
        page = await self.list_page(id_prefix=wanted, all_owners=True, page_size=job_ids.CANDIDATES_SHOWN)
        return job_ids.only(wanted, page.jobs)

    async def _make(self, call: calls.Call[T]) -> T:
        deadline = self._timeout + call.more_seconds
        try:
            return call.read(await getattr(self._stub, call.rpc)(call.request, timeout=deadline))
        except grpc.RpcError as error:
            raise await asyncio.to_thread(self._failed, error, deadline) from None

    async def _read(self, reading: Reading[T], outage: Outage | None = None) -> AsyncGenerator[T]:
        """Yield what a stream brings, however often its connection is lost in between."""
        outage = outage or self._outage()
        while True:
            call: Any = getattr(self._stub, reading.rpc)(reading.request)
            try:
                if is_accepted(await call.initial_metadata()):
                    outage.over()
                async for response in call:
                    outage.over()
                    if (taken := reading.take(response)) is not None:
                        yield taken
            except grpc.RpcError as error:
                await self._pause(outage.pause(error), error, reading)
            else:
                return
            finally:
                call.cancel()

    async def _pause(self, seconds: float | None, error: grpc.RpcError, reading: Reading[object] | None = None) -> None:
        """Wait before a call is repeated; None: it isn't, and its error is raised."""
        if seconds is None:
            found = await asyncio.to_thread(self._explain, error)
            raise (reading.given_up(found) if reading else found) from None
        await asyncio.sleep(seconds)
