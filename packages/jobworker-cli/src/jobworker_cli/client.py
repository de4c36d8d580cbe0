"""A small Python client of a jobworker server.

::

    from jobworker_cli.client import Client, Credentials

    with Client("localhost:50051", Credentials.from_directory("certs")) as client:
        job = client.start(["sh", "-c", "echo hi; exit 3"])
        for chunk in client.output(job.id):
            print(chunk.stream, chunk.data)
        print(client.wait(job.id).exit_code)

Every method raises the errors of ``jobworker_cli.errors``: ``NoAnswerError`` where the server can't be reached or
doesn't answer in time, ``NotAuthenticatedError`` and ``PermissionDeniedError``, and what its own documentation names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import grpc

from jobworker.v1 import worker_service_pb2 as api
from jobworker.v1.worker_service_pb2_grpc import WorkerServiceStub
from jobworker_cli import (
    convert,
    convert_fence,
    diagnosis,
    event_stream,
    job_ids,
    output_stream,
    rpc_errors,
    stats_stream,
)
from jobworker_cli.address import Address
from jobworker_cli.attachment import Attachment
from jobworker_cli.channel import open_channel
from jobworker_cli.credentials import Credentials
from jobworker_cli.errors import ClientError, InvalidRequestError, NoAnswerError
from jobworker_cli.fence import IoLimit, Isolation, Limits, Network, Sample, Usage
from jobworker_cli.models import (
    DEFAULT_GRACE_SECONDS,
    Chunk,
    Event,
    Gap,
    Job,
    JobState,
    OutputLimit,
    RestartPolicy,
    Stream,
    TerminalSize,
)
from jobworker_cli.outage import Outage
from jobworker_cli.output_options import OutputOptions, output_requests
from jobworker_cli.start_request import start_request
from jobworker_cli.starting import StartOptions

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Unpack

__all__ = [
    "Attachment",
    "Chunk",
    "Client",
    "ClientError",
    "Credentials",
    "Event",
    "Gap",
    "IoLimit",
    "Isolation",
    "Job",
    "JobState",
    "Limits",
    "Network",
    "OutputLimit",
    "OutputOptions",
    "RestartPolicy",
    "Sample",
    "StartOptions",
    "Stream",
    "TerminalSize",
    "Usage",
]

_WAIT_CALL_SECONDS = 60.0


class Client:
    """A connection to one server, made with the first call. Threads may share it."""

    def __init__(
        self,
        server: str,
        credentials: Credentials,
        *,
        timeout: float = 10.0,
        reconnect: float = 30.0,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Prepare to call ``server`` (``HOST:PORT``).

        Args:
            server: where it listens.
            credentials: what to show to it, and to know it by.
            timeout: the deadline, in seconds, of every call but streams and waits.
            reconnect: seconds that streams and waits give a server that was there, and goes away, to come back.
            tell: is told, in a sentence, when such a connection is lost and when it is there again.

        Raises:
            InvalidRequestError: ``server`` is not an address.
            CredentialsError: a certificate or key file can't be read.
            TlsVersionError: grpc was imported before this package.
        """
        try:
            self._address = Address.parse(server)
        except ValueError as error:
            raise InvalidRequestError(f"server: {error}") from None
        self._credentials = credentials
        self._timeout = timeout
        self._reconnect = reconnect
        self._tell = tell
        self._channel = open_channel(self._address, credentials)
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
        return convert.job(self._call(self._stub.Start, start_request(argv, **options)).job)

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
        return convert.job(self._call(self._stub.QueryStatus, api.QueryStatusRequest(job_id=job_id)).job)

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
        yield from stats_stream.samples(self._stub.GetStats, request, self._outage())

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
        request = api.StopRequest(job_id=job_id, grace_period=convert.duration("grace", grace), force=force)
        return convert.job(self._call(self._stub.Stop, request, self._timeout + (0 if force else grace)).job)

    def signal(self, job_id: str, signal: str) -> None:
        """Send a signal, by name such as ``SIGHUP``, to a job's main process.

        Raises:
            InvalidRequestError: there is no such signal.
            JobNotFoundError: there is no such job.
            JobNotRunningError: it has ended.
        """
        convert_fence.require_text("signal", [signal])
        self._call(self._stub.Signal, api.SignalRequest(job_id=job_id, signal=signal))

    def set_timeout(self, job_id: str, timeout: float | None) -> Job:
        """Change how long a job may run: seconds from its start, or None, for ever. The job, as it is then.

        Raises:
            InvalidRequestError: it is no such time.
            JobNotFoundError: there is no such job.
            JobNotRunningError: it has ended.
        """
        request = api.UpdateRequest(job_id=job_id)
        if timeout is None:
            request.no_timeout = True
        else:
            request.timeout.CopyFrom(convert.duration("timeout", timeout))
        return convert.job(self._call(self._stub.Update, request).job)

    def delete(self, job_id: str) -> None:
        """Remove an ended job with its output.

        Raises:
            JobNotFoundError: there is none.
            JobRunningError: it has not ended.
        """
        self._call(self._stub.Delete, api.DeleteRequest(job_id=job_id))

    def wait(self, job_id: str) -> Job:
        """Wait until a job has ended, however long, and return it.

        A server that was there and goes away is given the time of ``reconnect`` to come back: its jobs outlive it.

        Raises:
            JobNotFoundError: there is none.
        """
        outage = self._outage()
        query = api.QueryStatusRequest(job_id=job_id)
        while True:
            try:
                job = convert.job(self._stub.QueryStatus(query, timeout=self._timeout).job)
                outage.over()
                if not job.state.ended:
                    job = self._wait_a_while(job_id) or job
            except grpc.RpcError as error:
                outage.wait(error)
            else:
                if job.state.ended:
                    return job

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
        outage = self._outage()

        def there() -> int:
            size = self.status(job_id).output_bytes
            outage.over()
            return size

        for request in output_requests(job_id, there, **options):
            yield from output_stream.batches(self._stub.GetOutput, request, outage)

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
        yield from event_stream.batches(self._stub.Watch, request, self._outage())

    def list(
        self,
        *,
        states: Iterable[JobState] = (),
        labels: Mapping[str, str] | None = None,
        owner: str = "",
        all_owners: bool = False,
        id_prefix: str = "",
        page_size: int = 0,
    ) -> Iterator[Job]:
        """Yield jobs, the newest first; pages are fetched as they are needed.

        Args:
            states: in any of these; empty: in all.
            labels: that carry all of these.
            owner: of this owner; empty: the caller's own, unless ``all_owners`` is set.
            all_owners: every owner's, as far as the caller may see them.
            id_prefix: whose id begins with this.
            page_size: jobs in a page, up to 1000; 0: the server's default.
        """
        convert_fence.require_text("labels", [*(labels or {}), *(labels or {}).values()])
        request = api.ListJobsRequest(
            page_size=page_size,
            states=[convert.state_value(state) for state in states],
            labels=labels,
            owner=owner,
            all_owners=all_owners,
            id_prefix=id_prefix,
        )
        while True:
            page = self._call(self._stub.ListJobs, request)
            yield from map(convert.job, page.jobs)
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def resolve(self, prefix: str) -> str:
        """The id of the one job whose id begins with ``prefix``. A whole id is returned as it stands.

        Raises:
            JobNotFoundError: no job's id begins so.
            AmbiguousIdError: several do.
        """
        return job_ids.resolve(prefix, partial(self.list, all_owners=True))

    def _wait_a_while(self, job_id: str) -> Job | None:
        """The job if it ends within a minute: no one call is so long that a dead server would not be noticed."""
        try:
            response = self._stub.Wait(api.WaitRequest(job_ids=[job_id]), timeout=_WAIT_CALL_SECONDS)
        except grpc.RpcError as error:
            if rpc_errors.code_of(error) is grpc.StatusCode.DEADLINE_EXCEEDED:
                return None
            raise
        return convert.job(response.jobs[0])

    def _outage(self) -> Outage:
        return Outage(self._address, self._reconnect, self._tell, self._explain)

    def _call(self, method: Callable[..., Any], request: object, timeout: float | None = None) -> Any:
        deadline = self._timeout if timeout is None else timeout
        try:
            return method(request, timeout=deadline)
        except grpc.RpcError as error:
            if rpc_errors.code_of(error) is grpc.StatusCode.DEADLINE_EXCEEDED:
                message = f"no answer from {self._address} within {deadline:g} seconds"
                raise NoAnswerError(message, "--timeout SECONDS, before the command's name, waits longer") from None
            raise self._explain(error) from None

    def _explain(self, error: grpc.RpcError) -> ClientError:
        if not rpc_errors.is_transport_failure(error):
            return rpc_errors.from_rpc(error)
        found = diagnosis.explain(self._address, self._credentials)
        return found or NoAnswerError(f"the connection to {self._address} was lost", "try again")
