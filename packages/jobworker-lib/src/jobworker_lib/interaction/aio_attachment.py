"""Attachments for asyncio programs."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Self

from jobworker_lib.errors import InputClosedError
from jobworker_lib.waiting.drivers import done_async, until_async
from jobworker_lib.waiting.watcher import Change

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from types import TracebackType

    from jobworker_lib.aio import Job
    from jobworker_lib.core import Core
    from jobworker_lib.interaction.input import JobInput
    from jobworker_lib.job.terminal import TerminalSize
    from jobworker_lib.output.chunk import Chunk
    from jobworker_lib.output.reader import OutputReader


class Attachment:
    """As :class:`jobworker_lib.Attachment`, awaited; one task may write while others read or wait."""

    def __init__(self, core: Core, job: Job, job_input: JobInput | None, reader: OutputReader) -> None:
        self._core = core
        self.job = job
        self._input = job_input
        self._reader = reader
        self._writing = asyncio.Lock()
        self._opening = asyncio.Lock()
        self._waiters: set[asyncio.Event] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def write(self, data: bytes) -> None:
        """As :meth:`jobworker_lib.Attachment.write`; cancelled, it has written a part."""
        async with self._writing:
            job_input = self._writable()
            await self._open(job_input)
            rest = memoryview(data)
            while rest:
                sent = job_input.send(rest)
                rest = rest[sent:]
                if not sent:
                    loop = asyncio.get_running_loop()
                    await self._wait(job_input, loop.add_writer, loop.remove_writer)

    async def close_input(self) -> None:
        """As :meth:`jobworker_lib.Attachment.close_input`."""
        await done_async(self._core, self._writable().end())

    async def resize(self, size: TerminalSize) -> None:
        """As :meth:`jobworker_lib.Attachment.resize`."""
        await done_async(self._core, self._writable().resize(size))

    async def wait_input_closed(self) -> None:
        """Return when the job takes no more input, or this is closed."""
        job_input = self._writable()
        await self._open(job_input)
        loop = asyncio.get_running_loop()
        while not job_input.is_closed():
            await self._wait(job_input, loop.add_reader, loop.remove_reader)

    async def output(self) -> AsyncGenerator[Chunk, None]:
        """As :meth:`jobworker_lib.Attachment.output`."""
        async with aclosing(self.output_batches()) as batches:
            async for batch in batches:
                for chunk in batch:
                    yield chunk

    async def output_batches(self) -> AsyncGenerator[list[Chunk], None]:
        """As :meth:`jobworker_lib.Attachment.output_batches`."""
        while batch := await until_async(self._core, self.job.id, self._reader.next_batch, Change.OUTPUT):
            yield batch

    async def close(self) -> None:
        """As :meth:`jobworker_lib.Attachment.close`; tasks that wait in :meth:`write` are woken."""
        self._reader.close()
        if self._input is None or self._input.fileno() < 0:
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._input)
        loop.remove_writer(self._input)
        self._input.close()
        for waiter in self._waiters:
            waiter.set()

    async def _open(self, job_input: JobInput) -> None:
        async with self._opening:
            if job_input.is_opening:
                await done_async(self._core, job_input.opening)
            job_input.opened()

    def _writable(self) -> JobInput:
        if self._input is None or self._input.fileno() < 0:
            raise InputClosedError(self.job.id)
        return self._input

    async def _wait(
        self, job_input: JobInput, add: Callable[..., object], remove: Callable[[JobInput], object]
    ) -> None:
        """Wait until the loop finds the socket ready, or it is closed."""
        ready = asyncio.Event()
        self._waiters.add(ready)
        add(job_input, ready.set)
        try:
            await ready.wait()
        finally:
            self._waiters.discard(ready)
            if job_input.fileno() >= 0:
                remove(job_input)
