"""Where a server listens."""

from __future__ import annotations

import ipaddress
from typing import NamedTuple, Self


class Address(NamedTuple):
    """A host name or IP address, and a port."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``HOST:PORT``, an IPv6 address in brackets.

        Raises:
            ValueError: it isn't one.
        """
        host, colon, port = text.rpartition(":")
        bracketed = host.startswith("[") and host.endswith("]")
        bare = host[1:-1] if bracketed else host
        if not colon or not bare or "/" in bare or (":" in bare and not bracketed):
            raise ValueError(f"{text!r} is not HOST:PORT, such as localhost:50051 or [::1]:50051")
        if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
            raise ValueError(f"{text!r} has no port from 1 to 65535, as localhost:50051 has")
        return cls(bare, int(port))

    @property
    def is_loopback(self) -> bool:
        """Whether it is on this host."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
