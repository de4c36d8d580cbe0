"""How gRPC is told to treat connections: what bounds them, and when those that nobody uses are closed."""

from __future__ import annotations

import resource

from jobworker_server.quotas import Quotas

_ALWAYS = (
    ("grpc.so_reuseport", 0),  # a port that another server has must be refused, not shared
    # A client that follows a silent job pings, to learn that this host is gone: at most so often, or it is hung up on.
    ("grpc.http2.min_ping_interval_without_data_ms", 20_000),
    # And a client whose host is gone is let go in two minutes. One that was only frozen has a minute to answer.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 60_000),
    ("grpc.http2.ping_timeout_ms", 60_000),
    ("grpc.http2.max_pings_without_data", 0),
    # What has come of a call and is not asked for yet stays within this. Otherwise gRPC lets more and more come.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 256 << 10),
)
_REFUSED_STREAMS = 64
"""How many calls of one connection may be open beyond what a client may have, and learn that they may not."""


def options(quotas: Quotas, listeners: int) -> list[tuple[str, int]]:
    """The options of a gRPC server that listens on so many addresses."""
    found = [
        *_ALWAYS,
        ("grpc.max_receive_message_length", quotas.message_bytes),
        ("grpc.server_handshake_timeout_ms", round(quotas.handshake_seconds * 1000)),
        ("grpc.max_allowed_incoming_connections", max(1, _connections(quotas) // listeners)),
    ]
    if quotas.streams is not None:
        found.append(("grpc.max_concurrent_streams", quotas.streams + _REFUSED_STREAMS))
    if quotas.idle_seconds is not None:
        found.append(("grpc.max_connection_idle_ms", round(quotas.idle_seconds * 1000)))
    return found


def _connections(quotas: Quotas) -> int:
    """Half of the descriptors at most: calls that are let in need some, too."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(quotas.connections, descriptors // 2)
