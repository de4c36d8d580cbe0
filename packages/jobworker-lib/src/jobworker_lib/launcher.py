"""Starts jobs on this host: hands a new job's directory to a shim and hears how it went."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING

from jobworker_lib.errors import EngineError, StartLostError
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
_BEGIN_SECONDS = 15.0
"""A shim that has not even begun by then hangs."""
_LONGEST_SECONDS = 60.0
"""A shim that has begun may be slow: the job's working directory may be on a filesystem that does not answer."""
_TOOK_LONG = f"its supervisor took more than {_LONGEST_SECONDS:g} seconds to execute it"
_KILLED = f"{_TOOK_LONG}, and was killed; it was stopped, or its working directory is on a filesystem that hangs"
_STANDS = f"{_TOOK_LONG}, and can't be killed before the filesystem answers on which it hangs"


class Launcher:
    """The local way to start a job; another could hand it to a cluster."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._forkserver = ForkServerClient(store.path)

    def launch(self, directory: JobDirectory, lock: int, *, new_privileges: bool, queued: bool = False) -> None:
        """Return when a shim has executed the job's command or has recorded why it could not. Closes ``lock``.

        ``new_privileges`` is that of its spec, which who asks has at hand.
        Also where the shim was killed at that: the job is lost then, which whoever looks at it finds. That is what
        becomes of a shim that takes longer than a minute.

        Raises:
            EngineError: no shim took the job. Nothing of it is left; but one that was queued is so still.
            StartLostError: the shim took it, hangs, and can't be killed yet. When it can, the job is lost.
        """
        try:
            self._hand_over(directory, lock, new_privileges=new_privileges, queued=queued)
        finally:
            os.close(lock)

    def _hand_over(self, directory: JobDirectory, lock: int, *, new_privileges: bool, queued: bool) -> None:
        try:
            answer = self._ask_until_taken(directory, lock, new_privileges=new_privileges)
        except (EngineError, OSError):
            if queued or self._withdraw(directory):
                raise
            return  # a shim that was late has the job after all
        if "error" in answer:
            error = f"the job can't be started: {answer['error']} in the state directory"
            if not queued:
                self._discard(directory)
            elif directory.was_taken() and not directory.has_exit():
                lost.fail(directory, waiting_jobs.failure(error))
            raise EngineError(error)

    def _withdraw(self, directory: JobDirectory) -> bool:
        """Remove a job that no shim has begun with; False: one has, and nobody else must touch it."""
        try:
            is_ours = directory.claim()
        except OSError:  # for want of descriptors, or of room
            is_ours = not directory.was_taken()
        if is_ours:
            self._discard(directory)
        return is_ours

    def _discard(self, directory: JobDirectory) -> None:
        with suppress(EngineError, OSError):  # what can't be removed, for want of descriptors, is lost
            self._store.discard(directory)

    def _ask_until_taken(self, directory: JobDirectory, lock: int, *, new_privileges: bool) -> dict[str, object]:
        """A shim's answer; an empty one where it was killed, or is late, when it had begun with the job."""
        for _ in range(_ATTEMPTS):
            answer = self._ask(directory, lock, new_privileges=new_privileges)
            if answer is not None or directory.was_taken():
                return answer or {}
        raise EngineError(
            "the fork server, or its shims, die or hang again and again;"
            " the engine's log in the state directory may say why"
        )

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
                return self._answer(ours, directory)
        finally:
            os.close(handle)

    def _answer(self, reply: socket.socket, directory: JobDirectory) -> dict[str, object] | None:
        """As :meth:`_ask`. A shim that was killed for taking too long has died before it answered, too."""
        reply.settimeout(_PATIENCE_SECONDS)
        waited = 0.0  # not by the clock: where the whole host or container stood still, no shim hangs for that
        hangs = False
        while True:
            try:
                received = receive(reply, 0)
            except TimeoutError:
                if hangs and directory.was_taken():
                    raise StartLostError(directory.name, _STANDS) from None
                if hangs:
                    return None  # another may take it: whichever does first makes the files of the output
                waited += _PATIENCE_SECONDS
                hangs = waited >= (_LONGEST_SECONDS if directory.was_taken() else _BEGIN_SECONDS)
                self._forkserver.mind(give_up=directory.name if hangs else None)
            else:
                if received is None and hangs and directory.was_taken() and not directory.has_exit():
                    lost.make_lost(directory, _KILLED)
                return received[0] if received else None
