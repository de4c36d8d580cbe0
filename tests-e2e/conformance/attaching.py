"""A job joined, behind one small interface, whichever way the engine is reached."""

from __future__ import annotations

import queue
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractContextManager
from typing import Any, Protocol, Self

import jobworker_lib as lib
from conformance.loop_client import LoopAttachment
from conformance.processes import PATIENCE_SECONDS
from jobworker_cli.client import Attachment as ClientAttachment
from jobworker_cli.client import TerminalSize
from jobworker_cli.errors import ClientError

Refusals = Callable[[], AbstractContextManager[None]]
Run = Callable[[Coroutine[Any, Any, Any]], Any]


class Attachment(Protocol):
    """A job that was joined. What it refuses it raises, or what follows does: over gRPC nobody waits for an answer."""

    def write(self, data: bytes) -> None: ...
    def close_input(self) -> None: ...
    def resize(self, rows: int, columns: int) -> None: ...
    def read(self) -> bytes:
        """More of the output, empty at its end."""

    def close(self) -> None: ...


class Joined:
    """An attachment as a test uses it; closed at the end of its block."""

    def __init__(self, attachment: Attachment) -> None:
        self._attachment = attachment
        self.write = attachment.write
        self.close_input = attachment.close_input
        self.resize = attachment.resize
        self.seen = b""
        """The output so far."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._attachment.close()

    def until(self, marker: bytes) -> bytes:
        """Read until the output since the last call holds the marker: that output up to the marker."""
        while marker not in self.seen:
            more = self._attachment.read()
            assert more, f"the output ended without {marker!r}: {self.seen!r}"
            self.seen += more
        found, _, self.seen = self.seen.partition(marker)
        return found + marker

    def rest(self) -> bytes:
        """The output to its end."""
        while more := self._attachment.read():
            self.seen += more
        return self.seen


class LibraryAttachment:
    def __init__(self, attachment: lib.Attachment, refusals: Refusals) -> None:
        self._attachment = attachment
        self._refusals = refusals
        self._chunks = attachment.output()

    def write(self, data: bytes) -> None:
        with self._refusals():
            self._attachment.write(data)

    def close_input(self) -> None:
        with self._refusals():
            self._attachment.close_input()

    def resize(self, rows: int, columns: int) -> None:
        with self._refusals():
            self._attachment.resize(lib.TerminalSize(rows, columns))

    def read(self) -> bytes:
        with self._refusals():
            return next((chunk.data for chunk in self._chunks), b"")

    def close(self) -> None:
        self._chunks.close()  # type: ignore[attr-defined]  # it is a generator
        self._attachment.close()


class AsyncioAttachment:
    def __init__(self, attachment: lib.aio.Attachment, run: Run) -> None:
        self._attachment = attachment
        self._run = run
        self._batches: AsyncIterator[list[lib.Chunk]] = attachment.output_batches()

    def write(self, data: bytes) -> None:
        self._run(self._attachment.write(data))

    def close_input(self) -> None:
        self._run(self._attachment.close_input())

    def resize(self, rows: int, columns: int) -> None:
        self._run(self._attachment.resize(lib.TerminalSize(rows, columns)))

    def read(self) -> bytes:
        async def more() -> list[lib.Chunk]:
            return await anext(self._batches, [])

        return b"".join(chunk.data for chunk in self._run(more()))

    def close(self) -> None:
        async def close() -> None:
            await self._batches.aclose()  # type: ignore[attr-defined]  # it is an asynchronous generator
            await self._attachment.close()

        self._run(close())


class ServerAttachment:
    """Its output is read all the time, as the client asks for."""

    def __init__(self, attachment: ClientAttachment | LoopAttachment, refusals: Refusals) -> None:
        self._attachment = attachment
        self._refusals = refusals
        self._output: queue.Queue[bytes | ClientError] = queue.Queue()
        self._reader = threading.Thread(target=self._read_all)
        self._reader.start()

    def write(self, data: bytes) -> None:
        with self._refusals():
            self._attachment.write(data)

    def close_input(self) -> None:
        with self._refusals():
            self._attachment.close_input()

    def resize(self, rows: int, columns: int) -> None:
        with self._refusals():
            self._attachment.resize(TerminalSize(rows, columns))

    def read(self) -> bytes:
        found = self._output.get(timeout=PATIENCE_SECONDS)
        self._output.put(found) if isinstance(found, ClientError) or not found else None
        with self._refusals():
            if isinstance(found, ClientError):
                raise found
            return found

    def close(self) -> None:
        self._attachment.close()
        self._reader.join()

    def _read_all(self) -> None:
        try:
            for chunk in self._attachment.output():
                self._output.put(chunk.data)
        except ClientError as error:
            self._output.put(error)
        else:
            self._output.put(b"")
