"""The client for programs with threads, or with none."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Self, TypeVar

import grpc

from jobworker.v1 import worker_service_pb2 as api
from jobworker.v1.worker_service_pb2_grpc import WorkerServiceStub
from jobworker_cli.client import calls, convert, job_ids
from jobworker_cli.client.attachment import Attachment
from jobworker_cli.client.base import BaseClient
from jobworker_cli.client.channel import open_channel
from jobworker_cli.client.output_options import OutputOptions, output_requests
from jobworker_cli.client.readings import EventReading, OutputReading, Reading, StatsReading, is_accepted
from jobworker_cli.client.start_request import start_request
from jobworker_cli.client.waiting import Waiting
from jobworker_cli.models import DEFAULT_GRACE_SECONDS, Chunk, Event, Job, JobPage

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Unpack

    from jobworker_cli.client.listing import ListOptions, PageOptions
    from jobworker_cli.client.outage import Outage
    from jobworker_cli.fence import Sample
    from jobworker_cli.starting import StartOptions

T = TypeVar("T")


class Client(BaseClient):
    """A connection to one server, made with the first call. Threads may share it."""

    def _connect(self) -> None:
        self._channel = open_channel(self._address, self._credentials)
        self._stub = WorkerServiceStub(self._channel)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection, and with it what is still being streamed. Jobs run on."""
        self._channel.close()

    def start(self, argv: Sequence[str], **options: Unpack[StartOptions]) -> Job:
        """Start a job; it is sent again, safely, where a connection fails before the answer.

        Args:
            argv: the command and its arguments; no shell.
            options: how it is started, as ``StartOptions`` has them.

        Raises:
            InvalidRequestError: something of it can't be used.
            StartFailedError: the command could not be executed; CommandNotFoundError where there is none.
            StartLostError: the job's supervisor was killed while it started it.
            QuotaExceededError: as many jobs run, and wait, as may.
            LimitNotEnforceableError: the server's host can't enforce a limit.
            IsolationNotAvailableError: the server's host, or its user, can't isolate a job so.
        """
        return self._make(calls.start(start_request(argv, **options)))

    def attach(self, job_id: str, *, watch_only: bool = False, offset: int = 0, tail: int | None = None) -> Attachment:
        """Join a job: write to its standard input or terminal, and see its output; see ``Attachment`` for an example.

        With ``watch_only`` see its output alone. The output begins at ``offset``, in bytes of both streams together, or
        with the last ``tail`` lines of what is there; 0: with what comes from now on.

        Raises:
            JobNotFoundError: there is none.
            NoInputError: the job was started without ``stdin`` and ``terminal``.
            PermissionDeniedError: the role does not allow to write to jobs; it may allow to watch.
        """
        start = convert.attach_start(job_id, watch_only=watch_only, offset=offset, tail=tail)
        return Attachment(self._stub.Attach, start, self._explain, self._outage())

    def status(self, job_id: str) -> Job:
        """Tell what a job is and where it is in its life.

        Raises:
            JobNotFoundError: there is none.
        """
        return self._make(calls.status(job_id))

    def stats(self, job_id: str, *, interval: float = 1.0, once: bool = False) -> Iterator[Sample]:
        """Stream what a job uses, until it has ended; the last sample tells what it used in all.

        With ``once`` there is one sample, of now. Where the connection is lost, the stream goes on when it is there
        again; a server that goes away is given the time of ``reconnect`` to come back.

        Args:
            job_id: which.
            interval: seconds between two samples, 0.1 to 86400.
            once: whether to tell only what has been used until now.

        Raises:
            InvalidRequestError: the interval can't be used.
            JobNotFoundError: there is no such job.
        """
        request = api.GetStatsRequest(job_id=job_id, interval=convert.duration("interval", interval), once=once)
        yield from self._read(StatsReading(request))

    def stop(self, job_id: str, *, grace: float = DEFAULT_GRACE_SECONDS, force: bool = False) -> Job:
        """Stop a job with all its processes, and return it, ended.

        Args:
            job_id: which.
            grace: seconds that it has to end after SIGTERM before it is killed.
            force: kill it at once.

        Raises:
            JobNotFoundError: there is none.
            JobNotRunningError: it has ended already.
        """
        return self._make(calls.stop(job_id, grace, force=force))

    def signal(self, job_id: str, signal: str) -> None:
        """Send a signal, by name such as ``SIGHUP``, to a job's main process.

        Raises:
            InvalidRequestError: there is no such signal.
            JobNotFoundError: there is no such job.
            JobNotRunningError: it has ended.
        """
        self._make(calls.signal(job_id, signal))

    def set_timeout(self, job_id: str, timeout: float | None) -> Job:
        """Change how long a job may run: seconds from its start, or None, for ever. The job, as it is then.

        Raises:
            InvalidRequestError: it is no such time.
            JobNotFoundError: there is no such job.
            JobNotRunningError: it has ended.
        """
        return self._make(calls.set_timeout(job_id, timeout))

    def delete(self, job_id: str) -> None:
        """Remove an ended job with its output.

        Raises:
            JobNotFoundError: there is none.
            JobRunningError: it has not ended.
        """
        self._make(calls.delete(job_id))

    def wait(self, job_id: str, *, timeout: float | None = None) -> Job:
        """Wait until a job has ended, at most ``timeout`` seconds, and return it.

        A server that was there and goes away is given the time of ``reconnect`` to come back: its jobs outlive it.

        Raises:
            JobNotFoundError: there is none.
            TimeoutError: it has not ended in that time.
        """
        return next(self.as_ended([job_id], timeout=timeout))

    def as_ended(self, job_ids: Iterable[str], *, timeout: float | None = None) -> Iterator[Job]:
        """Yield jobs as they end, those that have ended already first; at most 1000 jobs, each once.

        Waits as ``wait`` does, ``timeout`` seconds for all of them, with its errors.
        """
        waiting = Waiting(job_ids, timeout, self._timeout)
        outage = self._outage()
        while waiting.pending:
            rpc, request, deadline = waiting.next_call()
            try:
                response = getattr(self._stub, rpc)(request, timeout=deadline)
            except grpc.RpcError as error:
                if not waiting.is_silence(error):
                    self._pause(outage.pause(error), error)
                    waiting.lost()
                continue
            outage.over()
            yield from waiting.take(response)

    def output(self, job_id: str, **options: Unpack[OutputOptions]) -> Iterator[Chunk]:
        """Stream a job's output; see ``output_batches``."""
        for batch in self.output_batches(job_id, **options):
            yield from batch

    def output_batches(self, job_id: str, **options: Unpack[OutputOptions]) -> Iterator[Sequence[Chunk]]:
        """Stream a job's output as it arrives from the server, about 1 MiB at most at a time.

        Where the connection is lost, the stream goes on with the next byte when it is there again. A server that goes
        away is given the time of ``reconnect`` to come back.

        Args:
            job_id: which.
            options: which part of the output; all of it, and on until the job has ended, if nothing is said.

        Raises:
            InvalidRequestError: an option can't be used.
            JobNotFoundError: there is no such job.
            OutputInterruptedError: the server did not come back after output had arrived; ``offset`` is where to go on.
        """
        outage, now = self._outage(), 0
        if options.get("tail") is not None:
            now = self.status(job_id).output_bytes
            outage.over()
        for request in output_requests(job_id, now, **options):
            yield from self._read(OutputReading(request), outage)

    def watch(
        self, cursor: str = "", *, job_ids: Sequence[str] = (), owner: str = "", all_owners: bool = False
    ) -> Iterator[Event]:
        """Stream what happens to jobs, in order, for ever; see ``watch_batches``."""
        for batch, _ in self.watch_batches(cursor, job_ids=job_ids, owner=owner, all_owners=all_owners):
            yield from batch

    def watch_batches(
        self, cursor: str = "", *, job_ids: Sequence[str] = (), owner: str = "", all_owners: bool = False
    ) -> Iterator[tuple[Sequence[Event], str]]:
        """Stream what happens to jobs as it arrives from the server, with the cursor to go on after it.

        The first batch comes at once, without events. Where the connection is lost, the stream goes on with the next
        event when it is there again. A server that goes away is given the time of ``reconnect`` to come back.

        Args:
            cursor: go on after the batch that came with this; empty: from now on.
            job_ids: only of these; empty: of all that the others leave.
            owner: only of this owner's; empty: the caller's own, unless ``all_owners`` is set.
            all_owners: of every owner's, as far as the caller may see them.

        Raises:
            InvalidRequestError: the cursor, or an id, is none.
            CursorExpiredError: the events after the cursor are not kept any more.
        """
        request = api.WatchRequest(cursor=cursor, job_ids=job_ids, owner=owner, all_owners=all_owners)
        yield from self._read(EventReading(request))

    def list(self, **options: Unpack[ListOptions]) -> Iterator[Job]:
        """Yield jobs, the newest first, as ``ListOptions`` choose them; pages are fetched as they are needed."""
        page = self.list_page(**options)
        yield from page.jobs
        while page.next_page_token:
            page = self.list_page(**options, page_token=page.next_page_token)
            yield from page.jobs

    def list_page(self, **options: Unpack[PageOptions]) -> JobPage:
        """One page of a list, for programs that show one after the other."""
        return self._make(calls.page(**options))

    def resolve(self, prefix: str) -> str:
        """The id of the one job whose id begins with ``prefix``. A whole id is returned as it stands.

        Raises:
            JobNotFoundError: no job's id begins so.
            AmbiguousIdError: several do.
        """
        wanted = job_ids.normal(prefix)
        if job_ids.is_whole(wanted):
            return wanted
        page = self.list_page(id_prefix=wanted, all_owners=True, page_size=job_ids.CANDIDATES_SHOWN)
        return job_ids.only(wanted, page.jobs)

    def _make(self, call: calls.Call[T]) -> T:
        deadline = self._timeout + call.more_seconds
        try:
            return call.read(getattr(self._stub, call.rpc)(call.request, timeout=deadline))
        except grpc.RpcError as error:
            raise self._failed(error, deadline) from None

    def _read(self, reading: Reading[T], outage: Outage | None = None) -> Iterator[T]:
        """Yield what a stream brings, however often its connection is lost in between."""
        outage = outage or self._outage()
        while True:
            call: Any = getattr(self._stub, reading.rpc)(reading.request)
            try:
                if is_accepted(call.initial_metadata()):
                    outage.over()
                for response in call:
                    outage.over()
                    if (taken := reading.take(response)) is not None:
                        yield taken
            except grpc.RpcError as error:
                self._pause(outage.pause(error), error, reading)
            else:
                return
            finally:
                call.cancel()

    def _pause(self, seconds: float | None, error: grpc.RpcError, reading: Reading[object] | None = None) -> None:
        """Wait before a call is repeated; None: it isn't, and its error is raised."""
        if seconds is None:
            found = self._explain(error)
            raise (reading.given_up(found) if reading else found) from None
        time.sleep(seconds)
