"""The fork server's process.

It lives while an engine is connected. Its shims don't need it: when it is gone, they finish their jobs and exit.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import traceback
from contextlib import suppress
from typing import TYPE_CHECKING

from jobworker_lib import messages
from jobworker_lib.forkserver import BACKLOG, PROCESS_NAME
from jobworker_lib.forkserver.idle import IdleShims
from jobworker_lib.host import libc, tree
from jobworker_lib.host.detached import detach
from jobworker_lib.host.procfs import boot_id, descendants, parent_of
from jobworker_lib.job.directory import EXIT
from jobworker_lib.shim import main as shim
from jobworker_lib.shim.signals import SignalPipe
from jobworker_lib.store import lost

if TYPE_CHECKING:
    from collections.abc import Sequence

_FIRST_ENGINE_MILLISECONDS = 30_000
_DESCRIPTORS = 3
_DIRECTORY = 2
"""Which of them is the job's directory."""


class ForkServer:
    """Hands each request to an idle shim and forks one only when none is idle."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._engines: dict[int, socket.socket] = {}
        self._shims: dict[int, tuple[socket.socket, int]] = {}
        """By the link's descriptor: the link and the shim's pid."""
        self._idle = IdleShims()
        self._jobs: dict[int, str] = {}
        """By the shim's pid: the directory of the job that it has."""
        self._undertakers: set[int] = set()
        self._signals = SignalPipe([signal.SIGCHLD])
        self._poller = select.poll()
        self._poller.register(listener, select.POLLIN)
        self._poller.register(self._signals, select.POLLIN)

    def serve(self) -> None:
        """Return when the last engine has gone, or none ever came."""
        self._idle.put(self._fork())
        while events := self._poller.poll(None if self._engines else _FIRST_ENGINE_MILLISECONDS):
            had_engines = bool(self._engines)
            for descriptor, _ in events:
                self._handle(descriptor)
            if had_engines and not self._engines:
                return

    def _handle(self, descriptor: int) -> None:
        if descriptor == self._listener.fileno():
            engine, _ = self._listener.accept()
            self._engines[engine.fileno()] = engine
            self._poller.register(engine, select.POLLIN)
        elif descriptor == self._signals.fileno():
            self._signals.read()
            self._reap()
        elif descriptor in self._shims:
            self._hear_shim(descriptor)
        elif descriptor in self._engines:
            self._hear_engine(descriptor)

    def _hear_engine(self, descriptor: int) -> None:
        request = None
        with suppress(ConnectionError):
            request = messages.receive(self._engines[descriptor], _DESCRIPTORS)
        if request is None:
            self._poller.unregister(descriptor)
            self._engines.pop(descriptor).close()
            return
        if messages.PROBE in request[0]:
            if job_id := request[0].get(messages.GIVE_UP):
                self._give_up(job_id)
            with suppress(OSError):
                messages.send(self._engines[descriptor], {}, [])
            return
        try:
            self._hand_on(*request)
        finally:
            for passed in request[1]:
                os.close(passed)

    def _hand_on(self, message: dict[str, object], descriptors: list[int]) -> None:
        new_privileges = message.get("new_privileges") is not False
        while True:
            link = self._idle.take(new_privileges=new_privileges)
            if link is None:
                link = self._fork(descriptors)
            if not new_privileges:
                self._idle.bind(link)
            shim_link, pid = self._shims[link]
            self._jobs[pid] = os.readlink(f"/proc/self/fd/{descriptors[_DIRECTORY]}")
            with suppress(ConnectionError):  # that shim has just died
                messages.send(shim_link, message, descriptors)
                return
            del self._jobs[pid]

    def _give_up(self, job_id: str) -> None:
        """Kill the shim that has a job, and those that are idle: whatever stopped it may have stopped them."""
        idle = {self._shims[link][1] for link in self._idle.take_all()}
        for _, pid in self._shims.values():
            is_meant = pid in idle or os.path.basename(self._jobs.get(pid, "")) == job_id
            if is_meant and _parent(pid) == os.getpid():  # else it was reaped, and the pid may be another's
                os.kill(pid, signal.SIGKILL)

    def _hear_shim(self, descriptor: int) -> None:
        link, pid = self._shims[descriptor]
        message = None
        with suppress(ConnectionError):
            message = messages.receive(link, 0)
        if message is not None:
            self._jobs.pop(pid, None)
        if message is not None and self._idle.put(descriptor):
            return
        self._poller.unregister(descriptor)
        del self._shims[descriptor]
        self._idle.forget(descriptor)
        link.close()

    def _fork(self, passed: Sequence[int] = ()) -> int:
        """Make a shim: its link. It gets ``passed`` in a message, so it must not keep them from the fork as well."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = os.fork()
        if pid == 0:
            self._become_shim(ours, theirs, passed)
        theirs.close()
        self._shims[ours.fileno()] = (ours, pid)
        self._poller.register(ours, select.POLLIN)
        return ours.fileno()

    def _become_shim(self, ours: socket.socket, theirs: socket.socket, passed: Sequence[int]) -> None:
        """In the child: let go of what is the fork server's, serve, and never return."""
        status = 1
        try:  # a fork must never return into its parent's code
            self._let_go()
            ours.close()
            for descriptor in passed:
                os.close(descriptor)
            shim.serve(theirs)
            status = 0
        except BaseException:  # noqa: BLE001 - it ends here, and is told in the engine's log
            traceback.print_exc()
        finally:
            os._exit(status)

    def _reap(self) -> None:
        """Reap shims; a shim that died left its job's processes to us, the next subreaper above: end them."""
        widowed = []
        with suppress(ChildProcessError):
            while pid := os.waitpid(-1, os.WNOHANG)[0]:
                self._undertakers.discard(pid)
                if job := self._jobs.pop(pid, None):
                    widowed.append(job)
        if self._orphans():
            tree.uproot(self._is_orphan, self._orphans)
        for job in widowed:
            if os.path.exists(job) and not os.path.exists(os.path.join(job, EXIT)):
                self._bury(job)

    def _bury(self, job: str) -> None:
        """Make the job of a shim that died lost, in a process of its own: it may take a while until it is all dead."""
        pid = os.fork()
        if pid:
            self._undertakers.add(pid)
            return
        try:  # as in _become_shim
            self._let_go()
            lost.bury(job)
        except BaseException:  # noqa: BLE001 - it ends here, and is told in the engine's log
            traceback.print_exc()
        finally:
            os._exit(0)

    def _let_go(self) -> None:
        """In a child: close what is the fork server's."""
        self._signals.close()
        for sock in (self._listener, *self._engines.values(), *(link for link, _ in self._shims.values())):
            sock.close()

    def _orphans(self) -> list[int]:
        children = [pid for pid in descendants(os.getpid()) if self._is_orphan(pid, _parent(pid))]
        return children + descendants(*children)

    def _is_orphan(self, pid: int, parent: int) -> bool:
        is_ours = pid in self._undertakers or any(pid == shim for _, shim in self._shims.values())
        return parent == os.getpid() and not is_ours


def _parent(pid: int) -> int:
    with suppress(OSError):
        return parent_of(pid)
    return 0


def main() -> None:
    """Serve on the listening socket that is the standard input, detached from whoever started this."""
    listener = socket.socket(fileno=detach())
    libc.become_subreaper()
    libc.set_process_name(PROCESS_NAME)
    listener.listen(BACKLOG)  # again, so that who connects is told this process as the peer (SO_PEERCRED of unix(7))
    boot_id()  # read once, and known to all shims
    gc.freeze()  # pages that shims share stay shared
    ForkServer(listener).serve()
