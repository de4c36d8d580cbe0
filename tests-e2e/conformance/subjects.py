"""The ways to reach the engine behind one interface: the library and a server over gRPC, each with asyncio, too."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol, TypeVar

from google.rpc.error_details_pb2 import BadRequest, ErrorInfo  # type: ignore[import-untyped]  # it has no types
from grpc_status.rpc_status import from_call  # type: ignore[import-untyped]  # nor has this

import jobworker_lib as lib
from conformance.attaching import AsyncioAttachment, Joined, LibraryAttachment, ServerAttachment
from conformance.client_options import client_options
from conformance.loop_client import LoopClient
from conformance.processes import PATIENCE_SECONDS, wait_until
from jobworker_cli import fence
from jobworker_cli.client import Client, Credentials, JobState, Stream
from jobworker_cli.errors import ClientError, InputClosedError, InvalidRequestError, JobNotFoundError, NoAnswerError

T = TypeVar("T")


class Attempt(Protocol):
    """One execution of a job's command, as the library and the client both tell of it."""

    @property
    def number(self) -> int: ...
    @property
    def started_at(self) -> datetime: ...
    @property
    def ended_at(self) -> datetime | None: ...
    @property
    def exit_code(self) -> int | None: ...
    @property
    def signal(self) -> int | None: ...
    @property
    def output_offset(self) -> int: ...
    @property
    def error(self) -> str | None: ...


class Status(Protocol):
    """A job at one moment, as the library and the client both tell of it."""

    @property
    def id(self) -> str: ...
    @property
    def argv(self) -> tuple[str, ...]: ...
    @property
    def owner(self) -> str: ...
    @property
    def labels(self) -> Mapping[str, str]: ...
    @property
    def state(self) -> lib.State | JobState: ...
    @property
    def created_at(self) -> datetime: ...
    @property
    def started_at(self) -> datetime | None: ...
    @property
    def ended_at(self) -> datetime | None: ...
    @property
    def exit_code(self) -> int | None: ...
    @property
    def signal(self) -> int | None: ...
    @property
    def reason(self) -> str | None: ...
    @property
    def error(self) -> str | None: ...
    @property
    def timeout(self) -> float | None: ...
    @property
    def attempts(self) -> Sequence[Attempt]: ...
    @property
    def stdin(self) -> bool: ...
    @property
    def tty(self) -> bool: ...
    @property
    def output_bytes(self) -> int: ...
    @property
    def output_dropped_bytes(self) -> int: ...
    @property
    def limits(self) -> lib.Limits | fence.Limits: ...
    @property
    def usage(self) -> lib.Usage | fence.Usage | None: ...
    @property
    def isolation(self) -> lib.Isolation | fence.Isolation | None: ...
    @property
    def out_of_memory_process(self) -> str | None: ...
    def describe(self) -> str: ...


class Gap(Protocol):
    """Output that was dropped."""

    @property
    def begin(self) -> int: ...
    @property
    def end(self) -> int: ...


class Chunk(Protocol):
    """A run of output bytes."""

    @property
    def data(self) -> bytes: ...
    @property
    def stream(self) -> str: ...
    @property
    def offset(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def time(self) -> datetime: ...
    @property
    def gap(self) -> Gap | None: ...


class RefusedError(Exception):
    """The engine refused; ``reason`` is told as the API's ErrorInfo does."""

    def __init__(self, reason: str, message: str, *, field: str | None = None, job_id: str | None = None) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.field = field
        """The argument that can't be used."""
        self.job_id = job_id
        """The job whose start failed."""


@dataclass(frozen=True)
class Page:
    """A page of a list."""

    statuses: Sequence[Status]
    next_page_token: str


@dataclass(frozen=True)
class Happening:
    """An event."""

    kind: str
    job_id: str
    time: datetime
    cursor: str


class Subject(Protocol):
    """An engine to test. Every method raises RefusedError, and waits no longer than tests are patient."""

    owner: str
    """Whose jobs it starts."""
    state_dir: Path

    def start(
        self,
        argv: Sequence[str],
        *,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        timeout: float | None = None,
        limits: lib.Limits | None = None,
        labels: Mapping[str, str] | None = None,
        request_id: str | None = None,
        stdin: bool = False,
        terminal: lib.TerminalSize | None = None,
        restart: lib.RestartPolicy | None = None,
        priority: int = 0,
        start_deadline: float | None = None,
        output_limit: lib.OutputLimit | None = None,
        isolation: lib.Isolation | None = None,
        user: str | None = None,
        groups: Sequence[str] | None = None,
    ) -> str:
        """Start a job: its id."""

    def attach(self, job_id: str, *, watch_only: bool = False, offset: int = 0, tail: int | None = None) -> Joined:
        """Join it; its output begins at the offset, or with the last lines."""

    def status(self, job_id: str) -> Status: ...
    def wait(self, job_id: str, timeout: float = PATIENCE_SECONDS) -> Status:
        """The job, ended. TimeoutError."""

    def stop(self, job_id: str, *, grace: float = 10.0, force: bool = False) -> Status: ...
    def signal(self, job_id: str, signal: str) -> None: ...
    def set_timeout(self, job_id: str, timeout: float | None) -> None: ...
    def delete(self, job_id: str) -> None: ...
    def output(self, job_id: str, **options: Any) -> Iterator[Chunk]:
        """The output, as ``lib.OutputOptions`` select it."""
        ...

    def list(
        self,
        *,
        owner: str | None = None,
        labels: Mapping[str, str] | None = None,
        states: Sequence[str] = (),
        id_prefix: str | None = None,
        limit: int | None = None,
        page_token: str = "",
    ) -> Page: ...

    def set_bounds(self, bounds: lib.Bounds) -> None:
        """Let these bounds hold, also after a restart."""

    def cursor(self) -> str:
        """Where the events begin that happen from now on."""

    def watch(self, cursor: str) -> Iterator[Happening]:
        """What happened and happens after a cursor."""

    def wait_for(self, job_ids: Sequence[str], *, any: bool = False) -> Sequence[Status]:  # noqa: A002  # as in the API
        """All of the jobs, ended; or with ``any`` those that have, once one has."""

    def restart(self) -> None:
        """Let the engine's program end, as badly as it can here, and open the same state directory again."""

    def close(self) -> None: ...


_REASONS: dict[type[Exception], str] = {
    lib.InvalidArgumentError: "INVALID_ARGUMENT",
    lib.JobNotFoundError: "JOB_NOT_FOUND",
    lib.CursorExpiredError: "CURSOR_EXPIRED",
    lib.JobNotRunningError: "JOB_NOT_RUNNING",
    lib.JobRunningError: "JOB_RUNNING",
    lib.NoInputError: "NO_INPUT",
    lib.NoTerminalError: "NO_TERMINAL",
    lib.InputClosedError: "INPUT_CLOSED",
    lib.LimitNotEnforceableError: "LIMIT_NOT_ENFORCEABLE",
    lib.IsolationError: "ISOLATION_NOT_AVAILABLE",
    lib.QuotaExceededError: "QUOTA_EXCEEDED",
    lib.CommandNotFoundError: "COMMAND_NOT_FOUND",
    lib.StartLostError: "START_LOST",
    lib.CommandNotExecutableError: "COMMAND_NOT_EXECUTABLE",
    lib.WorkingDirectoryError: "BAD_WORKING_DIRECTORY",
    lib.ArgumentsTooLongError: "ARGUMENTS_TOO_LONG",
}


@contextmanager
def _library_refusals() -> Iterator[None]:
    try:
        yield
    except lib.JobworkerError as error:
        raise RefusedError(
            _REASONS[type(error)],
            str(error),
            field=getattr(error, "field", None),
            job_id=getattr(error, "job_id", None),
        ) from error


def _happening(event: lib.Event) -> Happening:
    return Happening(str(event.type), event.job_id, event.time, event.cursor)


class LibrarySubject:
    """``jobworker_lib.Engine``."""

    owner = "ann"

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self._engine = lib.Engine(state_dir)

    def start(self, argv: Sequence[str], **options: Any) -> str:
        with _library_refusals():
            return self._engine.start(argv, owner=self.owner, **options).id

    def status(self, job_id: str) -> Status:
        with _library_refusals():
            return self._engine.get(job_id).status()

    def wait(self, job_id: str, timeout: float = PATIENCE_SECONDS) -> Status:
        with _library_refusals():
            return self._engine.get(job_id).wait(timeout)

    def stop(self, job_id: str, *, grace: float = 10.0, force: bool = False) -> Status:
        with _library_refusals():
            return self._engine.get(job_id).stop(grace=grace, force=force)

    def signal(self, job_id: str, signal: str) -> None:
        with _library_refusals():
            self._engine.get(job_id).signal(signal)

    def set_timeout(self, job_id: str, timeout: float | None) -> None:
        with _library_refusals():
            self._engine.get(job_id).set_timeout(timeout)

    def attach(self, job_id: str, *, watch_only: bool = False, offset: int = 0, tail: int | None = None) -> Joined:
        with _library_refusals():
            attachment = self._engine.get(job_id).attach(watch_only=watch_only, offset=offset, tail=tail)
        return Joined(LibraryAttachment(attachment, _library_refusals))

    def delete(self, job_id: str) -> None:
        with _library_refusals():
            self._engine.get(job_id).delete()

    def output(self, job_id: str, **options: Any) -> Iterator[Chunk]:
        with _library_refusals():
            job = self._engine.get(job_id)
            yield from job.output(**options)

    def list(self, *, states: Sequence[str] = (), **options: Any) -> Page:
        with _library_refusals():
            page = self._engine.list(state=states or None, **options)
        return Page(page.statuses, page.next_page_token)

    def set_bounds(self, bounds: lib.Bounds) -> None:
        self._engine.close()
        self._engine = lib.Engine(self.state_dir, bounds=bounds)

    def cursor(self) -> str:
        with self._engine.watch() as watch:
            return watch.cursor

    def watch(self, cursor: str) -> Iterator[Happening]:
        with _library_refusals(), self._engine.watch(cursor) as watch:
            yield from map(_happening, watch)

    def wait_for(self, job_ids: Sequence[str], *, any: bool = False) -> Sequence[Status]:  # noqa: A002  # as in the API
        with _library_refusals():
            return self._engine.wait(job_ids, any=any, timeout=PATIENCE_SECONDS)

    def restart(self) -> None:
        self._engine.close()
        self._engine = lib.Engine(self.state_dir)

    def close(self) -> None:
        self._engine.close()


class AsyncioSubject:
    """``jobworker_lib.aio.Engine`` in the event loop of a thread."""

    owner = "ann"

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._engine = lib.aio.Engine(state_dir)

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        with _library_refusals():
            return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def _with_job(self, job_id: str, do: Callable[[lib.aio.Job], Coroutine[Any, Any, T]]) -> T:
        async def found() -> T:
            return await do(await self._engine.get(job_id))

        return self._run(found())

    def start(self, argv: Sequence[str], **options: Any) -> str:
        return self._run(self._engine.start(argv, owner=self.owner, **options)).id

    def status(self, job_id: str) -> Status:
        return self._with_job(job_id, lambda job: job.status())

    def wait(self, job_id: str, timeout: float = PATIENCE_SECONDS) -> Status:
        return self._with_job(job_id, lambda job: job.wait(timeout))

    def stop(self, job_id: str, *, grace: float = 10.0, force: bool = False) -> Status:
        return self._with_job(job_id, lambda job: job.stop(grace=grace, force=force))

    def signal(self, job_id: str, signal: str) -> None:
        self._with_job(job_id, lambda job: job.signal(signal))

    def set_timeout(self, job_id: str, timeout: float | None) -> None:
        self._with_job(job_id, lambda job: job.set_timeout(timeout))

    def attach(self, job_id: str, *, watch_only: bool = False, offset: int = 0, tail: int | None = None) -> Joined:
        attachment = self._with_job(job_id, lambda job: job.attach(watch_only=watch_only, offset=offset, tail=tail))
        return Joined(AsyncioAttachment(attachment, self._run))

    def delete(self, job_id: str) -> None:
        self._with_job(job_id, lambda job: job.delete())

    def output(self, job_id: str, **options: Any) -> Iterator[Chunk]:
        async def open_batches(job: lib.aio.Job) -> AsyncIterator[list[lib.Chunk]]:
            return job.output_batches(**options)

        async def next_batch() -> list[lib.Chunk]:
            return await anext(batches, [])

        async def close_batches() -> None:
            await batches.aclose()  # type: ignore[attr-defined]  # it is an asynchronous generator

        batches = self._with_job(job_id, open_batches)
        try:
            while batch := self._run(next_batch()):
                yield from batch
        finally:
            self._run(close_batches())

    def list(self, *, states: Sequence[str] = (), **options: Any) -> Page:
        page = self._run(self._engine.list(state=states or None, **options))
        return Page(page.statuses, page.next_page_token)

    def set_bounds(self, bounds: lib.Bounds) -> None:
        self._run(self._engine.close())
        self._engine = lib.aio.Engine(self.state_dir, bounds=bounds)

    def cursor(self) -> str:
        async def now() -> str:
            async with self._engine.watch() as watch:
                return watch.cursor

        return self._run(now())

    def watch(self, cursor: str) -> Iterator[Happening]:
        async def begin() -> tuple[lib.events.watch.AsyncWatch, AsyncIterator[lib.Event]]:
            watch = self._engine.watch(cursor)
            return watch, aiter(watch)

        async def following() -> lib.Event:
            return await asyncio.wait_for(anext(events), PATIENCE_SECONDS)

        async def end() -> None:
            await events.aclose()  # type: ignore[attr-defined]  # it is an asynchronous generator
            await watch.close()

        watch, events = self._run(begin())
        try:
            while True:
                yield _happening(self._run(following()))
        finally:
            self._run(end())

    def wait_for(self, job_ids: Sequence[str], *, any: bool = False) -> Sequence[Status]:  # noqa: A002  # as in the API
        return self._run(self._engine.wait(job_ids, any=any, timeout=PATIENCE_SECONDS))

    def restart(self) -> None:
        self._run(self._engine.close())
        self._engine = lib.aio.Engine(self.state_dir)

    def close(self) -> None:
        self._run(self._engine.close())
        self._run(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class ServerSubject:
    """A ``jobworker-server`` process through ``jobworker_cli.client``."""

    owner = "full"

    def __init__(self, state_dir: Path, certs: Path) -> None:
        self.state_dir = state_dir
        self._certs = certs
        self._log = certs.parent / "server.log"
        self._bounds = lib.Bounds()
        self._launch()

    def _launch(self) -> None:
        arguments = ["--listen", "localhost:0", "--certs", str(self._certs), "--state-dir", str(self.state_dir)]
        for name, value in (
            ("--max-running", self._bounds.running),
            ("--max-running-per-owner", self._bounds.running_per_owner),
            ("--when-full", self._bounds.when_full),
            ("--max-queued", self._bounds.queued),
        ):
            arguments += [] if value is None else [name, str(value)]
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("JOBWORKER_", "GRPC_"))
        }
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "jobworker_server", *arguments], stderr=log, env=environment
            )
        wait_until(lambda: self._address() or self._process.poll() is not None, "the server's readiness line")
        assert self._process.poll() is None, self._log.read_text()
        self._client = self._connect()

    def _connect(self) -> Client | LoopClient:
        return Client(self._address(), Credentials.from_directory(self._certs), timeout=PATIENCE_SECONDS)

    def _address(self) -> str:
        match = re.search(r"listening on (\S+)\s", self._log.read_text())
        return match[1] if match else ""

    def start(self, argv: Sequence[str], **options: Any) -> str:
        with _server_refusals():
            return self._client.start(argv, **client_options(options)).id

    def status(self, job_id: str) -> Status:
        with _server_refusals():
            return self._client.status(job_id)

    def wait(self, job_id: str, timeout: float = PATIENCE_SECONDS) -> Status:
        with _server_refusals():
            return self._client.wait(job_id, timeout=timeout)

    def stop(self, job_id: str, *, grace: float = 10.0, force: bool = False) -> Status:
        with _server_refusals():
            return self._client.stop(job_id, grace=grace, force=force)

    def signal(self, job_id: str, signal: str) -> None:
        with _server_refusals():
            self._client.signal(job_id, signal)

    def set_timeout(self, job_id: str, timeout: float | None) -> None:
        with _server_refusals():
            self._client.set_timeout(job_id, timeout)

    def attach(self, job_id: str, *, watch_only: bool = False, offset: int = 0, tail: int | None = None) -> Joined:
        with _server_refusals():
            attachment = self._client.attach(job_id, watch_only=watch_only, offset=offset, tail=tail)
        return Joined(ServerAttachment(attachment, _server_refusals))

    def delete(self, job_id: str) -> None:
        with _server_refusals():
            self._client.delete(job_id)

    def output(self, job_id: str, **options: Any) -> Iterator[Chunk]:
        with _server_refusals():
            stream = options.pop("stream", None)
            yield from self._client.output(job_id, stream=Stream(stream) if stream else None, **options)

    def list(
        self,
        *,
        owner: str | None = None,
        labels: Mapping[str, str] | None = None,
        states: Sequence[str] = (),
        id_prefix: str | None = None,
        limit: int | None = None,
        page_token: str = "",
    ) -> Page:
        with _server_refusals():
            page = self._client.list_page(
                owner=owner or "",
                all_owners=owner is None,
                labels=labels,
                states=[JobState(state) for state in states],
                id_prefix=id_prefix or "",
                page_size=limit or 0,
                page_token=page_token,
            )
        return Page(page.jobs, page.next_page_token)

    def set_bounds(self, bounds: lib.Bounds) -> None:
        self._bounds = bounds
        self.restart()

    def cursor(self) -> str:
        with _server_refusals():
            batches = self._client.watch_batches()
            _, cursor = next(batches)
            batches.close()  # type: ignore[attr-defined]  # it is a generator
            return cursor

    def watch(self, cursor: str) -> Iterator[Happening]:
        with _server_refusals():
            for event in self._client.watch(cursor, all_owners=True):
                yield Happening(str(event.type), event.job_id, event.time, event.cursor)

    def wait_for(self, job_ids: Sequence[str], *, any: bool = False) -> Sequence[Status]:  # noqa: A002  # as in the API
        with _server_refusals():
            ended = self._client.as_ended(job_ids, timeout=PATIENCE_SECONDS)
            if any:
                return [next(ended)]
            by_id = {job.id: job for job in ended}
            return [by_id[job_id] for job_id in job_ids]

    def restart(self) -> None:
        self._end(self._process.kill)
        self._launch()

    def close(self) -> None:
        self._end(self._process.terminate)
        assert self._process.returncode == 0, self._log.read_text()

    def _end(self, end: Callable[[], None]) -> None:
        self._client.close()
        end()
        try:
            self._process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise


class AsyncioServerSubject(ServerSubject):
    """The same through ``jobworker_cli.client.aio``."""

    def _connect(self) -> Client | LoopClient:
        return LoopClient(self._address(), Credentials.from_directory(self._certs), timeout=PATIENCE_SECONDS)


@contextmanager
def _server_refusals() -> Iterator[None]:
    try:
        yield
    except NoAnswerError:
        raise
    except ClientError as error:
        raise _refusal_of(error) from error


def _refusal_of(error: ClientError) -> RefusedError:
    if isinstance(error, InputClosedError):  # told by the output, so no call has failed
        return RefusedError("INPUT_CLOSED", str(error))
    info, request = ErrorInfo(), BadRequest()
    # The client keeps the call that failed as its error's context; what it refuses by itself has none.
    status = from_call(error.__context__) if error.__context__ else None
    for detail in status.details if status else ():
        if not detail.Unpack(info):
            detail.Unpack(request)
    assert info.reason or isinstance(error, InvalidRequestError), str(error)
    assert (info.reason == "JOB_NOT_FOUND") == isinstance(error, JobNotFoundError)
    return RefusedError(
        info.reason or "INVALID_ARGUMENT",
        str(error),
        field=request.field_violations[0].field if request.field_violations else None,
        job_id=info.metadata.get("job_id"),
    )
