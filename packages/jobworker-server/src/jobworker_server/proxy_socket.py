"""The Unix socket for a proxy that speaks TLS with clients: who can connect to it can be any of them.

A client's certificate is no secret, and the proxy tells it in a header. So the socket is for the proxy alone.
"""

from __future__ import annotations

import grp
import os
import socket
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from jobworker_server.errors import ListenError

_LONGEST_PATH = 107
"""Bytes, of the kernel."""


@dataclass(frozen=True, slots=True)
class ProxySocket:
    """Where the proxy connects, and the group that it is of."""

    path: Path
    group: str | None = None
    """None: the proxy runs as the server's own user, or as root."""

    def prepare(self) -> str:
        """Make the way free for gRPC to listen there, and return the address as gRPC takes it.

        Raises:
            ListenError: it can't be listened on, or others could connect.
        """
        group = self._group_number()
        path = os.path.abspath(self.path)  # gRPC reads two slashes at the beginning as a host's name
        if len(os.fsencode(path)) > _LONGEST_PATH:
            raise ListenError(f"can't listen on {path}: the path of a socket has at most {_LONGEST_PATH} bytes")
        try:
            self._make_directory(group)
            self._remove_what_a_killed_server_left()
        except OSError as error:
            raise ListenError(f"can't listen on {path}: {error.strerror}") from None
        return f"unix:{path}"

    def close_to_others(self) -> None:
        """Let nobody connect but the group; to be called when it is listened on.

        Raises:
            ListenError: the server may not give it to the group.
        """
        group = self._group_number()
        try:
            if group is not None:
                os.chown(self.path, -1, group)
            self.path.chmod(0o600 if group is None else 0o660)
        except OSError as error:
            self.remove()
            raise ListenError(
                f"can't give {self.path} to the group {self.group}: {error.strerror}; make the server's user a member"
            ) from None

    def remove(self) -> None:
        """Remove it, at the end of the server."""
        with suppress(OSError):
            self.path.unlink()

    def _group_number(self) -> int | None:
        if self.group is None:
            return None
        try:
            return grp.getgrnam(self.group).gr_gid
        except KeyError:
            raise ListenError(f"can't listen for a proxy: there is no group {self.group!r}") from None

    def _make_directory(self, group: int | None) -> None:
        directory = self.path.parent
        try:
            directory.mkdir(mode=0o700)
        except FileExistsError:
            self._require_closed(directory)
            return
        if group is not None:
            os.chown(directory, -1, group)
            directory.chmod(0o750)

    def _require_closed(self, directory: Path) -> None:
        found = directory.stat()
        if found.st_uid not in (os.geteuid(), 0) or found.st_mode & (stat.S_IWGRP | stat.S_IRWXO):
            raise ListenError(
                f"can't listen on {self.path}: others could enter its directory, or change it, and who can connect can "
                f"be anybody; give it a directory of its own, closed with chmod 750 {directory}"
            )

    def _remove_what_a_killed_server_left(self) -> None:
        try:
            found = self.path.lstat()
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(found.st_mode):
            raise ListenError(f"can't listen on {self.path}: there is something else")
        with socket.socket(socket.AF_UNIX) as probe, suppress(ConnectionRefusedError):
            probe.connect(str(self.path))
            raise ListenError(f"can't listen on {self.path}: another server does")
        self.path.unlink()
