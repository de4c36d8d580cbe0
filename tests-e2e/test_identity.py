"""Guards the design's security: mutual TLS 1.3 and nothing else, and an identity that is looked at in each call."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
from datetime import timedelta
from pathlib import Path

import grpc
import pytest

from conformance.jobs import SLEEPER
from conformance.processes import PATIENCE_SECONDS, wait_until
from harness.api import Api, failing
from harness.certs import Certs, Pair, around_now, pki
from harness.cli import Cli
from harness.server import Server
from jobworker.v1.worker_service_pb2 import ListJobsRequest
from jobworker.v1.worker_service_pb2_grpc import WorkerServiceStub

HOUR = timedelta(hours=1)


def is_served(server: Server, context: ssl.SSLContext) -> bool:
    """Whether a server talks to a client after the handshake: in TLS 1.3 its verdict on the client comes then."""
    context.set_alpn_protocols(["h2"])
    host, _, port = server.address.rpartition(":")
    with (
        socket.create_connection((host, int(port)), PATIENCE_SECONDS) as connection,
        context.wrap_socket(connection, server_hostname=host) as tls,
    ):
        return tls.recv(1) != b""


def tls_context(certs: Certs, version: ssl.TLSVersion, pair: Pair | None) -> ssl.SSLContext:
    """A client that speaks just this version."""
    context = ssl.create_default_context(cafile=str(certs.ca))
    context.minimum_version = context.maximum_version = version
    if pair:
        context.load_cert_chain(pair.cert, pair.key)
    return context


def refusal(channel: grpc.Channel) -> tuple[grpc.StatusCode, str]:
    """How a call over a channel fails: the code, and the reason that the service gives, if it is the service."""
    with failing() as failure, channel:
        WorkerServiceStub(channel).ListJobs(ListJobsRequest(), timeout=PATIENCE_SECONDS)
    return failure.code, failure.reason


def test_tls_1_3_is_served(server: Server, certs: Certs) -> None:
    assert is_served(server, tls_context(certs, ssl.TLSVersion.TLSv1_3, certs.full))


def test_tls_1_2_is_refused_in_the_handshake(server: Server, certs: Certs) -> None:
    with pytest.raises((ssl.SSLError, ConnectionError)):
        is_served(server, tls_context(certs, ssl.TLSVersion.TLSv1_2, certs.full))


@pytest.mark.skipif(not shutil.which("openssl"), reason="needs the openssl command as a second opinion")
@pytest.mark.parametrize(("option", "accepted"), [("-tls1_2", False), ("-tls1_3", True)])
def test_openssl_finds_tls_1_3_only(option: str, accepted: bool, server: Server, certs: Certs) -> None:
    files = ["-CAfile", certs.ca, "-cert", certs.full.cert, "-key", certs.full.key]
    command = ["openssl", "s_client", "-connect", server.address, option, "-alpn", "h2", *map(str, files)]
    result = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE_SECONDS, check=False
    )
    assert (result.returncode == 0) == accepted, result
    assert (b"New, TLSv1.3" in result.stdout) == accepted


def test_a_client_without_a_certificate_is_refused(server: Server, certs: Certs) -> None:
    try:
        served = is_served(server, tls_context(certs, ssl.TLSVersion.TLSv1_3, None))
    except (ssl.SSLError, ConnectionError):
        served = False
    assert not served
    credentials = grpc.ssl_channel_credentials(certs.ca.read_bytes())
    assert refusal(grpc.secure_channel(server.address, credentials)) == (grpc.StatusCode.UNAVAILABLE, "")


def test_a_client_without_tls_is_refused(server: Server) -> None:
    assert refusal(grpc.insecure_channel(server.address)) == (grpc.StatusCode.UNAVAILABLE, "")


def test_a_certificate_of_another_authority_is_refused(cli: Cli, tmp_path: Path) -> None:
    pki("init", "--dir", tmp_path / "other")
    stranger = Pair(tmp_path / "other" / "full.pem", tmp_path / "other" / "full.key")
    refused = cli("list", client=stranger, status=4)
    assert "does not accept the certificate" in refused.err


def test_a_client_refuses_a_server_of_another_authority(cli: Cli, tmp_path: Path) -> None:
    pki("init", "--dir", tmp_path / "other")
    refused = cli("--ca", tmp_path / "other" / "ca.pem", "list", status=5)
    assert "can't be trusted" in refused.err


def test_a_certificate_without_a_role_is_refused(cli: Cli, server: Server, certs: Certs) -> None:
    nobody = certs.by_hand("nobody", None, *around_now(HOUR, HOUR))
    with Api(server, nobody) as api, failing() as failure:
        api.call("ListJobs")
    assert (failure.code, failure.reason) == (grpc.StatusCode.UNAUTHENTICATED, "NO_ROLE")
    assert "names no role" in cli("list", client=nobody, status=4).err


def test_the_server_s_certificate_is_no_client_s(cli: Cli, certs: Certs) -> None:
    cli("list", client=certs.server, status=4)


@pytest.mark.parametrize(("before", "after"), [(2 * HOUR, -HOUR), (-HOUR, 2 * HOUR)], ids=["expired", "not yet valid"])
def test_a_certificate_outside_its_time_is_refused(before: timedelta, after: timedelta, cli: Cli, certs: Certs) -> None:
    cli("list", client=certs.by_hand("late", "full", *around_now(before, after)), status=4)


def test_a_certificate_that_expires_is_refused_on_an_open_connection(server: Server, certs: Certs) -> None:
    soon = certs.by_hand("soon", "full", *around_now(HOUR, timedelta(seconds=8)))
    with Api(server, soon) as api:
        job = api.start(SLEEPER)
        with failing() as stream_failure:
            list(api.chunks(job.id))
        with failing() as call_failure:
            api.status(job.id)
        with failing() as start_failure:
            api.start(SLEEPER)
    for failure in (stream_failure, call_failure, start_failure):
        assert (failure.code, failure.reason) == (grpc.StatusCode.UNAUTHENTICATED, "CERTIFICATE_EXPIRED")
    with Api(server, certs.full) as api:
        api.stop(job.id, force=True)  # after it, whatever was begun before would be there
        assert [known.id for known in api.list(owner="soon")] == [job.id]


def test_refusals_are_in_the_log_with_the_caller_s_address_alone(server: Server, certs: Certs) -> None:
    with Api(server, certs.client("readonly", "ann")) as api, failing():
        api.start(["echo", "not-to-be-logged"])
    wait_until(lambda: "refused start called from ipv" in server.log)
    assert "not-to-be-logged" not in server.log
