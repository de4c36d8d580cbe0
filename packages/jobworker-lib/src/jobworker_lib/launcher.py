"""Starts jobs on this host: hands a new job's directory to a shim and hears how it went."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

from jobworker_lib.errors import EngineError
from jobworker_lib.forkserver.client import ForkServerClient
from jobworker_lib.messages import receive
from jobworker_lib.queue import waiting_jobs
from jobworker_lib.store import lost

if TYPE_CHECKING:
    from jobworker_lib.job.directory import JobDirectory
    from jobworker_lib.store.store import Store

_ATTEMPTS = 3
_PATIENCE_SECONDS = 5.0
"""What takes longer may be a fork server's fault."""


class Launcher:
    """The local way to start a job; another could hand it to a cluster."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._forkserver = ForkServerClient(store.path)

    def launch(self, directory: JobDirectory, lock: int, *, new_privileges: bool, queued: bool = False) -> None:
        """Return when a shim has executed the job's command or has recorded why it could not. Closes ``lock``.

        ``new_privileges`` is that of its spec, which who asks has at hand.
        Also where the shim was killed at that: the job is lost then, which whoever looks at it finds.

        Raises:
            EngineError: no shim took the job. Nothing of it is left; but one that was queued is so still.
        """
        try:
            self._hand_over(directory, lock, new_privileges=new_privileges, queued=queued)
        finally:
            os.close(lock)

    def _hand_over(self, directory: JobDirectory, lock: int, *, new_privileges: bool, queued: bool) -> None:
        try:
            self._ask_until_taken(directory, lock, new_privileges=new_privileges)
        except (EngineError, OSError) as error:
            if queued:
                if directory.was_taken() and not directory.has_exit():
                    lost.fail(directory, waiting_jobs.failure(str(error)))
            elif isinstance(error, EngineError) or not directory.was_taken():
                with suppress(EngineError, OSError):  # what can't be removed, for want of descriptors, is lost
                    self._store.discard(directory)
            raise

    def _ask_until_taken(self, directory: JobDirectory, lock: int, *, new_privileges: bool) -> None:
        for _ in range(_ATTEMPTS):
            answer = self._ask(directory, lock, new_privileges=new_privileges)
            if answer and "error" in answer:
                raise EngineError(f"the job can't be started: {answer['error']} in the state directory")
            if answer is not None or directory.was_taken():
                return
        raise EngineError("the fork server dies again and again; the engine's log in the state directory says why")

    def close(self) -> None:
        """Let go of the fork server; jobs run on."""
        self._forkserver.close()

    def _ask(self, directory: JobDirectory, lock: int, *, new_privileges: bool) -> dict[str, object] | None:
        """One attempt: the shim's answer, or None where the fork server or the shim died before it came."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        handle = os.open(directory.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with ours:
                with theirs:
                    self._forkserver.send([theirs.fileno(), lock, handle], new_privileges=new_privileges)
                return self._answer(ours)
        finally:
            os.close(handle)

    def _answer(self, reply: socket.socket) -> dict[str, object] | None:
        """A shim's answer, however long it takes: its job's working directory may be on a filesystem that hangs."""
        reply.settimeout(_PATIENCE_SECONDS)
        while True:
            try:
                received = receive(reply, 0)
            except TimeoutError:
                self._forkserver.replace_if_it_hangs()
            else:
                return received[0] if received else None
