"""What a server tells the service manager that started it (sd_notify(3)), such as systemd with ``Type=notify``."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
from collections.abc import MutableMapping

_SEND_SECONDS = 1.0
"""It reads at once, or is in trouble that should not be ours."""

_log = logging.getLogger(__name__)


class ServiceManager:
    """The one that the environment names, whose variables are taken out of it; where there is none, nothing is told."""

    def __init__(self, environ: MutableMapping[str, str]) -> None:
        self._address = environ.pop("NOTIFY_SOCKET", "")
        microseconds, pid = environ.pop("WATCHDOG_USEC", ""), environ.pop("WATCHDOG_PID", "")
        is_watched = bool(self._address) and microseconds.isdecimal() and pid in ("", str(os.getpid()))
        self._pause_seconds = int(microseconds) / 2e6 if is_watched else 0.0

    def tell_ready(self, status: str = "") -> None:
        """The server takes calls, or has loaded its files again. ``status`` is a line for people."""
        self._tell("READY=1", *([f"STATUS={status}"] if status else []))

    def tell_reloading(self) -> None:
        """The server loads its files again; :meth:`tell_ready` follows."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def tell_stopping(self) -> None:
        """The server takes no more calls, and will exit."""
        self._tell("STOPPING=1", "STATUS=stopping; jobs run on")

    async def keep_telling(self) -> None:
        """Tell that the event loop runs, if that is wanted (``WatchdogSec=``), until cancelled."""
        while self._pause_seconds:
            self._tell("WATCHDOG=1")
            await asyncio.sleep(self._pause_seconds)

    def _tell(self, *assignments: str) -> None:
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
                connection.settimeout(_SEND_SECONDS)
                connection.sendto("\n".join(assignments).encode(), address)
        except OSError as error:
            _log.warning("the service manager at %s can't be told %s: %s", self._address, assignments[0], error)
