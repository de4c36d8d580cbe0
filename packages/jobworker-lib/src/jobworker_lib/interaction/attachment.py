"""Attachments for synchronous programs."""

from __future__ import annotations

import select
from typing import TYPE_CHECKING, Self

from jobworker_lib.errors import InputClosedError
from jobworker_lib.waiting.drivers import done, until
from jobworker_lib.waiting.watcher import Change

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from jobworker_lib.core import Core
    from jobworker_lib.engine import Job
    from jobworker_lib.interaction.input import JobInput
    from jobworker_lib.job.terminal import TerminalSize
    from jobworker_lib.output.chunk import Chunk
    from jobworker_lib.output.reader import OutputReader


class Attachment:
    """Who joins a running job: what it writes is the job's input, and it sees the job's output.

    As a context manager it is closed at the end of the block, which leaves the job running and its input open. Any
    number may be attached to a job; what they write at the same time is mixed. One thread may write while another
    reads the output.
    """

    def __init__(self, core: Core, job: Job, job_input: JobInput | None, reader: OutputReader) -> None:
        self._core = core
        self.job = job
        self._input = job_input
        self._reader = reader

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def write(self, data: bytes) -> None:
        """Write all of ``data`` to the job's input; returns when the job, or the kernel for it, has taken it.

        The kernel holds about 128 KiB that the job has not read yet; then this waits for the job, however long.

        Raises:
            InputClosedError: the job takes no more: it, or who is attached, has closed its input, or it has ended. How
                much of ``data`` it has read is not known.
        """
        job_input = self._writable()
        self._open(job_input)
        rest = memoryview(data)
        while rest:
            sent = job_input.send(rest)
            rest = rest[sent:]
            if not sent:
                _wait_for_room(job_input)

    def close_input(self) -> None:
        """End the job's input, for everybody: the job reads the end of file after all that was written before.

        Raises:
            InvalidArgumentError: the job has a terminal, whose input has no end: write Ctrl-D, ``b"\\x04"``.
        """
        done(self._core, self._writable().end())

    def resize(self, size: TerminalSize) -> None:
        """Set the size of the job's terminal; programs that fill the screen draw it anew.

        The first size makes them do that even where it is what it was.

        Raises:
            InvalidArgumentError: it can't be a size.
            NoTerminalError: the job has no terminal.
        """
        done(self._core, self._writable().resize(size))

    def output(self) -> Iterator[Chunk]:
        """The job's output until it has ended. To be iterated once, or on from where it was left."""
        for batch in self.output_batches():
            yield from batch

    def output_batches(self) -> Iterator[list[Chunk]]:
        """As :meth:`output`, but all that is there at once, at most 1 MiB of data a batch."""
        while batch := until(self._core, self.job.id, self._reader.next_batch, Change.OUTPUT):
            yield batch

    def close(self) -> None:
        """Leave the job as it is, running and its input open. A thread that waits in :meth:`write` is woken."""
        self._reader.close()
        if self._input is not None:
            self._input.close()

    def _open(self, job_input: JobInput) -> None:
        with job_input.handing_over:
            if job_input.is_opening:
                done(self._core, job_input.opening)
            job_input.opened()

    def _writable(self) -> JobInput:
        if self._input is None or self._input.fileno() < 0:
            raise InputClosedError(self.job.id)
        return self._input


def _wait_for_room(job_input: JobInput) -> None:
    poller = select.poll()
    descriptor = job_input.fileno()
    if descriptor >= 0:  # it was not closed meanwhile, which the next try to send tells
        poller.register(descriptor, select.POLLOUT)
        poller.poll()
