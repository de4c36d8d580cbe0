"""Break-ins over a real connection with each kind of certificate: docs/security.md lists them."""

from __future__ import annotations

import re
import socket
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from jobworker.v1.worker_service_pb2 import ListJobsRequest
from jobworker.v1.worker_service_pb2_grpc import WorkerServiceStub
from server_testing import TIMEOUT, Authority, Pair, ServerProcess, role_extension, utf8_string

FULL = role_extension(utf8_string("full"))
REFUSED = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNAUTHENTICATED)


def signed_by(issuer: Pair, *, issuer_name: x509.Name | None = None) -> Pair:
    """A client certificate of the role ``full`` that somebody has signed who is no CA of the server."""
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "mallory")]))
        .issuer_name(issuer_name or issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - timedelta(hours=1))
        .not_valid_after(datetime.now(UTC) + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(FULL, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key()), critical=False)
    )
    return Pair(builder.sign(issuer.key, hashes.SHA256()), key)


def of_another_ca(_: Authority) -> Pair:
    return Authority("another CA").client("ann", "full")


def of_a_ca_of_the_same_name(_: Authority) -> Pair:
    return Authority("test CA").client("ann", "full")


def self_signed(_: Authority) -> Pair:
    own = Authority("mallory").ca
    return Pair(own.certificate, own.key)


def signed_by_a_client(authority: Authority) -> Pair:
    """A user plays the CA."""
    return signed_by(authority.client("mallory", "user"))


def signed_by_a_client_in_the_name_of_the_ca(authority: Authority) -> Pair:
    return signed_by(authority.client("mallory", "user"), issuer_name=authority.ca.certificate.subject)


def expired(authority: Authority) -> Pair:
    return authority.client("ann", "full", valid=timedelta(minutes=-5))


def not_yet_valid(authority: Authority) -> Pair:
    return authority.issue(["ann"], FULL, valid=timedelta(days=2), valid_from=timedelta(days=1))


def for_servers(authority: Authority) -> Pair:
    return authority.issue(["localhost"], x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), FULL)


def of_the_server(authority: Authority) -> Pair:
    """It names no role."""
    return authority.issue(["localhost"], x509.SubjectAlternativeName([x509.DNSName("localhost")]))


def of_the_ca_itself(authority: Authority) -> Pair:
    return authority.ca


def of_a_key_that_can_be_worked_out(authority: Authority) -> Pair:
    return authority.issue(["ann"], FULL, key=rsa.generate_private_key(65537, 1024))  # noqa: S505 - what is tried


ATTACKERS = (
    of_another_ca, of_a_ca_of_the_same_name, self_signed, signed_by_a_client, signed_by_a_client_in_the_name_of_the_ca,
    expired, not_yet_valid, for_servers, of_the_server, of_the_ca_itself,
    of_a_key_that_can_be_worked_out,
)  # fmt: skip


def list_with(server: ServerProcess, credentials: grpc.ChannelCredentials) -> grpc.StatusCode:
    """How a call with such credentials ends."""
    channel = grpc.secure_channel(server.address, credentials, [("grpc.use_local_subchannel_pool", 1)])
    try:
        WorkerServiceStub(channel).ListJobs(ListJobsRequest(all_owners=True), timeout=TIMEOUT)
    except grpc.RpcError as error:
        code: grpc.StatusCode = error.code()
        return code
    finally:
        channel.close()
    return grpc.StatusCode.OK


@pytest.fixture(autouse=True)
def unimpressed(server: ServerProcess, authority: Authority) -> Iterator[None]:
    """After each attack the server serves whom it should, and has found no fault of its own."""
    yield
    good = authority.client("ann", "full")
    trusted = grpc.ssl_channel_credentials(authority.ca.cert_pem, good.key_pem, good.cert_pem)
    assert list_with(server, trusted) is grpc.StatusCode.OK
    assert " ERROR " not in server.log


@pytest.mark.parametrize("attacker", ATTACKERS)
def test_certificate_that_gives_nothing(
    server: ServerProcess, authority: Authority, attacker: Callable[[Authority], Pair]
) -> None:
    pair = attacker(authority)
    credentials = grpc.ssl_channel_credentials(authority.ca.cert_pem, pair.key_pem, pair.cert_pem)
    assert list_with(server, credentials) in REFUSED


def test_chain_that_a_client_made_up(server: ServerProcess, authority: Authority) -> None:
    """A client shows the certificate that it has signed, and its own, which is no CA's, between that and the CA."""
    user = authority.client("mallory", "user")
    forged = signed_by(user)
    chain = forged.cert_pem + user.cert_pem + authority.ca.cert_pem
    credentials = grpc.ssl_channel_credentials(authority.ca.cert_pem, forged.key_pem, chain)
    assert list_with(server, credentials) in REFUSED


def test_certificate_of_another_without_its_key(server: ServerProcess, authority: Authority) -> None:
    """Certificates are no secrets; openssl is told to use a key that is not the one."""
    victim, own = authority.client("ann", "full"), authority.client("mallory", "user")
    credentials = grpc.ssl_channel_credentials(authority.ca.cert_pem, own.key_pem, victim.cert_pem)
    assert list_with(server, credentials) in REFUSED


def test_no_certificate(server: ServerProcess, authority: Authority) -> None:
    assert list_with(server, grpc.ssl_channel_credentials(authority.ca.cert_pem)) in REFUSED


def test_no_tls(server: ServerProcess) -> None:
    channel = grpc.insecure_channel(server.address, [("grpc.use_local_subchannel_pool", 1)])
    with pytest.raises(grpc.RpcError) as caught:
        WorkerServiceStub(channel).ListJobs(ListJobsRequest(), timeout=TIMEOUT)
    assert caught.value.code() in (*REFUSED, grpc.StatusCode.DEADLINE_EXCEEDED)
    channel.close()


@pytest.mark.parametrize("beginning", [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"\0" * 65535])
def test_bytes_that_are_no_handshake(server: ServerProcess, beginning: bytes) -> None:
    with socket.create_connection((server.address.rpartition(":")[0], server.port)) as sock:
        sock.settimeout(TIMEOUT)
        try:
            sock.sendall(beginning)
            answer = sock.recv(4096)
        except ConnectionError:
            answer = b""
        assert b"HTTP" not in answer


@pytest.mark.parametrize(
    "options",
    [("-tls1_2",), ("-tls1_3", "-ciphersuites", "TLS_AES_128_CCM_8_SHA256"), ("-tls1_3", "-early_data", "data")],
    ids=" ".join,
)
def test_openssl_with_what_this_server_does_not_speak(
    server: ServerProcess, authority: Authority, tmp_path: Path, options: tuple[str, ...]
) -> None:
    """An older TLS, a suite that is too short, and early data, which could be sent again by somebody else."""
    authority.client("ann", "full").write(tmp_path / "ann.pem", tmp_path / "ann.key")
    (tmp_path / "data").write_bytes(b"x" * 100)
    connect = ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", "-cert", "ann.pem", "-key", "ann.key"]
    result = subprocess.run(
        [*connect, *options], cwd=tmp_path, input="", capture_output=True, text=True, timeout=TIMEOUT, check=False
    )
    said = result.stdout + result.stderr
    assert "Cipher is (NONE)" in said or "Early data was not sent" in said or "Early data was rejected" in said, said


def test_every_test_that_the_document_names_is_there() -> None:
    root = Path(__file__).parents[3]
    named = set(re.findall(r"`(test_\w+\.py)`", (root / "docs" / "security.md").read_text()))
    there = {path.name for place in ("packages", "tests-e2e") for path in (root / place).rglob("test_*.py")}
    assert named
    assert named - there == set()
