"""A peer that is gone without a word is noticed by pings, though nothing else is said."""

from __future__ import annotations

import signal
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from conformance.jobs import sh
from conformance.processes import PATIENCE_SECONDS
from harness.certs import Certs
from harness.server import Server
from jobworker_cli.client import Client, Credentials, channel
from jobworker_cli.errors import OutputInterruptedError
from jobworker_server import transport
from jobworker_server.quotas import Quotas

CLIENT: dict[str, Any] = dict(channel._OPTIONS)
SERVER: dict[str, Any] = dict(transport.options(Quotas(), 1))


def test_grpc_knows_each_option() -> None:
    """It ignores what it doesn't know, such as a name that is spelt wrong."""
    extension = find_spec("grpc._cython.cygrpc")
    assert extension is not None
    binary = Path(extension.origin or "").read_bytes()
    assert [name for name in (*CLIENT, *SERVER) if name.encode() + b"\0" not in binary] == []


def test_client_notices_within_a_minute_and_pings_no_more_often_than_the_server_lets_it() -> None:
    for timeout in ("grpc.keepalive_timeout_ms", "grpc.http2.ping_timeout_ms"):
        assert CLIENT["grpc.keepalive_time_ms"] + CLIENT[timeout] <= 60_000
    assert CLIENT["grpc.keepalive_time_ms"] > SERVER["grpc.http2.min_ping_interval_without_data_ms"]
    for options in (CLIENT, SERVER):
        assert options["grpc.http2.max_pings_without_data"] == 0


def test_client_notices_a_server_that_is_frozen(
    own_server: Server, certs: Certs, monkeypatch: pytest.MonkeyPatch
) -> None:
    soon = {"grpc.keepalive_time_ms": 3000, "grpc.keepalive_timeout_ms": 5000, "grpc.http2.ping_timeout_ms": 5000}
    monkeypatch.setattr(channel, "_OPTIONS", tuple({**CLIENT, **soon}.items()))
    with Client(own_server.address, Credentials.from_directory(certs.directory), reconnect=0) as client:
        chunks = client.output(client.start(sh("echo ready; exec sleep 1000")).id)
        assert next(chunks).data == b"ready\n"
        own_server.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        try:
            with pytest.raises(OutputInterruptedError):
                next(chunks)
            assert time.monotonic() - began < PATIENCE_SECONDS
        finally:
            own_server.send_signal(signal.SIGCONT)
