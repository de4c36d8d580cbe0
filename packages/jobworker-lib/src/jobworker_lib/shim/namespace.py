"""A job's PID namespace from the shim's side: the init process in it, and the main process that this has forked."""

from __future__ import annotations

import os
import signal
import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING

from jobworker_lib.host.libc import pidfd_of
from jobworker_lib.host.procfs import was_executed
from jobworker_lib.isolation import calls
from jobworker_lib.job.start_errors import KilledError
from jobworker_lib.shim import init
from jobworker_lib.shim.enter import hear
from jobworker_lib.shim.victims import Victims

if TYPE_CHECKING:
    from jobworker_lib.shim.init import Orders

_CREDENTIALS = struct.Struct("iII")
_LONGEST_MESSAGE = 256


class Namespace:
    """A job's init process and its main process."""

    def __init__(self, orders: Orders, clone_flags: int) -> None:
        """Execute a command in a new PID namespace, and in the other new ones of ``clone_flags``.

        Raises:
            StepError: a step failed.
            OSError: of clone(2), fork(2) or execve(2).
        """
        self.link, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        """Readable when there may be a :meth:`main_status`."""
        self.link.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.main_pid = 0
        """The main process, by the pid that it has here."""
        self._main: int | None = None
        self.init_pid = 0
        reading, failures = os.pipe2(os.O_CLOEXEC)
        try:
            with theirs:
                self.init_pid = _clone(orders, clone_flags, theirs, failures)
            try:
                self._meet_main()
                hear(reading, orders.command)
            except BaseException:
                self.close()  # then it ends
                os.waitpid(self.init_pid, 0)
                raise
        except BaseException:
            self.close()
            raise
        finally:
            os.close(reading)
        self.link.setblocking(False)

    def require_executed(self) -> None:
        """Return if the main process has executed its command. KilledError, and all of it ends."""
        is_executed = was_executed(self.main_pid) if self.main_pid else False
        if is_executed is None:  # the init process has reaped it, and tells, unless it was killed as well
            told = self.link.recv(_LONGEST_MESSAGE, socket.MSG_PEEK)
            is_executed = len(told) != init.STATUS.size or bool(init.STATUS.unpack(told)[1])
        if not is_executed:
            self.close()
            os.waitpid(self.init_pid, 0)
            raise KilledError

    def main_status(self) -> int | None:
        """The wait status of the main process; None: it has not ended."""
        try:
            told = self.link.recv(_LONGEST_MESSAGE)
        except BlockingIOError:
            return None
        if len(told) == init.STATUS.size:
            return int(init.STATUS.unpack(told)[0])
        return signal.SIGKILL  # with the init process

    def victims(self) -> Victims:
        """Who was killed, as the init process has told when it had no child left; pids are those of the namespace."""
        victims = Victims()
        with suppress(OSError, struct.error):  # it may have been killed before
            victims = Victims.unpack(self.link.recv(_LONGEST_MESSAGE))
        if victims.largest is not None and victims.largest.pid == init.MAIN:
            victims.largest = victims.largest._replace(pid=self.main_pid)
        return victims

    def send_signal(self, number: int) -> None:
        """Signal the main process. ProcessLookupError where it has ended."""
        if self._main is None:
            raise ProcessLookupError
        signal.pidfd_send_signal(self._main, number)

    def close(self) -> None:
        """Let go of the namespace; what is still in it ends."""
        self.link.close()
        if self._main is not None:
            os.close(self._main)
            self._main = None

    def _meet_main(self) -> None:
        """Learn which process it is: with a message comes its sender's pid, as it is here (unix(7))."""
        message, ancillary, _, _ = self.link.recvmsg(len(init.BORN), socket.CMSG_SPACE(_CREDENTIALS.size))
        for _, kind, data in ancillary:
            if message == init.BORN and kind == socket.SCM_CREDENTIALS:
                self.main_pid = _CREDENTIALS.unpack(data[: _CREDENTIALS.size])[0]
        if self.main_pid:
            with suppress(ProcessLookupError):
                self._main = pidfd_of(self.main_pid)


def _clone(orders: Orders, flags: int, link: socket.socket, failures: int) -> int:
    """Make the init process: its pid."""
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        pid = calls.clone(flags)
        if pid == 0:
            init.run(orders, link, failures, blocked)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
        os.close(failures)
    return pid
