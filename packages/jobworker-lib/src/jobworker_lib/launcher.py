"""Starts jobs on this host: hands a new job's directory to a shim and hears how it went."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from jobworker_lib.errors import EngineError
from jobworker_lib.forkserver.client import ForkServerClient
from jobworker_lib.messages import receive

if TYPE_CHECKING:
    from jobworker_lib.directory import JobDirectory
    from jobworker_lib.store import Store

_ATTEMPTS = 3


class Launcher:
    """The local way to start a job; another could hand it to a cluster."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._forkserver = ForkServerClient(store.path)

    def launch(self, directory: JobDirectory, lock: int) -> None:
        """Return when a shim has executed the job's command or has recorded why it could not. Closes ``lock``.

        Raises:
            EngineError: no shim took the job; nothing of it is left.
        """
        try:
            answer = None
            for _ in range(_ATTEMPTS):
                answer = self._ask(directory, lock)
                if answer is not None or directory.was_taken():
                    break
        except EngineError:
            self._store.discard(directory)
            raise
        finally:
            os.close(lock)
        if answer is None and directory.was_taken():
            raise EngineError(f"the shim died while it started job {directory.path.name}")
        if answer is None:
            self._store.discard(directory)
            raise EngineError("the fork server dies again and again; the engine's log in the state directory says why")
        if "error" in answer:
            self._store.discard(directory)
            raise EngineError(f"the job can't be started: {answer['error']} in the state directory")

    def close(self) -> None:
        """Let go of the fork server; jobs run on."""
        self._forkserver.close()

    def _ask(self, directory: JobDirectory, lock: int) -> dict[str, object] | None:
        """One attempt: the shim's answer, or None where the fork server or the shim died before it came."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        handle = os.open(directory.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with ours:
                with theirs:
                    self._forkserver.send([theirs.fileno(), lock, handle])
                received = receive(ours, 0)
        finally:
            os.close(handle)
        return received[0] if received else None
