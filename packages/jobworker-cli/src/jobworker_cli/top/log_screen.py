"""A job's output as a screen, followed to its end."""

from __future__ import annotations

import codecs
from contextlib import aclosing
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.binding import Binding
from textual.screen import Screen
from textual.widgets import Footer, RichLog, Static

from jobworker_cli.errors import ClientError
from jobworker_cli.models import Stream
from jobworker_cli.text import command_line, escape

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from jobworker_cli.client.aio import Client
    from jobworker_cli.models import Chunk, Job

_LINES_BEFORE = 1000
_MOST_LINES = 10_000
_LONGEST_LINE = 10_000


class LogScreen(Screen[None]):
    """The last lines of the output, and what comes; Escape goes back."""

    CSS = "#title { height: 1; text-style: bold; }"
    BINDINGS: ClassVar = [Binding("escape,q,l", "dismiss", "back")]

    def __init__(self, client: Client, job: Job) -> None:
        super().__init__()
        self._client = client
        self._job = job
        self._parts = dict.fromkeys(Stream, "")
        self._decoders = {stream: codecs.getincrementaldecoder("utf-8")("replace") for stream in Stream}

    def compose(self) -> ComposeResult:
        """The parts of the screen."""
        yield Static(f"{self._job.id}  {command_line(self._job.argv)}", id="title", markup=False)
        yield RichLog(max_lines=_MOST_LINES, wrap=True, markup=False, highlight=False)
        yield Footer()

    def on_mount(self) -> None:
        """Begin to read; that ends with the screen."""
        self.query_one(RichLog).focus()
        self.run_worker(self._follow())

    async def _follow(self) -> None:
        log = self.query_one(RichLog)
        try:
            async with aclosing(self._client.output_batches(self._job.id, tail=_LINES_BEFORE)) as batches:
                async for batch in batches:
                    for chunk in batch:
                        self._write(log, chunk)
            for stream in Stream:
                self._line(log, stream, self._parts[stream])
            log.write(Text(f"-- {(await self._client.status(self._job.id)).describe()}", style="bold"))
        except ClientError as error:
            log.write(Text(f"-- {error}", style="bold"))

    def _write(self, log: RichLog, chunk: Chunk) -> None:
        """Write the lines that are whole; of each stream what is begun is kept until it ends."""
        text = self._decoders[chunk.stream].decode(chunk.data)
        *lines, rest = (self._parts[chunk.stream] + text).split("\n")
        if len(rest) > _LONGEST_LINE:
            lines, rest = [*lines, rest], ""
        self._parts[chunk.stream] = rest
        for line in lines:
            self._line(log, chunk.stream, line or " ")

    @staticmethod
    def _line(log: RichLog, stream: Stream, line: str) -> None:
        if line:
            log.write(Text(escape(line.rstrip("\r")), style="red" if stream is Stream.STDERR else ""))
