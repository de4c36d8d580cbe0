"""What those who are attached can do to a running job: write to it, end its input, change its terminal's size."""

from __future__ import annotations

import signal
import socket
from typing import TYPE_CHECKING, Any

from jobworker_lib.job.terminal import TerminalSize
from jobworker_lib.shim.input import Input

if TYPE_CHECKING:
    import select

    from jobworker_lib.shim.pty import Terminal
    from jobworker_lib.shim.spawn import Spawned


class Interaction:
    """A job's input, and its terminal if it has one: new ones for each execution of its command."""

    def __init__(self, size: TerminalSize | None, poller: select.poll) -> None:
        self.size = size
        """Of the terminal, as it was last asked for; None: the job has none."""
        self._poller = poller
        self._input: Input | None = None
        self._terminal: Terminal | None = None

    def __contains__(self, descriptor: int) -> bool:
        return self._input is not None and descriptor in self._input

    @property
    def farewell(self) -> tuple[signal.Signals, ...]:
        """What the job's processes are signalled to ask them to end: SIGTERM, and on a terminal its hang-up as well.

        Interactive shells ignore SIGTERM.
        """
        return (signal.SIGHUP, signal.SIGTERM) if self.size else (signal.SIGTERM,)

    @property
    def due_at(self) -> float | None:
        """When to call :meth:`do_what_is_due`, by the monotonic clock."""
        return self._terminal.restore_at if self._terminal else None

    def begin(self, process: Spawned) -> None:
        """The command was executed."""
        self._input = Input(process.input, self._poller)
        self._terminal = process.terminal

    def end(self) -> None:
        """Nothing of that execution is left: let all writers go, and the terminal."""
        if self._input:
            self._input.close()
        if self._terminal:
            self._terminal.close()
        self._input = self._terminal = None

    def ready(self, descriptor: int, events: int) -> None:
        """Hand input on, where the poller found something."""
        if self._input:
            self._input.ready(descriptor, events)

    def output_was_taken(self) -> None:
        """Note that the job wrote, which may be its answer to a change of size."""
        if self._terminal:
            self._terminal.output_was_taken()

    def do_what_is_due(self) -> None:
        """Bring a change of size to its end."""
        if self._terminal:
            self._terminal.restore()

    def perform(self, request: dict[str, Any], passed: list[int]) -> bool:
        """Do what is asked, with the descriptors that came along; False: it can't be done yet."""
        if request["do"] == "resize":
            self._resize(TerminalSize(request["rows"], request["columns"]), redraw=request["redraw"])
            return True
        if request["do"] == "attach":
            return self._attach(socket.socket(fileno=passed[0]))
        if self._input is None:
            return False
        self._input.end()
        return True

    def _attach(self, writer: socket.socket) -> bool:
        if self._input is None or self._input.is_crowded:
            writer.close()
            return False
        self._input.add(writer)
        return True

    def _resize(self, size: TerminalSize, *, redraw: bool) -> None:
        self.size = size
        if self._terminal:
            self._terminal.resize(size, redraw=redraw)
