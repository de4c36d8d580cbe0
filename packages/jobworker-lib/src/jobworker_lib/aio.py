"""The engine for asyncio programs: the same as :mod:`jobworker_lib.engine`, awaited.

Calls that do something run in the event loop's default thread pool; waiting takes no thread.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Self, TypeVar

from jobworker_lib.core import Core
from jobworker_lib.engine import RunResult
from jobworker_lib.errors import JobworkerError
from jobworker_lib.events.watch import AsyncWatch
from jobworker_lib.interaction.aio_attachment import Attachment
from jobworker_lib.shim.ending import DEFAULT_GRACE_SECONDS
from jobworker_lib.store.page import Page
from jobworker_lib.store.retention import AS_BEFORE
from jobworker_lib.waiting.drivers import block_async, done_async, until_async
from jobworker_lib.waiting.watcher import Change

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
    from types import TracebackType
    from typing import Unpack

    from jobworker_lib.job.spec import Argument
    from jobworker_lib.job.start_options import StartOptions
    from jobworker_lib.job.status import JobStatus, State
    from jobworker_lib.output.chunk import Chunk
    from jobworker_lib.output.reader import OutputReader
    from jobworker_lib.output.selection import OutputOptions
    from jobworker_lib.queue.bounds import Bounds
    from jobworker_lib.store.retention import GivenRetention

__all__ = ["Attachment", "Engine", "Job"]

T = TypeVar("T")


class Engine:
    """As :class:`jobworker_lib.Engine`, awaited; to be used in one event loop."""

    def __init__(
        self,
        state_dir: str | os.PathLike[str] | None = None,
        *,
        bounds: Bounds | None = None,
        retention: GivenRetention = AS_BEFORE,
        hidden_paths: Iterable[str | os.PathLike[str]] = (),
        cgroup: str | None = None,
    ) -> None:
        """As :meth:`jobworker_lib.Engine.__init__`, with its errors."""
        self._core = Core(state_dir, bounds, retention, hidden_paths, cgroup)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Let go of the state directory; jobs run on."""
        await asyncio.to_thread(self._core.close)

    async def start(self, argv: Sequence[Argument], **options: Unpack[StartOptions]) -> Job:
        """As :meth:`jobworker_lib.Engine.start`, with its errors."""
        job_id = await asyncio.to_thread(self._core.start, argv, **options)
        return Job(self._core, await until_async(self._core, job_id, lambda: self._core.poll_started(job_id)))

    async def get(self, job_id: str) -> Job:
        """As :meth:`jobworker_lib.Engine.get`, with its errors."""
        self._core.directory(job_id)
        return Job(self._core, job_id)

    async def list(
        self,
        *,
        owner: str | None = None,
        labels: Mapping[str, str] | None = None,
        state: State | str | Iterable[State | str] | None = None,
        id_prefix: str | None = None,
        limit: int | None = None,
        page_token: str = "",
    ) -> Page[Job]:
        """As :meth:`jobworker_lib.Engine.list`, with its errors."""
        statuses, token = await asyncio.to_thread(
            self._core.list,
            owner=owner,
            labels=labels,
            state=state,
            id_prefix=id_prefix,
            limit=limit,
            page_token=page_token,
        )
        return Page([Job(self._core, status.id) for status in statuses], statuses, token)

    async def wait(
        self,
        jobs: Iterable[Job | str],
        *,
        any: bool = False,  # noqa: A002 - as the API has it
        timeout: float | None = None,
    ) -> Sequence[JobStatus]:
        """As :meth:`jobworker_lib.Engine.wait`, with its errors."""
        ends = self._core.ends(_ids(jobs), wait_for_any=any)
        if (found := await asyncio.to_thread(ends.poll)) is not None:
            return found
        try:
            async with asyncio.timeout(timeout):
                return await block_async(self._core, ends.places(), ends.poll)
        except TimeoutError:
            raise TimeoutError(f"the jobs have not ended after {timeout} seconds") from None

    def watch(
        self, cursor: str | None = None, *, owner: str | None = None, jobs: Iterable[Job | str] | None = None
    ) -> AsyncWatch:
        """As :meth:`jobworker_lib.Engine.watch`, with its errors; to be iterated over with ``async for``."""
        return AsyncWatch(self._core, self._core.feed(cursor, owner, None if jobs is None else _ids(jobs)))

    async def run(self, argv: Sequence[Argument], *, check: bool = False, **options: Unpack[StartOptions]) -> RunResult:
        """As :meth:`jobworker_lib.Engine.run`, with its errors; cancelled, it stops the job."""
        starting = asyncio.ensure_future(self.start(argv, **options))
        try:
            job = await asyncio.shield(starting)
            chunks = [chunk async for chunk in job.output()]
            return RunResult.of(await job.wait(), chunks, check=check)
        except asyncio.CancelledError:
            with suppress(JobworkerError):  # it may not have started, or have ended
                await (await starting).stop()
            raise


def _ids(jobs: Iterable[Job | str]) -> list[str]:
    return [job if isinstance(job, str) else job.id for job in jobs]


class Job:
    """As :class:`jobworker_lib.Job`, awaited."""

    def __init__(self, core: Core, job_id: str) -> None:
        self._core = core
        self.id = job_id

    def __repr__(self) -> str:
        return f"Job({self.id!r})"

    async def status(self, *, usage: bool = True) -> JobStatus:
        """As :meth:`jobworker_lib.Job.status`."""
        return await asyncio.to_thread(self._core.status, self.id, usage=usage)

    async def wait(self, timeout: float | None = None) -> JobStatus:
        """As :meth:`jobworker_lib.Job.wait`."""
        try:
            async with asyncio.timeout(timeout):
                return await until_async(self._core, self.id, lambda: self._core.poll_ended(self.id))
        except TimeoutError:
            raise TimeoutError(f"job {self.id} has not ended after {timeout} seconds") from None

    async def stop(self, *, grace: float = DEFAULT_GRACE_SECONDS, force: bool = False) -> JobStatus:
        """As :meth:`jobworker_lib.Job.stop`; once asked for, the stop goes on even if this call is cancelled."""
        await done_async(self._core, self._core.stop(self.id, grace=grace, force=force))
        return await self.wait()

    async def signal(self, signal: str | int) -> None:
        """As :meth:`jobworker_lib.Job.signal`."""
        await done_async(self._core, self._core.signal(self.id, signal))

    async def set_timeout(self, timeout: float | None) -> None:
        """As :meth:`jobworker_lib.Job.set_timeout`."""
        await done_async(self._core, self._core.set_timeout(self.id, timeout))

    async def attach(self, *, watch_only: bool = False, **options: Unpack[OutputOptions]) -> Attachment:
        """As :meth:`jobworker_lib.Job.attach`, with its errors."""
        job_input, reader = await asyncio.to_thread(self._core.attach, self.id, watch_only=watch_only, **options)
        try:
            await _begin(reader)
        except BaseException:  # it is cancelled
            reader.close()
            if job_input:
                job_input.close()
            raise
        return Attachment(self._core, self, job_input, reader)

    async def delete(self) -> None:
        """As :meth:`jobworker_lib.Job.delete`."""
        await asyncio.to_thread(self._core.delete, self.id)

    async def output(self, **options: Unpack[OutputOptions]) -> AsyncGenerator[Chunk, None]:
        """As :meth:`jobworker_lib.Job.output`."""
        async with aclosing(self.output_batches(**options)) as batches:
            async for batch in batches:
                for chunk in batch:
                    yield chunk

    async def output_batches(self, **options: Unpack[OutputOptions]) -> AsyncGenerator[list[Chunk], None]:
        """As :meth:`jobworker_lib.Job.output_batches`."""
        with self._core.reader(self.id, **options) as reader:
            if options.get("tail") is not None:
                await _begin(reader)
            while True:
                while not reader.seek():  # noqa: ASYNC110  # it is this loop that does the work
                    await asyncio.sleep(0)  # others are to have their turn
                if not (batch := await until_async(self._core, self.id, reader.next_batch, Change.OUTPUT)):
                    return
                yield batch


async def _begin(reader: OutputReader) -> None:
    """As ``reader.begin``, a piece at a time: others wait for the same threads."""
    while not await asyncio.to_thread(reader.begin_some):
        pass
