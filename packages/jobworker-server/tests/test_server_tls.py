"""Mutual TLS 1.3 and nothing else, and certificates that are exchanged while the server runs."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import grpc
import pytest

from jobworker.v1.worker_service_pb2 import ListJobsRequest, StopRequest
from jobworker.v1.worker_service_pb2_grpc import WorkerServiceStub
from server_testing import (
    TIMEOUT,
    Authority,
    Client,
    Pair,
    ServerProcess,
    failing,
    role_extension,
    utf8_string,
    wait_until,
)


def handshake(server: ServerProcess, authority: Authority, directory: Path, *options: str) -> str:
    """What ``openssl s_client`` says of a connection with a good client certificate."""
    authority.client("ann", "full").write(directory / "ann.pem", directory / "ann.key")
    (directory / "ca.pem").write_bytes(authority.ca.cert_pem)
    files = ["-cert", "ann.pem", "-key", "ann.key", "-CAfile", "ca.pem"]
    result = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", *files, *options],
        cwd=directory,
        input="",
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    return result.stdout + result.stderr


def test_tls_1_3_is_taken(server: ServerProcess, authority: Authority, tmp_path: Path) -> None:
    assert "New, TLSv1.3, Cipher is TLS_" in handshake(server, authority, tmp_path, "-tls1_3")


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_1", "-tls1"])
def test_older_versions_are_refused_in_the_handshake(
    server: ServerProcess, authority: Authority, tmp_path: Path, version: str
) -> None:
    assert "Cipher is (NONE)" in handshake(server, authority, tmp_path, version, "-cipher", "ALL:@SECLEVEL=0")


def test_the_suite_that_stands_for_none_can_not_be_negotiated(
    server: ServerProcess, authority: Authority, tmp_path: Path
) -> None:
    options = ["-tls1_2", "-psk", "00" * 32, "-cipher", "PSK-AES256-CBC-SHA:@SECLEVEL=0"]
    assert "Cipher is (NONE)" in handshake(server, authority, tmp_path, *options)


def test_a_server_does_not_start_where_grpc_was_imported_first(server_certs: Path) -> None:
    script = (
        "import grpc, sys\n"
        "from pathlib import Path\n"
        "from jobworker_server.credentials import CredentialFiles\n"
        "from jobworker_server.tls import MutualTls\n"
        "certs = Path(sys.argv[1])\n"
        "MutualTls(CredentialFiles(certs / 'ca.pem', certs / 'server.pem', certs / 'server.key'))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, str(server_certs)],
        env={"PYTHONPATH": ":".join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert result.returncode == 1
    assert "TlsVersionError: grpc was imported before jobworker_server" in result.stderr


def list_jobs(server: ServerProcess, pair: Pair, authority: Authority) -> None:
    client = Client(server.address, pair, authority)
    try:
        client.stub.ListJobs(ListJobsRequest(), timeout=TIMEOUT)
    finally:
        client.close()


def test_a_client_without_a_certificate_is_refused(server: ServerProcess, authority: Authority) -> None:
    credentials = grpc.ssl_channel_credentials(authority.ca.cert_pem)
    with grpc.secure_channel(server.address, credentials) as channel, failing() as failure:
        WorkerServiceStub(channel).ListJobs(ListJobsRequest(), timeout=TIMEOUT)
    assert failure.code is grpc.StatusCode.UNAVAILABLE


def test_a_client_of_another_ca_is_refused(server: ServerProcess, authority: Authority) -> None:
    with failing() as failure:
        list_jobs(server, Authority("test CA").client("ann", "full"), authority)
    assert failure.code is grpc.StatusCode.UNAVAILABLE


def test_a_client_whose_certificate_has_expired_is_refused(server: ServerProcess, authority: Authority) -> None:
    with failing() as failure:
        list_jobs(server, authority.client("ann", "full", valid=timedelta(seconds=-2)), authority)
    assert failure.code is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    ("names", "roles", "reason"),
    [
        (["ann"], [], "NO_ROLE"),
        (["ann"], [utf8_string("full") + utf8_string("user")], "BAD_ROLE"),
        ([], [utf8_string("full")], "NO_NAME"),
        (["ann", "bob"], [utf8_string("full")], "BAD_NAME"),
    ],
)
def test_a_client_without_a_usable_identity_is_not_authenticated(
    server: ServerProcess, authority: Authority, names: list[str], roles: list[bytes], reason: str
) -> None:
    with failing() as failure:
        list_jobs(server, authority.issue(names, *map(role_extension, roles)), authority)
    assert (failure.code, failure.reason) == (grpc.StatusCode.UNAUTHENTICATED, reason)


def test_an_open_connection_and_its_stream_end_with_the_certificate(
    server: ServerProcess, authority: Authority, full: Client
) -> None:
    job = full.start("sleep", "1000")
    client = Client(server.address, authority.client("ann", "full", valid=timedelta(seconds=6)), authority)
    with failing() as failure:
        list(client.chunks(job.id))
    assert (failure.code, failure.reason) == (grpc.StatusCode.UNAUTHENTICATED, "CERTIFICATE_EXPIRED")
    with failing() as failure:
        client.stub.ListJobs(ListJobsRequest(), timeout=TIMEOUT)
    assert (failure.code, failure.reason) == (grpc.StatusCode.UNAUTHENTICATED, "CERTIFICATE_EXPIRED")
    client.close()


def reload(server: ServerProcess, expect: str) -> None:
    server.send(signal.SIGHUP)
    wait_until(lambda: expect in server.log)


def test_sighup_exchanges_certificates_and_leaves_open_streams(
    own_server: ServerProcess, own_certs: Path, own_client: Client, authority: Authority
) -> None:
    job = own_client.start("sh", "-c", "echo one; exec sleep 1000", cwd="/")
    chunks = own_client.chunks(job.id)
    assert next(chunks).data == b"one\n"

    other = Authority("another CA")
    other.write_server_files(own_certs)
    (own_certs / "ca.pem").write_bytes(other.ca.cert_pem + authority.ca.cert_pem)
    reload(own_server, "the server's certificate was reloaded")
    wait_until(lambda: "the trust in clients was reloaded: CN=another CA, CN=test CA;" in own_server.log)

    list_jobs(own_server, other.client("bob", "full"), other)
    with failing() as failure:
        list_jobs(own_server, authority.client("ann", "full"), authority)
    assert failure.code is grpc.StatusCode.UNAVAILABLE, "the client does not trust the other CA"
    own_client.stub.Stop(StopRequest(job_id=job.id, force=True), timeout=TIMEOUT)
    assert list(chunks) == []


def _fill_with_nonsense(path: Path) -> None:
    path.write_text("nonsense")


@pytest.mark.parametrize("name", ["ca.pem", "server.pem", "server.key"])
@pytest.mark.parametrize("spoil", [_fill_with_nonsense, Path.unlink])
def test_a_bad_file_leaves_the_old_certificates_in_use(
    own_server: ServerProcess, own_certs: Path, authority: Authority, name: str, spoil: Callable[[Path], None]
) -> None:
    spoil(own_certs / name)
    reload(own_server, "was not reloaded, the old one stays in use: ")
    wait_until(lambda: name in own_server.log)
    list_jobs(own_server, authority.client("ann", "full"), authority)
