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
    NoInputError,
    NoTerminalError,
)
from jobworker_lib.job.spec import checked_terminal
from jobworker_lib.waiting.request import Request

if TYPE_CHECKING:
    from jobworker_lib.job.status import JobStatus
    from jobworker_lib.job.terminal import TerminalSize
    from jobworker_lib.store.store import Store

_BUFFER_BYTES = 64 << 10


class JobInput:
    """One writer's way to a job's input: a socket whose other end the job's shim reads.

    What is sent stays in the socket until the job takes it. Closing it ends nothing but this writer.
    """

    def __init__(self, store: Store, status: JobStatus) -> None:
        """Prepare to write; nothing is asked of the job yet.

        Raises:
            NoInputError: the job has no input.
        """
        if not (status.stdin or status.tty):
            raise NoInputError(status.id)
        self._store = store
        self._job_id = status.id
        self._is_terminal = status.tty
        self._is_resized = False
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._theirs = theirs
        self.opening = Request(
            store,
            status.id,
            {"do": "attach"},
            [theirs.fileno()],
            already=lambda _: not self.is_opening,
            ended_will_do=True,
        )
        """Hands the shim its end of the socket, or finds that the job has ended, which :meth:`send` tells."""
        self.handing_over = threading.Lock()
        """Held by the thread that does that."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_BYTES)
        self._socket.setblocking(False)

    def fileno(self) -> int:
        """To wait for room, or for the end of the input, which makes it readable; -1 when it is closed."""
        return self._socket.fileno()

    @property
    def is_opening(self) -> bool:
        """Whether the shim is still to be handed the socket."""
        return self._socket.fileno() >= 0 and self._theirs.fileno() >= 0

    def opened(self) -> None:
        """Note that it was; for who holds ``handing_over``."""
        self._theirs.close()

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

    def end(self) -> Request:
        """What ends the job's input after what was sent to it."""
        if self._is_terminal:
            raise InvalidArgumentError("input", "a terminal has no end of input; write b'\\x04', the character Ctrl-D")
        return Request(self._store, self._job_id, {"do": "end_input"}, ended_will_do=True)

    def resize(self, size: TerminalSize) -> Request:
        """What sets the size of the job's terminal."""
        checked_terminal(size)
        if not self._is_terminal:
            raise NoTerminalError(self._job_id)
        message = {"do": "resize", **asdict(size), "redraw": not self._is_resized}
        self._is_resized = True
        return Request(self._store, self._job_id, message, ended_will_do=True)

    def close(self) -> None:
        """Write no more; who waits for room in another thread is woken. The job's input stays open."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        if self.handing_over.acquire(blocking=False):  # otherwise who hands it over lets go of it
            self._theirs.close()
            self.handing_over.release()
