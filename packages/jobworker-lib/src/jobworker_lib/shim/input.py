"""Hands input on: from the sockets of those who are attached to what the job reads, and no more than it takes."""

from __future__ import annotations

import array
import fcntl
import os
import select
import socket
import termios
from contextlib import suppress

from jobworker_lib.host.descriptors import at_once

_MOST_MOVED = 64 << 10
_MOST_WRITERS = 100
"""So many may be attached at once, and fewer where this process may have few descriptors; the next ones wait."""


class Input:
    """The input of a running job: its standard input, or what is typed on its terminal.

    Every writer has a socket of its own, and the job's pipe is ours alone. So we can end the input whoever is attached,
    and who is attached can go, or be killed, without ending it. What the job has not taken stays in the writers'
    sockets: it is taken out of there only when it has been written. So this process holds no input, and a writer whose
    socket is full waits.
    """

    def __init__(self, target: int | None, poller: select.poll) -> None:
        """Write to ``target``, which is non-blocking and ours from now on; None: the job has no input."""
        self._target = target
        self._poller = poller
        self._writers: dict[int, _Writer] = {}
        self._is_ending = False
        self._is_full = False
        self._most_writers = at_once(_MOST_WRITERS)
        if target is not None:
            poller.register(target, 0)  # to be told when the job has closed its side

    def __contains__(self, descriptor: int) -> bool:
        return descriptor == self._target or descriptor in self._writers

    @property
    def is_crowded(self) -> bool:
        """Whether no further writer is taken now."""
        return len(self._writers) >= self._most_writers

    def add(self, writer: socket.socket) -> None:
        """Take input from ``writer`` too, which is ours from now on; it is closed as soon as there is no use for it."""
        if self._target is None or self._is_ending:
            writer.close()
            return
        writer.setblocking(False)
        self._writers[writer.fileno()] = _Writer(writer)
        if not self._is_full:
            self._poller.register(writer, select.POLLIN)

    def end(self) -> None:
        """End the job's input after all that was written to it before, whoever wrote it."""
        self._is_ending = True
        for descriptor, writer in list(self._writers.items()):
            writer.left = writer.waiting()
            if not writer.left:
                self._drop(descriptor)
        self._close_if_over()

    def ready(self, descriptor: int, events: int) -> None:
        """Go on, where the poller found something."""
        if descriptor != self._target:
            self._move(descriptor)
        elif events & (select.POLLERR | select.POLLHUP):
            self.close()
        else:
            self._go_on()

    def close(self) -> None:
        """The job takes no more: let all writers go."""
        for descriptor in list(self._writers):
            self._drop(descriptor)
        if self._target is not None:
            self._poller.unregister(self._target)
            os.close(self._target)
            self._target = None

    def _move(self, descriptor: int) -> None:
        writer = self._writers.get(descriptor)
        if self._target is None or self._is_full or writer is None:
            return  # closed or filled up by another event of the same round
        data = writer.peek()
        if data is None:
            return
        try:
            moved = os.write(self._target, data) if data else 0
        except BlockingIOError:
            self._pause()
            return
        except OSError:  # the job has closed its side
            self.close()
            return
        if not writer.took(moved):
            self._drop(descriptor)
            self._close_if_over()

    def _pause(self) -> None:
        """Wait for the job to read; meanwhile no writer is asked."""
        self._is_full = True
        for descriptor in self._writers:
            self._poller.unregister(descriptor)
        if self._target is not None:
            self._poller.modify(self._target, select.POLLOUT)

    def _go_on(self) -> None:
        self._is_full = False
        for descriptor in self._writers:
            self._poller.register(descriptor, select.POLLIN)
        if self._target is not None:
            self._poller.modify(self._target, 0)

    def _drop(self, descriptor: int) -> None:
        if not self._is_full:
            self._poller.unregister(descriptor)
        self._writers.pop(descriptor).close()

    def _close_if_over(self) -> None:
        if self._is_ending and not self._writers:
            self.close()


class _Writer:
    """One who is attached."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self.left: int | None = None
        """Bytes that are still taken from it; None: whatever it sends."""

    def waiting(self) -> int:
        """Bytes that it has sent and that were not taken."""
        count = array.array("i", [0])
        fcntl.ioctl(self._socket, termios.FIONREAD, count)
        return count[0]

    def peek(self) -> bytes | None:
        """What it has sent, without taking it; empty where it has gone, None where there is nothing now."""
        size = _MOST_MOVED if self.left is None else min(self.left, _MOST_MOVED)
        try:
            return self._socket.recv(size, socket.MSG_PEEK)
        except BlockingIOError:
            return None
        except OSError:
            return b""

    def took(self, size: int) -> bool:
        """Take so much of what was seen; False: there will be no more."""
        if size:
            self._socket.recv(size)
        if self.left is not None:
            self.left -= size
        return size > 0 and self.left != 0

    def close(self) -> None:
        """Let it go: it learns by that that the job takes no more."""
        with suppress(OSError):
            self._socket.close()
