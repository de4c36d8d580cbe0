"""Addresses to listen on: parsed, resolved, and bound before gRPC does, for errors that say what is wrong."""

from __future__ import annotations

import errno
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

from jobworker_server.errors import ConfigError, ListenError

_ADDRESS = re.compile(r"(?P<host>\[[^\[\]]+\]|[^:\[\]\s]+):(?P<port>[0-9]{1,5})")
_MOST_TRIES = 20


@dataclass(frozen=True, slots=True)
class Address:
    """A host, by name or number, and a port; port 0 stands for any free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read ``HOST:PORT`` or ``[IPV6]:PORT``.

        Raises:
            ConfigError: it is neither.
        """
        match = _ADDRESS.fullmatch(text)
        if match is None or int(match["port"]) > 65535:
            raise ConfigError(f"{text!r} is not an address; give HOST:PORT, such as localhost:50051 or [::1]:50051")
        return cls(match["host"].strip("[]"), int(match["port"]))


def free_addresses(address: Address) -> list[Address]:
    """All that ``address`` stands for on this host, by number, on one port that is free on all of them.

    A name such as ``localhost`` can stand for an IPv4 and an IPv6 address; one that this host lacks is left out.

    Raises:
        ListenError: the name can't be resolved, the port is taken or may not be used, or no address is of this host.
    """
    hosts = list(dict.fromkeys(_resolve(address)))
    for _ in range(1 if address.port else _MOST_TRIES):
        try:
            return _bind(hosts, address.port)
        except OSError as error:
            problem = error.strerror
    raise ListenError(f"can't listen on {address}: {problem}; choose another with --listen, or port 0 for a free one")


def _resolve(address: Address) -> Iterator[str]:
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError):
        raise ListenError(f"can't listen on {address}: no such host as {address.host}") from None
    for *_, sockaddr in found:
        yield str(sockaddr[0])


def _bind(hosts: list[str], port: int) -> list[Address]:
    addresses: list[Address] = []
    absent = OSError(errno.EADDRNOTAVAIL, "not an address of this host")
    with ExitStack() as stack:
        for host in hosts:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            try:
                listener = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                listener.bind((host, port))
            except OSError as error:
                if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    raise
                continue
            port = listener.getsockname()[1]
            addresses.append(Address(host, port))
    if not addresses:
        raise absent
    return addresses
