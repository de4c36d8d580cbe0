"""An engine's way to the fork server of its state directory; starts it where none runs."""

from __future__ import annotations

import fcntl
import os
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from jobworker_lib.errors import EngineError
from jobworker_lib.host.detached import LOG, spawn
from jobworker_lib.job.directory import FILE_MODE
from jobworker_lib.messages import PROBE, bind_in, connect_in, receive, send
from jobworker_lib.store.version import FORMAT

if TYPE_CHECKING:
    from pathlib import Path

_SOCKET = f"forkserver.{FORMAT}.sock"
"""One that an older version started may run still, and would ignore what it does not know, such as limits."""
_LOCK = "forkserver.lock"
_ATTEMPTS = 3
"""A fork server may be killed, or exit with its last engine, just before it is asked."""
_PATIENCE_SECONDS = 5.0
"""A fork server that takes longer to take a request, or to answer, hangs: somebody has stopped it, for example."""


class ForkServerClient:
    """Keeps one connection; the fork server lives at least as long."""

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        self._lock = threading.Lock()
        self._connection: socket.socket | None = None

    def send(self, descriptors: list[int], *, new_privileges: bool) -> None:
        """Hand a job to a shim: the descriptors of the answer's socket, the locked spec and the directory.

        ``new_privileges`` tells whether the job may gain privileges: not every shim will do then.

        Raises:
            EngineError: no fork server can be started.
        """
        with self._lock:
            for _ in range(_ATTEMPTS):
                connection = self._connected()
                if connection is None:
                    continue
                try:
                    send(connection, {"new_privileges": new_privileges}, descriptors)
                except TimeoutError:
                    self._replace()
                except ConnectionError:
                    self._disconnect()
                else:
                    return
        raise EngineError(f"the fork server does not answer; {self._state_dir / LOG} may say why")

    def replace_if_it_hangs(self) -> None:
        """For who waits for a start: see to it that the next ones are not in vain.

        A fork server that hangs keeps the requests that it has, and goes on with them if ever it goes on.
        """
        with self._lock, suppress(EngineError, OSError):
            if self._connection is not None and not _answers(self._connection):
                self._replace()

    def close(self) -> None:
        """Let go of the fork server."""
        with self._lock:
            self._disconnect()

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connected(self) -> socket.socket | None:
        if self._connection is None:
            self._connection = self._connect() or self._launch()
        return self._connection

    def _replace(self) -> None:
        self._disconnect()
        self._connection = self._launch()

    def _connect(self) -> socket.socket | None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sock.settimeout(_PATIENCE_SECONDS)
        try:
            connect_in(sock, self._state_dir, _SOCKET)
        except (FileNotFoundError, ConnectionError, BlockingIOError):  # the last: it takes no more connections
            sock.close()
            return None
        return sock

    def _launch(self) -> socket.socket | None:
        """Start a fork server, unless another engine does at the same moment."""
        lock = os.open(self._state_dir / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            sock = self._connect()
            if sock is not None and not _answers(sock):
                sock.close()
                sock = None
            if sock is None:
                self._spawn()
                sock = self._connect()
            return sock
        finally:
            os.close(lock)

    def _spawn(self) -> None:
        with suppress(FileNotFoundError):
            os.unlink(self._state_dir / _SOCKET)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
                bind_in(listener, self._state_dir, _SOCKET)
                listener.listen(128)
                spawn("jobworker_lib.forkserver.server", self._state_dir, stdin=listener.fileno())
        except OSError as error:
            raise EngineError(f"the fork server can't be started: {error.strerror or error}") from error


def _answers(connection: socket.socket) -> bool:
    try:
        send(connection, {PROBE: True}, [])
        return receive(connection, 0) is not None
    except (TimeoutError, ConnectionError):
        return False
