"""Small messages between engine, fork server and shim: datagrams that carry descriptors (unix(7), SCM_RIGHTS)."""

from __future__ import annotations

import json
import os
import socket
from typing import TYPE_CHECKING, Any

from jobworker_lib.job.directory import CONTROL_SOCKET, JobDirectory

if TYPE_CHECKING:
    from collections.abc import Sequence

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


def send_control(
    directory: JobDirectory,
    request: dict[str, Any],
    descriptors: Sequence[int] = (),
    timeout: float | None = None,
) -> dict[str, Any] | None:
    """Ask a job's shim for something, passing it descriptors: its answer, or None where no shim listens or answers.

    It is given ``timeout`` seconds, where that is not None.

    The request carries the socket for its answer, so the shim keeps no connections.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours, theirs, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        ours.settimeout(timeout)
        sock.settimeout(timeout)
        try:
            connect_in(sock, directory.path, CONTROL_SOCKET)
            send(sock, request, [theirs.fileno(), *descriptors])
        except (FileNotFoundError, ConnectionError, TimeoutError):
            return None
        theirs.close()
        try:
            reply = receive(ours, 0)
        except TimeoutError:
            return None
        return reply[0] if reply else None


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
