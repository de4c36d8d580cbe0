"""Small messages between engine, fork server and shim: datagrams that carry descriptors (unix(7), SCM_RIGHTS)."""

from __future__ import annotations

import json
import os
import socket
from typing import TYPE_CHECKING, Any

from jobworker_lib.job.directory import CONTROL_SOCKET, JobDirectory

if TYPE_CHECKING:
    from collections.abc import Sequence

PROBE = "are you there"
"""The key of a message that asks a fork server for an answer, and for no start."""
GIVE_UP = "give up"
"""The key, beside :data:`PROBE`, of the id of a job whose shim is to be killed, for its start takes too long."""

_LONGEST = 64 << 10


def send(sock: socket.socket, message: dict[str, Any], descriptors: list[int]) -> None:
    """Send a message with descriptors, to the connected peer."""
    socket.send_fds(sock, [json.dumps(message).encode()], descriptors)


def receive(sock: socket.socket, most_descriptors: int) -> tuple[dict[str, Any], list[int]] | None:
    """The next message with its descriptors, which are closed on exec; None: the peer is gone."""
    data, descriptors, _, _ = socket.recv_fds(sock, _LONGEST, most_descriptors)
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    return (json.loads(data), descriptors) if data else None


def ask(directory: JobDirectory, request: dict[str, Any], descriptors: Sequence[int] = ()) -> socket.socket | None:
    """Leave a request with a job's shim, passing it descriptors: a non-blocking socket on which its answer will come.

    None where no shim listens, or one that stands still has many requests already. The request carries the socket for
    its answer, so the shim keeps no connections; the end of file is told where it dies, or can't do it yet.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        try:
            sock.setblocking(False)
            connect_in(sock, directory.path, CONTROL_SOCKET)
            send(sock, request, [theirs.fileno(), *descriptors])
            ours.setblocking(False)
        except (FileNotFoundError, ConnectionError, BlockingIOError):
            ours.close()
            return None
        except BaseException:
            ours.close()
            raise
    return ours


def connect_in(sock: socket.socket, directory: str | os.PathLike[str], name: str) -> None:
    """Connect to the socket ``name`` in a directory whose path may be longer than a socket's address takes."""
    descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        sock.connect(f"/proc/self/fd/{descriptor}/{name}")
    finally:
        os.close(descriptor)


def bind_in(sock: socket.socket, directory: str | os.PathLike[str], name: str) -> None:
    """Bind to a new socket ``name`` in a directory, for its owner alone."""
    descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        path = f"/proc/self/fd/{descriptor}/{name}"
        sock.bind(path)
        os.chmod(path, 0o600)
    finally:
        os.close(descriptor)
