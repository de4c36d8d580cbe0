"""The gRPC channel: mutual TLS, retries of what is safe to send again, and keepalive."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import grpc
import grpc.aio

from jobworker_cli import TLS_1_3_ONLY
from jobworker_cli.errors import CredentialsError, TlsVersionError

if TYPE_CHECKING:
    from jobworker_cli.address import Address
    from jobworker_cli.credentials import Credentials

# Start is among them because each carries a request id; Stop, Signal and Delete would answer differently a second time.
_SAFE_TO_REPEAT = ("Start", "QueryStatus", "ListJobs")

_SERVICE_CONFIG = {
    "methodConfig": [
        {
            "name": [{"service": "jobworker.v1.WorkerService", "method": method} for method in _SAFE_TO_REPEAT],
            "retryPolicy": {
                "maxAttempts": 3,
                "initialBackoff": "0.1s",
                "maxBackoff": "1s",
                "backoffMultiplier": 3,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ]
}

_OPTIONS = (
    ("grpc.service_config", json.dumps(_SERVICE_CONFIG)),
    # A page of jobs may hold their long command lines: 4 MiB, the default, is too little, and the server is trusted.
    ("grpc.max_receive_message_length", -1),
    # A follower of a silent job must notice that the server's host is gone. A jobworker server hangs up on clients that
    # ping more often than every 20 seconds.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.ping_timeout_ms", 20_000),  # what counts for a ping that is not answered; a minute otherwise
    ("grpc.http2.max_pings_without_data", 0),
    # A server that was started again is to be found soon: by default pauses between attempts grow to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
)


def open_channel(address: Address, credentials: Credentials) -> grpc.Channel:
    """Make a channel; it connects with its first call.

    Raises:
        CredentialsError: a file is missing or can't be read.
        TlsVersionError: older versions of TLS could not be refused.
    """
    return grpc.secure_channel(str(address), _channel_credentials(credentials), _options(address))


def open_async_channel(address: Address, credentials: Credentials) -> grpc.aio.Channel:
    """The same for asyncio."""
    return grpc.aio.secure_channel(str(address), _channel_credentials(credentials), _options(address))


def _channel_credentials(credentials: Credentials) -> grpc.ChannelCredentials:
    if not TLS_1_3_ONLY:
        raise TlsVersionError
    ca, cert, key = credentials.read()
    over_tls = grpc.ssl_channel_credentials(ca, key, cert)
    if credentials.read_token() is None:
        return over_tls
    return grpc.composite_channel_credentials(over_tls, grpc.metadata_call_credentials(_TokenOfCall(credentials)))


class _TokenOfCall(grpc.AuthMetadataPlugin):
    """Gives each call the token that is in its file then."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    def __call__(
        self,
        context: grpc.AuthMetadataContext,  # noqa: ARG002 - as gRPC calls it
        callback: grpc.AuthMetadataPluginCallback,
    ) -> None:
        try:
            token = self._credentials.read_token()
        except CredentialsError as error:  # the call fails, and the diagnosis finds the file as it is
            callback((), error)
        else:
            callback((("authorization", f"Bearer {token}"),), None)


def _options(address: Address) -> tuple[tuple[str, object], ...]:
    # A proxy of the environment can't reach this host's own loopback addresses.
    return (*_OPTIONS, ("grpc.enable_http_proxy", 0 if address.is_loopback else 1))
