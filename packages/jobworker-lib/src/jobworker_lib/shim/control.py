"""Requests to a running job's shim: stop, signal, change of the timeout, and what concerns its input and terminal."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from jobworker_lib.job.directory import CONTROL_SOCKET, JobDirectory
from jobworker_lib.job.status import Reason
from jobworker_lib.messages import bind_in, receive, send

if TYPE_CHECKING:
    from jobworker_lib.shim.accounting import Accounting
    from jobworker_lib.shim.ending import Ending
    from jobworker_lib.shim.interaction import Interaction
    from jobworker_lib.shim.spawn import Spawned


class Control:
    """The socket on which one job's shim is asked; each request carries the socket for its answer."""

    def __init__(self, directory: JobDirectory) -> None:
        self._directory = directory
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        bind_in(self._socket, directory.path, CONTROL_SOCKET)

    def fileno(self) -> int:
        """For the poller."""
        return self._socket.fileno()

    def answer(self, ending: Ending, process: Spawned, interaction: Interaction, accounting: Accounting) -> None:
        """Take one request, do it and answer."""
        received = receive(self._socket, 2)
        if received is None:
            return
        request, descriptors = received
        wanted = 2 if request["do"] == "attach" else 1
        if len(descriptors) < wanted:  # this process may have no more; it is asked again
            for descriptor in descriptors:
                os.close(descriptor)
            return
        reply_to, *passed = descriptors
        with socket.socket(fileno=reply_to) as reply, suppress(OSError):  # the asker may be gone
            if request["do"] == "usage":
                send(reply, {"running": True, "usage": asdict(accounting.now())}, [])
                return
            answer = self._perform(request, passed, ending, process, interaction)
            if answer is not None:
                send(reply, answer, [])

    def close(self) -> None:
        """Take no more requests."""
        self._socket.close()
        with suppress(FileNotFoundError):  # the state directory was removed
            os.unlink(self._directory.file(CONTROL_SOCKET))

    def _perform(
        self, request: dict[str, Any], passed: list[int], ending: Ending, process: Spawned, interaction: Interaction
    ) -> dict[str, Any] | None:
        """Do what is asked. ``running`` is false where that is too late, ``error`` says what went wrong.

        Without an answer it was too early, and is asked for again.
        """
        match request["do"]:
            case "stop":
                ending.stop(Reason.STOPPED, request["grace"])
                return {"running": True}
            case "timeout":
                return self._set_timeout(ending, request["timeout"])
            case "signal":
                return {"running": _signal(ending, process, request["signal"])}
            case _:
                return {"running": True} if interaction.perform(request, passed) else None

    def _set_timeout(self, ending: Ending, timeout: float | None) -> dict[str, Any]:
        if ending.main_exited and not ending.restarts:
            return {"running": False}
        try:
            self._directory.write_timeout(timeout)
        except OSError as error:
            return {"running": True, "error": f"the timeout can't be written down: {os.strerror(error.errno or 0)}"}
        ending.set_timeout(timeout)
        return {"running": True}


def _signal(ending: Ending, process: Spawned, number: int) -> bool:
    """Signal the main process; False: it has exited."""
    if ending.main_exited:
        return False
    process.send_signal(number)
    return True
