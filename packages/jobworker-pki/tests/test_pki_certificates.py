"""The certificates themselves, judged by openssl and by Python's ssl."""

from __future__ import annotations

import ssl
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from jobworker_pki import issuing, provisioning, role
from jobworker_pki.authority import Authority
from jobworker_pki.key_types import KeyType, new_key
from jobworker_pki.profile import Profile
from pki_testing import context, handshake, openssl, verify

ALL = ("ca", "server", "full", "readonly")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("pki") / "certs"
    provisioning.initialise(made, ["jobs.example.org", "192.0.2.7"], replace=False)
    return made


def load(directory: Path, stem: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate((directory / f"{stem}.pem").read_bytes())


@pytest.mark.parametrize(
    ("stem", "purpose"),
    [("ca", "any"), ("server", "sslserver"), ("full", "sslclient"), ("readonly", "sslclient")],
)
def test_openssl_accepts_each_strictly(directory: Path, stem: str, purpose: str) -> None:
    verify(directory, stem, purpose)


@pytest.mark.parametrize(("stem", "purpose"), [("server", "sslclient"), ("full", "sslserver")])
def test_no_certificate_serves_for_the_other_side(directory: Path, stem: str, purpose: str) -> None:
    with pytest.raises(AssertionError, match=r"(?i)unsuitable certificate purpose|unsupported certificate purpose"):
        verify(directory, stem, purpose)


def test_openssl_sees_the_extensions(directory: Path) -> None:
    authority = openssl("x509", "-noout", "-text", "-in", directory / "ca.pem")
    client = openssl("x509", "-noout", "-text", "-in", directory / "full.pem")
    server = openssl("x509", "-noout", "-text", "-in", directory / "server.pem")
    assert "Basic Constraints: critical\n                CA:TRUE, pathlen:0" in authority
    assert "Key Usage: critical\n                Certificate Sign, CRL Sign\n" in authority
    for text, purpose in ((client, "TLS Web Client Authentication"), (server, "TLS Web Server Authentication")):
        assert "Basic Constraints: critical\n                CA:FALSE" in text
        assert "Key Usage: critical\n                Digital Signature\n" in text
        assert f"Extended Key Usage: \n                {purpose}\n" in text
    for text in (authority, client, server):
        assert "Subject Key Identifier" in text
        assert "Authority Key Identifier" in text
        assert "ASN1 OID: prime256v1" in text
        assert "ecdsa-with-SHA256" in text
    assert "1.2.840.10070.8.1: \n                ..full" in client
    assert "1.2.840.10070.8.1" not in server


def test_the_server_certificate_names_where_it_is_reached(directory: Path) -> None:
    names = load(directory, "server").extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {"localhost", "jobs.example.org"} <= set(names.get_values_for_type(x509.DNSName))
    assert {str(ip) for ip in names.get_values_for_type(x509.IPAddress)} == {"127.0.0.1", "::1", "192.0.2.7"}


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1", "jobs.example.org", "192.0.2.7"])
def test_strict_python_peers_agree(directory: Path, host: str) -> None:
    server = context(directory, "server", ssl.Purpose.CLIENT_AUTH)
    client = context(directory, "full", ssl.Purpose.SERVER_AUTH)
    agreed = handshake(server, client, host)
    assert agreed.version() == "TLSv1.3"
    certificate = agreed.getpeercert()
    assert certificate is not None
    assert certificate["subject"] == ((("commonName", "full"),),)


def test_a_host_it_does_not_name_is_refused(directory: Path) -> None:
    server = context(directory, "server", ssl.Purpose.CLIENT_AUTH)
    client = context(directory, "full", ssl.Purpose.SERVER_AUTH)
    with pytest.raises(ssl.SSLCertVerificationError, match=r"other\.example"):
        handshake(server, client, "other.example")


def test_a_client_of_another_authority_is_refused(directory: Path, tmp_path: Path) -> None:
    provisioning.initialise(tmp_path, [], replace=False)
    server = context(directory, "server", ssl.Purpose.CLIENT_AUTH)
    stranger = context(tmp_path, "full", ssl.Purpose.SERVER_AUTH)
    stranger.load_verify_locations(directory / "ca.pem")
    with pytest.raises(ssl.SSLCertVerificationError):
        handshake(server, stranger, "localhost")


@pytest.mark.parametrize("stem", ALL)
def test_validity_allows_for_clocks_that_are_behind(directory: Path, stem: str) -> None:
    begin = load(directory, stem).not_valid_before_utc
    assert timedelta(minutes=4) < issuing.now() - begin < timedelta(minutes=15)


@pytest.mark.parametrize(("stem", "days"), [("ca", 3650), ("server", 365), ("full", 30), ("readonly", 30)])
def test_lifetimes(directory: Path, stem: str, days: int) -> None:
    left = load(directory, stem).not_valid_after_utc - issuing.now()
    assert timedelta(days=days, minutes=-10) < left <= timedelta(days=days)


def test_no_leaf_outlives_its_authority() -> None:
    authority = Authority.create()
    leaf = authority.issue_client(Profile("ann", "user"), timedelta(days=36500)).certificate
    assert leaf.not_valid_after_utc == authority.certificate.not_valid_after_utc
    assert leaf.not_valid_before_utc >= authority.certificate.not_valid_before_utc


def test_no_leaf_outlives_a_short_lived_authority() -> None:
    key = new_key()
    subject = issuing.common_name("short")
    authority = Authority(issuing.self_signed(subject, key, timedelta(days=2)), key)
    for made in (
        authority.issue_server([x509.DNSName("a")]),
        authority.issue_client(Profile("a", "user"), timedelta(days=30)),
    ):
        assert made.certificate.not_valid_after_utc == authority.certificate.not_valid_after_utc


@pytest.mark.parametrize("name", ["full", "é", "é" * 32, "x" * 64])
def test_the_role_is_a_utf8_string(name: str, tmp_path: Path) -> None:
    certificate = Authority.create().issue_client(Profile("ann", name), timedelta(days=1)).certificate
    extension = certificate.extensions.get_extension_for_oid(role.OID)
    assert not extension.critical
    der = tmp_path / "role.der"
    der.write_bytes(extension.value.public_bytes())
    assert "prim: UTF8STRING" in openssl("asn1parse", "-inform", "DER", "-in", der)
    assert role.decode(der.read_bytes()) == name


@pytest.mark.parametrize("size", [0, 1, 127, 128, 255, 256, 70000])
def test_a_role_of_any_length_is_der(size: int, tmp_path: Path) -> None:
    der = tmp_path / "role.der"
    der.write_bytes(role.encode("r" * size))
    assert f"l={size:4d} prim: UTF8STRING" in openssl("asn1parse", "-inform", "DER", "-in", der)
    if size < 1 << 16:
        assert role.decode(der.read_bytes()) == "r" * size


@pytest.mark.parametrize(
    "der",
    [b"", b"\x0c", b"full", b"\x13\x04full", b"\x0c\x05full", b"\x0c\x03full", b"\x0c\x81\x04full", b"\x0c\x80full\0\0",
     b"\x0c\x02\xff\xfe"],
    ids=repr,
)  # fmt: skip
def test_what_is_not_a_utf8_string_is_no_role(der: bytes) -> None:
    with pytest.raises(ValueError, match=r"not a UTF8String|not DER|codec"):
        role.decode(der)


def test_keys_are_p256_and_all_different(directory: Path) -> None:
    keys = [load(directory, stem).public_key() for stem in ALL]
    assert all(isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name == "secp256r1" for key in keys)
    assert len({load(directory, stem).serial_number for stem in ALL}) == len(ALL)
    for stem in ALL:
        public = openssl("pkey", "-pubout", "-in", directory / f"{stem}.key")
        assert public == openssl("x509", "-noout", "-pubkey", "-in", directory / f"{stem}.pem")


def test_the_server_purpose_is_in_the_server_certificate_alone(directory: Path) -> None:
    for stem, purpose in (("server", ExtendedKeyUsageOID.SERVER_AUTH), ("full", ExtendedKeyUsageOID.CLIENT_AUTH)):
        usage = load(directory, stem).extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert list(usage) == [purpose]


@pytest.mark.parametrize(
    ("key_type", "told"),
    [
        (KeyType.ECDSA_P384, ["ASN1 OID: secp384r1", "ecdsa-with-SHA384"]),
        (KeyType.RSA_4096, ["Public-Key: (4096 bit)", "sha256WithRSAEncryption"]),
    ],
)
def test_other_kinds_of_keys(tmp_path: Path, key_type: KeyType, told: list[str]) -> None:
    provisioning.initialise(tmp_path, [], replace=False, key_type=key_type)
    for stem, purpose in (("server", "sslserver"), ("full", "sslclient")):
        verify(tmp_path, stem, purpose, crl=True)
        text = openssl("x509", "-noout", "-text", "-in", tmp_path / f"{stem}.pem")
        assert all(fact in text for fact in told)
    agreed = handshake(
        context(tmp_path, "server", ssl.Purpose.CLIENT_AUTH),
        context(tmp_path, "full", ssl.Purpose.SERVER_AUTH),
        "localhost",
    )
    assert agreed.version() == "TLSv1.3"


def test_serial_numbers_are_random() -> None:
    authority = Authority.create()
    made = {
        authority.issue_client(Profile("a", "user"), timedelta(days=1)).certificate.serial_number for _ in range(50)
    }
    assert len(made) == 50
    assert len({number >> 140 for number in made}) > 40
    assert all(0 < number < 1 << 160 for number in made)
