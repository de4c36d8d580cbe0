"""A client that speaks HTTP/2 by hand, for what no client library would send."""

from __future__ import annotations

import itertools
import select
import socket
import ssl
import struct
from pathlib import Path
from types import TracebackType
from typing import Self

from server_testing import TIMEOUT, Authority, Pair

DATA, HEADERS, RESET, SETTINGS, PING, WINDOW_UPDATE = 0, 1, 3, 4, 6, 8
END_STREAM, ACK, END_HEADERS = 1, 1, 4
CANCEL = struct.pack(">I", 8)
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_INITIAL_WINDOW = 65535
_WINDOW_SETTING = 4
_LARGEST_FRAME = 16384
_HEAD = 9
_SERVICE = "/jobworker.v1.WorkerService/"


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """A frame of HTTP/2."""
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def _header(name: str, value: str) -> bytes:
    """Literally, as nothing to be remembered."""
    return bytes([0, len(name)]) + name.encode() + bytes([len(value)]) + value.encode()


def headers(rpc: str) -> bytes:
    """Those of a call."""
    found = {":method": "POST", ":scheme": "https", ":path": _SERVICE + rpc, ":authority": "localhost"}
    found |= {"te": "trailers", "content-type": "application/grpc"}
    return b"".join(_header(name, value) for name, value in found.items())


class RawConnection:
    """A connection with a client's certificate. Of what the server sends nothing is read but in :meth:`fill`."""

    def __init__(self, port: int, pair: Pair, authority: Authority, directory: Path) -> None:
        certificate, key = directory / "raw.pem", directory / "raw.key"
        pair.write(certificate, key)
        context = ssl.create_default_context(cadata=authority.ca.cert_pem.decode())
        context.load_cert_chain(certificate, key)
        context.set_alpn_protocols(["h2"])
        self._ids = itertools.count(1, 2)
        self._window = self._window_of_stream = _INITIAL_WINDOW
        self._added: dict[int, int] = {}
        self._used: dict[int, int] = {}
        self._received = b""
        self._is_open = True
        plain = socket.create_connection(("127.0.0.1", port), TIMEOUT)
        self._socket = context.wrap_socket(plain, server_hostname="localhost")
        self.send(_PREFACE + frame(SETTINGS, 0, 0))

    def send(self, data: bytes, seconds: float = TIMEOUT) -> None:
        """Send something. Raises OSError where it is not taken within so long."""
        self._socket.settimeout(seconds)
        self._socket.sendall(data)

    def call(self, rpc: str, data: bytes = b"", *, ends: bool = False) -> int:
        """Begin a call, and return the number of its stream."""
        stream = next(self._ids)
        self.send(frame(HEADERS, END_HEADERS, stream, headers(rpc)))
        if data or ends:
            self.send(frame(DATA, END_STREAM if ends else 0, stream, data))
        self._used[stream] = len(data)
        self._window -= len(data)
        return stream

    def fill(self, total: int, patience: float) -> None:
        """Send up to so much on each stream, in turns, until the server takes no more of any for ``patience``."""
        while self._is_open:
            sent = sum([self._send_piece(stream, total) for stream in list(self._used)])
            if not self._take(0 if sent else patience) and not sent:
                return

    def _send_piece(self, stream: int, total: int) -> int:
        size = self._size(stream, total)
        if size <= 0:
            return 0
        self._used[stream] += size
        self._window -= size
        self.send(frame(DATA, 0, stream, bytes(size)))
        return size

    def _size(self, stream: int, total: int) -> int:
        used = self._used[stream]
        window = min(self._window, self._window_of_stream + self._added.get(stream, 0) - used)
        return min(window, total - used, _LARGEST_FRAME)

    def _take(self, seconds: float) -> bool:
        """Take what the server has sent, if it comes within so long."""
        if not self._socket.pending() and not select.select([self._socket], [], [], seconds)[0]:
            return False
        self._socket.setblocking(False)
        try:
            data = self._socket.recv(1 << 16)
        except ssl.SSLWantReadError:  # a part of a record, or one that is none of ours
            return True
        except OSError:
            data = b""
        self._is_open = bool(data)
        self._received += data
        self._note_frames()
        return True

    def _note_frames(self) -> None:
        while len(self._received) >= _HEAD:
            head, end = self._received[:_HEAD], _HEAD + int.from_bytes(self._received[:3], "big")
            if len(self._received) < end:
                return
            payload, self._received = self._received[_HEAD:end], self._received[end:]
            self._note(head[3], head[4], int.from_bytes(head[5:], "big"), payload)

    def _note(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == RESET or (kind == HEADERS and flags & END_STREAM):
            self._used.pop(stream, None)
        elif kind == WINDOW_UPDATE and stream:
            self._added[stream] = self._added.get(stream, 0) + int.from_bytes(payload, "big")
        elif kind == WINDOW_UPDATE:
            self._window += int.from_bytes(payload, "big")
        elif kind == SETTINGS and not flags & ACK:
            for setting, value in struct.iter_unpack(">HI", payload):
                if setting == _WINDOW_SETTING:
                    self._window_of_stream = value
            self.send(frame(SETTINGS, ACK, 0))
        elif kind == PING and not flags & ACK:
            self.send(frame(PING, ACK, 0, payload))  # so that the server sees how much it may let come

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._socket.close()
