"""The asyncio client in the event loop of a thread, with the methods of the synchronous one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Sequence
from typing import Any, TypeVar

from jobworker_cli.client import Chunk, Credentials, Event, Job, JobPage, TerminalSize, aio

T = TypeVar("T")


class LoopClient:
    """``jobworker_cli.client.aio.Client``."""

    def __init__(self, server: str, credentials: Credentials, *, timeout: float) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

        async def made() -> aio.Client:
            return aio.Client(server, credentials, timeout=timeout)

        self._client = self._run(made())

    def close(self) -> None:
        self._run(self._client.close())
        self._run(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def start(self, argv: Sequence[str], **options: Any) -> Job:
        return self._run(self._client.start(argv, **options))

    def attach(self, job_id: str, **options: Any) -> LoopAttachment:
        return LoopAttachment(self._run(self._client.attach(job_id, **options)), self._run, self._each)

    def status(self, job_id: str) -> Job:
        return self._run(self._client.status(job_id))

    def stop(self, job_id: str, **options: Any) -> Job:
        return self._run(self._client.stop(job_id, **options))

    def signal(self, job_id: str, signal: str) -> None:
        self._run(self._client.signal(job_id, signal))

    def set_timeout(self, job_id: str, timeout: float | None) -> Job:
        return self._run(self._client.set_timeout(job_id, timeout))

    def delete(self, job_id: str) -> None:
        self._run(self._client.delete(job_id))

    def wait(self, job_id: str, *, timeout: float | None = None) -> Job:
        return self._run(self._client.wait(job_id, timeout=timeout))

    def as_ended(self, job_ids: Sequence[str], *, timeout: float | None = None) -> Iterator[Job]:
        return self._each(self._client.as_ended(job_ids, timeout=timeout))

    def output(self, job_id: str, **options: Any) -> Iterator[Chunk]:
        for batch in self._each(self._client.output_batches(job_id, **options)):
            yield from batch

    def watch(self, cursor: str = "", **options: Any) -> Iterator[Event]:
        return self._each(self._client.watch(cursor, **options))

    def watch_batches(self, cursor: str = "", **options: Any) -> Iterator[tuple[Sequence[Event], str]]:
        return self._each(self._client.watch_batches(cursor, **options))

    def list_page(self, **options: Any) -> JobPage:
        return self._run(self._client.list_page(**options))

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    def _each(self, generator: AsyncGenerator[T]) -> Iterator[T]:
        async def following() -> list[T]:
            async for item in generator:
                return [item]
            return []

        try:
            while found := self._run(following()):
                yield from found
        finally:
            self._run(generator.aclose())


class LoopAttachment:
    """``jobworker_cli.client.aio.Attachment``."""

    def __init__(
        self, attachment: aio.Attachment, run: Callable[[Coroutine[Any, Any, Any]], Any], each: Callable[..., Any]
    ) -> None:
        self._attachment = attachment
        self._run = run
        self._each = each

    def write(self, data: bytes) -> None:
        self._run(self._attachment.write(data))

    def close_input(self) -> None:
        self._run(self._attachment.close_input())

    def resize(self, size: TerminalSize) -> None:
        self._run(self._attachment.resize(size))

    def output(self) -> Iterator[Chunk]:
        for batch in self._each(self._attachment.output_batches()):
            yield from batch

    def close(self) -> None:
        self._run(self._attachment.close())
