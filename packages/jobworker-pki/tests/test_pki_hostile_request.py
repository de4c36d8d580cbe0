"""Requests by somebody who wants more than is shown: forged, borrowed, oversized, malformed."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import time
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from cryptography.x509.oid import AttributeOID, ExtendedKeyUsageOID, NameOID

from jobworker_pki import approving, issuing, provisioning, requests, role
from jobworker_pki.approving import Grant
from jobworker_pki.errors import RefusedError, RequestError
from jobworker_pki.inventory import Inventory
from jobworker_pki.key_types import new_key
from jobworker_pki.passphrase import Passphrase
from jobworker_pki.registration import Registration
from pki_testing import clean, command, contents, pki

ANN = Registration("ann", "ann@example.org", "user")


@pytest.fixture
def ca(tmp_path: Path) -> Path:
    provisioning.initialise(tmp_path / "certs", [], replace=False)
    return tmp_path


def pem(registration: Registration = ANN) -> bytes:
    return requests.to_pem(requests.build(registration, new_key()))


def raw(data: bytes | None, name: str = "ann") -> bytes:
    """A request with any bytes for its registration data."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(common_name(name))
    if data is not None:
        builder = builder.add_attribute(AttributeOID.UNSTRUCTURED_NAME, data)
    return builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()).public_bytes(Encoding.PEM)


def common_name(*names: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name) for name in names])


def refusal(tmp_path: Path, content: bytes) -> str:
    path = tmp_path / "a.csr"
    path.write_bytes(content)
    with pytest.raises(RequestError) as caught:
        requests.read(path)
    assert str(caught.value).isprintable()
    return caught.value.problem


def point(key: ec.EllipticCurvePublicKey) -> bytes:
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def forged(victim: bytes) -> bytes:
    """The request of an attacker with the victim's public key put in, as nobody's signature covers it."""
    attacker = x509.load_pem_x509_csr(pem())
    ours, theirs = (x509.load_pem_x509_csr(one).public_key() for one in (attacker.public_bytes(Encoding.PEM), victim))
    assert isinstance(ours, ec.EllipticCurvePublicKey)
    assert isinstance(theirs, ec.EllipticCurvePublicKey)
    der = attacker.public_bytes(Encoding.DER).replace(point(ours), point(theirs))
    return x509.load_der_x509_csr(der).public_bytes(Encoding.PEM)


def test_without_the_private_key(tmp_path: Path) -> None:
    assert "signature is wrong" in refusal(tmp_path, forged(pem()))


def test_changed_on_the_way(tmp_path: Path) -> None:
    der = x509.load_pem_x509_csr(pem()).public_bytes(Encoding.DER)
    changed = der.replace(b'"role": "user"', b'"role": "full"')
    assert changed != der
    assert "signature is wrong" in refusal(tmp_path, x509.load_der_x509_csr(changed).public_bytes(Encoding.PEM))


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\x00" * 100, b"-----BEGIN CERTIFICATE REQUEST-----\n", pem()[: len(pem()) // 2], pem() + pem(),
        b"-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
        b"x" * 70000, b"-----BEGIN A-----\n" * 3500,
    ],
    ids=range(8),
)  # fmt: skip
def test_what_is_none(tmp_path: Path, content: bytes) -> None:
    began = time.process_time()
    refusal(tmp_path, content)
    assert time.process_time() - began < 5


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@pytest.mark.parametrize("mask", [0xFF, 0x01, 0x80, 0x0F])
def test_damaged_anywhere(tmp_path: Path, mask: int) -> None:
    path = tmp_path / "a.csr"
    path.write_bytes(pem())
    sent = requests.read(path)
    der = sent.csr.public_bytes(Encoding.DER)
    for place in range(len(der)):
        text = base64.encodebytes(der[:place] + bytes([der[place] ^ mask]) + der[place + 1 :])
        path.write_bytes(b"-----BEGIN CERTIFICATE REQUEST-----\n" + text + b"-----END CERTIFICATE REQUEST-----\n")
        try:
            read = requests.read(path)
        except RequestError:
            continue
        # One content has several signatures, which differ in bits that mean nothing.
        assert read.fingerprint == sent.fingerprint
        assert read.registration == sent.registration


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
def test_what_it_renews_damaged_anywhere(ca: Path) -> None:
    provisioning.issue(ca / "certs", "ann", "user", timedelta(days=9), replace=False)
    old = x509.load_pem_x509_certificate((ca / "certs" / "ann.pem").read_bytes()).public_bytes(Encoding.DER)
    key = load_pem_private_key((ca / "certs" / "ann.key").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    request = requests.to_pem(requests.build(ANN, key))
    path = ca / "a.csr"
    for place in range(len(old)):
        text = base64.encodebytes(old[:place] + bytes([old[place] ^ 0xFF]) + old[place + 1 :])
        path.write_bytes(request + b"-----BEGIN CERTIFICATE-----\n" + text + b"-----END CERTIFICATE-----\n")
        try:
            renewed = requests.read(path).renews
        except RequestError:
            continue
        assert renewed is not None
        assert renewed.public_bytes(Encoding.DER) != old


@pytest.mark.parametrize(
    "name",
    [
        "../ann",
        "a/b",
        "/etc/x",
        ".ssh",
        "-x",
        "ca",
        "CA",
        "server",
        "crl",
        "old-ca",
        "a\x1b[2Jb",
        "a\nb",
        "a\u202eb",
        " a",
    ],
)
def test_names_that_are_paths_or_act_on_a_terminal(tmp_path: Path, name: str) -> None:
    assert "its name" in refusal(tmp_path, pem(Registration(name, "a@b.org", "user")))


@pytest.mark.parametrize(
    "data",
    [
        b"junk", b"[]", b"null", b'"x"', b"[" * 30000, b'{"name": "bob"}', b'{"name": "ann", "ca": true}',
        b'{"name": "ann", "days": true}', b'{"name": "ann", "days": "5"}', b'{"name": "ann", "days": 1e3}',
        b'{"name": "ann", "days": 91}', b'{"name": "ann", "days": -1}',
        b'{"name": "ann", "days": 1' + b"0" * 5000 + b"}",
        b'{"name": "ann", "role": ""}', b'{"name": "ann", "role": "a\\u001b[1m"}', b'{"name": "ann", "role": ["full"]}',
        b'{"name": "ann", "email": "a@b.org\\u001b]0;x\\u0007"}', b'{"name": "ann", "email": "a@b.org\\nBcc: x@y.z"}',
        b'{"name": "ann", "spiffe": "spiffe://x/\\u202e"}', b'{"name": "ann", "spiffe": "file:///etc"}',
        json.dumps({"name": "ann", "role": "r" * 65}).encode(),
        json.dumps({"name": "ann", "email": f"a@{'b' * 300}"}).encode(),
    ],
    ids=range(22),
)  # fmt: skip
def test_registration_data_that_nobody_wrote(tmp_path: Path, data: bytes) -> None:
    refusal(tmp_path, raw(data))


def test_two_names(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    for subject in (common_name("ann", "root"), x509.Name([])):
        builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
        assert "exactly one common name" in refusal(
            tmp_path, builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
        )


@pytest.mark.parametrize(
    ("key", "problem"),
    [
        (ed25519.Ed25519PrivateKey.generate(), "Ed25519"),
        (rsa.generate_private_key(65537, 1024), "1024 bits"),  # noqa: S505 - to be refused
        (rsa.generate_private_key(3, 2048), "public exponent"),
        (ec.generate_private_key(ec.SECP256K1()), "secp256k1"),
    ],
    ids=["ed25519", "rsa-1024", "rsa-e3", "secp256k1"],
)
def test_keys_that_no_certificate_is_issued_for(
    tmp_path: Path, key: ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, problem: str
) -> None:
    algorithm = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    csr = x509.CertificateSigningRequestBuilder().subject_name(common_name("ann")).sign(key, algorithm)
    assert problem in refusal(tmp_path, csr.public_bytes(Encoding.PEM))


def test_extensions_that_are_asked_for_are_not_granted(ca: Path) -> None:
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name(
            [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "admin"), x509.NameAttribute(NameOID.COMMON_NAME, "eve")]
        )
    )
    asked: list[x509.ExtensionType] = [
        x509.BasicConstraints(ca=True, path_length=3),
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]),
        x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.UniformResourceIdentifier("spiffe://x/root")]),
        role.extension("full"),
    ]
    for extension in asked:
        builder = builder.add_extension(extension, critical=True)
    csr = builder.sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    (ca / "eve.csr").write_bytes(csr.public_bytes(Encoding.PEM))
    result = pki("approve", "eve.csr", "--role", "observer", "--yes", cwd=ca)
    assert result.returncode == 0, result.stderr
    certificate = x509.load_pem_x509_certificate((ca / "certs" / "eve.pem").read_bytes())
    assert certificate.subject.rfc4514_string() == "CN=eve"
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(purposes) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert role.decode(certificate.extensions.get_extension_for_oid(role.OID).value.public_bytes()) == "observer"
    with pytest.raises(x509.ExtensionNotFound):
        certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)


@pytest.mark.parametrize("file_is_there", [True, False])
def test_the_name_of_somebody_else(ca: Path, *, file_is_there: bool) -> None:
    provisioning.issue(ca / "certs", "ann", "full", timedelta(days=9), replace=False)
    if not file_is_there:
        for suffix in ("pem", "key"):
            (ca / "certs" / f"ann.{suffix}").unlink()
    before = contents(ca / "certs")
    (ca / "a.csr").write_bytes(pem())
    result = pki("approve", "a.csr", "--yes", cwd=ca)
    assert result.returncode == 1
    assert "doubt: somebody else is called ann already" in result.stderr
    assert contents(ca / "certs") == before


def test_the_spiffe_id_of_somebody_else(ca: Path) -> None:
    uri = "spiffe://example.org/ann"
    provisioning.issue(ca / "certs", "ann", "full", timedelta(days=9), replace=False, spiffe=uri)
    (ca / "a.csr").write_bytes(pem(Registration("bob", "b@example.org", "user", spiffe=uri)))
    result = pki("approve", "a.csr", "--yes", cwd=ca)
    assert result.returncode == 1
    assert f"somebody else is called {uri} already" in result.stderr


def test_a_role_that_nobody_knows_is_told(ca: Path) -> None:
    (ca / "a.csr").write_bytes(pem(Registration("ann", "a@b.org", "root")))
    result = pki("approve", "a.csr", "--yes", cwd=ca)
    assert result.returncode == 0
    assert "'root' is not a built-in role" in result.stderr


def test_a_name_that_looks_like_another_shows_what_it_is(ca: Path) -> None:
    (ca / "a.csr").write_bytes(pem(Registration("\u0430nn", "a@b.org", "user")))
    assert "(with U+0430)" in pki("show", "a.csr", cwd=ca).stdout


def borrowed(ca: Path, registration: Registration, *, signed_by: str | None, certificate: str = "ann") -> None:
    """A renewal of ``certificate`` for a new key, signed with the key of the client ``signed_by``."""
    old = x509.load_pem_x509_certificate((ca / "certs" / f"{certificate}.pem").read_bytes())
    key = None if signed_by is None else load_pem_private_key((ca / "certs" / f"{signed_by}.key").read_bytes(), None)
    assert key is None or isinstance(key, ec.EllipticCurvePrivateKey)
    csr = requests.build(registration, new_key())
    (ca / "a.csr").write_bytes(requests.to_pem(csr, renews=old, old_key=key))


@pytest.mark.parametrize(
    ("signed_by", "problem"),
    [(None, "is not signed with that of the certificate"), ("full", "the signature with the key of the certificate")],
)
def test_a_renewal_of_somebody_elses_certificate(ca: Path, signed_by: str | None, problem: str) -> None:
    provisioning.issue(ca / "certs", "ann", "user", timedelta(days=9), replace=False)
    borrowed(ca, ANN, signed_by=signed_by)
    result = pki("approve", "a.csr", "--yes", "--force", cwd=ca)
    assert result.returncode == 1
    assert problem in result.stderr


@pytest.mark.parametrize(
    "wanted",
    [
        Registration("ann", None, "full"),
        Registration("full", None, "user"),
        Registration("ann", None, "user", None, "spiffe://x/y"),
    ],
)
def test_a_renewal_that_would_say_more_is_not_approved_unattended(ca: Path, wanted: Registration) -> None:
    provisioning.issue(ca / "certs", "ann", "user", timedelta(days=9), replace=False)
    borrowed(ca, wanted, signed_by="ann")
    result = pki("approve", "a.csr", "--yes", cwd=ca)
    assert result.returncode == 1
    assert "doubt: the certificate that it renews says ann with the role user; the new one would say" in result.stderr


def test_a_renewal_of_a_revoked_certificate(ca: Path) -> None:
    provisioning.issue(ca / "certs", "ann", "user", timedelta(days=9), replace=False)
    borrowed(ca, ANN, signed_by="ann")
    assert pki("revoke", "ann", cwd=ca).returncode == 0
    result = pki("approve", "a.csr", "--yes", "--force", cwd=ca)
    assert result.returncode == 1
    assert "was revoked on" in result.stderr


def test_a_renewal_of_no_client_certificate_of_this_ca(ca: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    borrowed(ca, Registration("x", None, "user"), signed_by="server", certificate="server")
    result = pki("approve", "a.csr", "--yes", "--force", cwd=ca)
    assert (result.returncode, "not a client certificate of this CA" in result.stderr) == (1, True), result.stderr
    elsewhere = tmp_path_factory.mktemp("other")
    provisioning.issue(elsewhere / "certs", "ann", "user", timedelta(days=9), replace=False)
    borrowed(elsewhere, ANN, signed_by="ann")
    result = pki("approve", elsewhere / "a.csr", "--yes", "--force", cwd=ca)
    assert (result.returncode, "not a client certificate of this CA" in result.stderr) == (1, True), result.stderr


@pytest.mark.parametrize("wanted", ["../../etc/passwd", "/etc/passwd", "..", "", "\x1b[31m", "nobody", "none.csr"])
def test_requests_that_are_not_there(ca: Path, wanted: str) -> None:
    before = contents(ca / "certs")
    for subcommand in ("approve", "reject"):
        result = pki(subcommand, "--yes", "--", wanted, cwd=ca)
        assert result.returncode == 1
        assert result.stderr.strip().isprintable()
    assert contents(ca / "certs") == before


@pytest.mark.parametrize("subcommand", ["approve", "reject", "show", "install", "request"])
def test_a_pipe_that_nobody_writes_to_is_not_waited_for(ca: Path, subcommand: str) -> None:
    os.mkfifo(ca / "a.csr")
    before = contents(ca / "certs")
    result = subprocess.run(command(subcommand, "a.csr"), cwd=ca, capture_output=True, text=True, check=False)
    assert (result.returncode, "a.csr" in result.stderr) == (1, True), result.stderr
    assert contents(ca / "certs") == before


def test_a_pipe_that_somebody_writes_to_is_read(ca: Path) -> None:
    argv = command("approve", "/dev/stdin", "--yes")
    result = subprocess.run(argv, cwd=ca, input=pem(), capture_output=True, check=False)
    assert result.returncode == 0, result.stderr
    assert (ca / "certs" / "ann.pem").exists()


def test_another_signature_makes_no_other_request(ca: Path) -> None:
    """Of each ECDSA signature (r, s), (r, -s) is one as well, and anybody can make it."""
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    (ca / "a.csr").write_bytes(pem())
    assert pki("reject", "a.csr", "--yes", cwd=ca).returncode == 0
    csr = x509.load_pem_x509_csr((ca / "a.csr").read_bytes())
    r, s = decode_dss_signature(csr.signature)
    signature = encode_dss_signature(r, order - s)
    old = b"\x03" + bytes([len(csr.signature) + 1]) + b"\x00" + csr.signature
    new = b"\x03" + bytes([len(signature) + 1]) + b"\x00" + signature
    content = csr.public_bytes(Encoding.DER)[4:].replace(old, new)
    der = b"\x30\x82" + len(content).to_bytes(2, "big") + content
    (ca / "b.csr").write_bytes(x509.load_der_x509_csr(der).public_bytes(Encoding.PEM))
    assert (ca / "b.csr").read_bytes() != (ca / "a.csr").read_bytes()
    result = pki("approve", "b.csr", "--yes", cwd=ca)
    assert result.returncode == 1
    assert "it was rejected on" in result.stderr


def test_two_who_approve_one_request_at_once(ca: Path) -> None:
    (ca / "a.csr").write_bytes(pem())
    running = [
        subprocess.Popen(
            command("approve", "a.csr", "--yes", "--role", role_name),
            cwd=ca,
            env=clean({}),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for role_name in ("user", "observer", "readonly")
    ]
    assert sorted(process.wait(timeout=110) for process in running) == [0, 1, 1]
    assert len(Inventory.load(ca / "certs").find("ann")) == 1


def test_a_renewal_that_comes_too_late(ca: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    provisioning.issue(ca / "certs", "ann", "user", timedelta(days=9), replace=False)
    borrowed(ca, ANN, signed_by="ann")
    request = requests.read(ca / "a.csr")
    assert approving.doubts(Inventory.load(ca / "certs"), request, Grant()) == []
    later = issuing.now() + timedelta(days=10)
    monkeypatch.setattr(issuing, "now", lambda: later)
    (doubt,) = approving.doubts(Inventory.load(ca / "certs"), request, Grant())
    assert "the certificate that it renews expired on" in doubt


def test_what_changed_while_somebody_decided(ca: Path) -> None:
    path = ca / "a.csr"
    path.write_bytes(pem())
    request = requests.read(path)
    known = approving.doubts(Inventory.load(ca / "certs"), request, Grant())
    assert known == []
    approving.reject(ca / "certs", path, request, "no")
    with pytest.raises(RefusedError, match="changed while you decided"):
        approving.approve(ca / "certs", path, request, Grant(), Passphrase(), known_doubts=known)
