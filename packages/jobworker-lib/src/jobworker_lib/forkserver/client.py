"""An engine's way to the fork server of its state directory; starts it where none runs."""

from __future__ import annotations

import fcntl
import os
import signal
import socket
import struct
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from jobworker_lib.errors import EngineError
from jobworker_lib.forkserver import BACKLOG, PROCESS_NAME
from jobworker_lib.host.detached import LOG, spawn
from jobworker_lib.host.locks import LockTimeoutError, lock_within
from jobworker_lib.host.procfs import name_and_memory
from jobworker_lib.job.directory import FILE_MODE
from jobworker_lib.messages import GIVE_UP, PROBE, bind_in, connect_in, receive, send
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
_OTHERS_SECONDS = 30.0
"""How long another engine may take to start one, or to find out that one hangs."""
_CREDENTIALS = struct.Struct("3i")
"""A process's pid, user and group (unix(7))."""


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

    def mind(self, give_up: str | None = None) -> None:
        """For who waits long for a start: a fork server that hangs is killed, and another takes its place.

        ``give_up`` is the id of a job whose shim is to be killed, as it hangs. Who waits is told of either as of a
        death, and asks again.
        """
        with self._lock, suppress(EngineError, OSError):
            if self._connection is not None and not _answers(self._connection, give_up):
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
            lock_within(lock, fcntl.LOCK_EX, _OTHERS_SECONDS)
            sock = self._connect()
            if sock is not None and not _answers(sock):
                _kill_peer(sock)
                sock.close()
                sock = None
            if sock is None:
                self._spawn()
                sock = self._connect()
        except LockTimeoutError:
            raise EngineError("no fork server can be started: a process that was about to do so stands still") from None
        else:
            return sock
        finally:
            os.close(lock)

    def _spawn(self) -> None:
        with suppress(FileNotFoundError):
            os.unlink(self._state_dir / _SOCKET)
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
                bind_in(listener, self._state_dir, _SOCKET)
                listener.listen(BACKLOG)
                spawn("jobworker_lib.forkserver.server", self._state_dir, stdin=listener.fileno())
        except OSError as error:
            raise EngineError(f"the fork server can't be started: {error.strerror or error}") from error


def _answers(connection: socket.socket, give_up: str | None = None) -> bool:
    try:
        send(connection, {PROBE: True, GIVE_UP: give_up}, [])
        return receive(connection, 0) is not None
    except (TimeoutError, ConnectionError):
        return False


def _kill_peer(connection: socket.socket) -> None:
    """Kill a fork server that hangs, so that nothing comes of what it was asked for. Its shims go on with their jobs.

    One that hung before it said who it is, or that is not to be seen from here, is left.
    """
    pid, _, _ = _CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    with suppress(OSError):
        handle = os.pidfd_open(pid)
        try:
            if (about := name_and_memory(pid)) and about[0] == PROCESS_NAME:
                signal.pidfd_send_signal(handle, signal.SIGKILL)
        finally:
            os.close(handle)
