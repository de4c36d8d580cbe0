"""Requests to a running job's shim: stop and signal."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from jobworker_lib.directory import CONTROL_SOCKET, JobDirectory
from jobworker_lib.messages import bind_in, receive, send
from jobworker_lib.status import Reason

if TYPE_CHECKING:
    from jobworker_lib.shim.ending import Ending


class Control:
    """The socket on which one job's shim is asked; each request carries the socket for its answer."""

    def __init__(self, directory: JobDirectory) -> None:
        self._path = directory.file(CONTROL_SOCKET)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        bind_in(self._socket, directory.path, CONTROL_SOCKET)

    def fileno(self) -> int:
        """For the poller."""
        return self._socket.fileno()

    def answer(self, ending: Ending, main_pid: int) -> None:
        """Take one request, do it and answer."""
        received = receive(self._socket, 1)
        if received is None:
            return
        request, descriptors = received
        with socket.socket(fileno=descriptors[0]) as reply, suppress(OSError):  # the asker may be gone
            send(reply, {"running": _perform(request, ending, main_pid)}, [])

    def close(self) -> None:
        """Take no more requests."""
        self._socket.close()
        with suppress(FileNotFoundError):  # the state directory was removed
            os.unlink(self._path)


def _perform(request: dict[str, Any], ending: Ending, main_pid: int) -> bool:
    """Do what is asked; False: the main process has exited, so it can't be signalled."""
    if request["do"] == "stop":
        ending.stop(Reason.STOPPED, request["grace"])
        return True
    if ending.main_exited:
        return False
    with suppress(PermissionError):  # it has changed its user
        os.kill(main_pid, request["signal"])  # not reaped yet, so the pid can't be another's
    return True
