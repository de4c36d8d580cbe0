"""The system log of the host, by the socket that journald, rsyslog and the like listen on."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

from jobworker_server.audit.line import Line
from jobworker_server.errors import AuditError

_AUTHPRIV = 10
_WARNING, _NOTICE = 4, 5
_PATIENCE_SECONDS = 1.0


class SystemLog:
    """Sends lines as messages of the facility ``authpriv``: of the level warning where they tell of a refusal.

    Raises:
        AuditError: nobody listens there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._socket: socket.socket | None = self._connect()
        except OSError as error:
            raise AuditError(f"the audit can't be sent to the system log at {path}: {error.strerror}") from None

    def write(self, line: Line) -> None:
        """Send a line; where the listener is another one by now, to that.

        Raises:
            OSError: it was not taken.
        """
        message = _header(line) + line.data.rstrip(b"\n")
        if self._socket:
            try:
                self._socket.send(message)
            except ConnectionError:
                self.close()
            else:
                return
        self._socket = self._connect()
        self._socket.send(message)

    def close(self) -> None:
        """Close the socket."""
        if self._socket:
            self._socket.close()
            self._socket = None

    def _connect(self) -> socket.socket:
        found = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            found.settimeout(_PATIENCE_SECONDS)
            found.connect(str(self._path))
        except OSError:
            found.close()
            raise
        return found


def _header(line: Line) -> bytes:
    priority = _AUTHPRIV * 8 + (_WARNING if line.refused else _NOTICE)
    now = time.localtime()
    month = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")[now.tm_mon - 1]
    moment = f"{month} {now.tm_mday:2d} {now.tm_hour:02d}:{now.tm_min:02d}:{now.tm_sec:02d}"
    return f"<{priority}>{moment} jobworker-audit[{os.getpid()}]: ".encode()
