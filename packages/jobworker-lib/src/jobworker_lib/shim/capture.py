"""Captures a job's output: from its pipes to its directory, pausing while the disk is to take no more."""

from __future__ import annotations

import fcntl
import os
import select
import time
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobworker_lib.output.writer import OutputWriter

_RETRY_SECONDS = 0.2
_DEFAULT_PIPE_BYTES = 64 << 10
_BUSY_PIPE_BYTES = 1 << 20


class Capture:
    """The pipes of one job, registered with the shim's poller.

    While the log can't be written (a full disk), or the disk has less free than its reserve, nothing is read, so the
    job blocks in write(2) and no byte is lost.
    """

    def __init__(self, pipes: tuple[int, ...], writer: OutputWriter, poller: select.poll) -> None:
        self._streams = {pipe: stream for stream, pipe in enumerate(pipes)}
        self._writer = writer
        self._poller = poller
        self._enlarged: set[int] = set()
        self.retry_at: float | None = None
        """When to try again, by the monotonic clock; None while the log takes what comes."""
        self._has_complained = False
        for pipe in pipes:
            poller.register(pipe, select.POLLIN)

    def __contains__(self, descriptor: int) -> bool:
        return descriptor in self._streams

    def ready(self, pipe: int) -> None:
        """Take what a pipe holds."""
        try:
            self._move(pipe)
        except OSError as error:
            self._pause(error)

    def retry(self) -> None:
        """Try again to write, after a pause."""
        try:
            self._writer.flush()
        except OSError as error:
            self._pause(error)
            return
        self.retry_at = None
        for pipe in self._streams:
            self._poller.register(pipe, select.POLLIN)

    def drain(self) -> bool:
        """Take all that is in the pipes, then close them; False where the log can't be written now: call again.

        There is no process left that could write more, so a reserve of the disk holds what is there.
        """
        try:
            for pipe in list(self._streams):
                while pipe in self._streams and self._move(pipe, use_reserve=True):
                    pass
            self._writer.flush()
        except OSError as error:
            self._pause(error)
            return False
        for pipe in list(self._streams):
            self._close(pipe)
        return True

    def _move(self, pipe: int, *, use_reserve: bool = False) -> bool:
        """Move what the pipe holds; False: it is empty or at its end."""
        try:
            moved = self._writer.move(pipe, self._streams[pipe], use_reserve=use_reserve)
        except BlockingIOError:
            return False
        self._has_complained = False
        if not moved:
            self._close(pipe)
        elif moved >= _DEFAULT_PIPE_BYTES and pipe not in self._enlarged:
            self._enlarge(pipe)
        return moved > 0

    def _enlarge(self, pipe: int) -> None:
        """Give a pipe that was found full more room; only such pipes, for a user's share of it is bounded (pipe(7))."""
        self._enlarged.add(pipe)
        try:
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _BUSY_PIPE_BYTES)
        except OSError:
            return  # this user's share is used up; the pipe stays as it is

    def _pause(self, error: OSError) -> None:
        if self.retry_at is None:
            for pipe in self._streams:
                self._poller.unregister(pipe)
        self.retry_at = time.monotonic() + _RETRY_SECONDS
        self._complain(error)

    def _complain(self, error: OSError) -> None:
        """Say once why the job waits, in the engine's log; past Python's buffers, for that may be on the full disk."""
        if not self._has_complained:
            self._has_complained = True
            with suppress(OSError):
                os.write(2, f"the output of job {self._writer.job_id} waits: {error.strerror}\n".encode())

    def _close(self, pipe: int) -> None:
        del self._streams[pipe]
        if self.retry_at is None:
            self._poller.unregister(pipe)
        os.close(pipe)
