"""Writes to running jobs. Like reading, it never waits: it says what can't be done yet, and drivers wait."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING

from jobworker_lib.errors import (
    InputClosedError,
    InvalidArgumentError,
    JobNotRunningError,
    NoInputError,
    NoTerminalError,
)
from jobworker_lib.job.spec import checked_terminal

if TYPE_CHECKING:
    from jobworker_lib.core import Core
    from jobworker_lib.job.status import JobStatus
    from jobworker_lib.job.terminal import TerminalSize

_BUFFER_BYTES = 64 << 10


class JobInput:
    """One writer's way to a job's input: a socket whose other end the job's shim reads.

    What is sent stays in the socket until the job takes it. Closing it ends nothing but this writer.
    """

    def __init__(self, core: Core, status: JobStatus) -> None:
        """Prepare to write; nothing is asked of the job yet.

        Raises:
            NoInputError: the job has no input.
        """
        if not (status.stdin or status.tty):
            raise NoInputError(status.id)
        self._core = core
        self._job_id = status.id
        self._is_terminal = status.tty
        self._is_resized = False
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._theirs: socket.socket | None = theirs
        self._handing_over = threading.Lock()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
        self._socket.setblocking(False)

    def fileno(self) -> int:
        """To wait for room, or for the end of the input, which makes it readable; -1 when it is closed."""
        return self._socket.fileno()

    def poll_open(self) -> bool | None:
        """True, once the shim has the socket, or the job has ended, which :meth:`send` tells."""
        with self._handing_over:
            if self._theirs is not None:
                try:
                    if self._core.poll_control(self._job_id, {"do": "attach"}, [self._theirs.fileno()]) is None:
                        return None
                except JobNotRunningError:
                    pass
                self._theirs.close()
                self._theirs = None
            return True

    def send(self, data: memoryview) -> int:
        """Send what there is room for now: how much. InputClosedError where the job takes no more."""
        try:
            return self._socket.send(data, socket.MSG_NOSIGNAL)
        except BlockingIOError:
            return 0
        except OSError:
            raise InputClosedError(self._job_id) from None

    def is_closed(self) -> bool:
        """Whether the job takes no more; only that makes the socket readable."""
        try:
            return not self._socket.recv(1)
        except BlockingIOError:
            return False
        except OSError:
            return True

    def poll_end(self) -> bool | None:
        """End the job's input after what was sent to it: True, once its shim knows, or none is left to end."""
        if self._is_terminal:
            raise InvalidArgumentError("input", "a terminal has no end of input; write b'\\x04', the character Ctrl-D")
        try:
            return self._core.poll_control(self._job_id, {"do": "end_input"})
        except JobNotRunningError:
            return True

    def poll_resize(self, size: TerminalSize) -> bool | None:
        """Set the size of the job's terminal: True, once it is set, or the job has ended."""
        checked_terminal(size)
        if not self._is_terminal:
            raise NoTerminalError(self._job_id)
        request = {"do": "resize", **asdict(size), "redraw": not self._is_resized}
        try:
            resized = self._core.poll_control(self._job_id, request)
        except JobNotRunningError:
            return True
        self._is_resized = self._is_resized or resized is not None
        return resized

    def close(self) -> None:
        """Write no more; who waits for room in another thread is woken. The job's input stays open."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        with self._handing_over:
            if self._theirs is not None:
                self._theirs.close()
                self._theirs = None
