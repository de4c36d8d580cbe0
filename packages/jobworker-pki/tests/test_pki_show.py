"""What ``show`` tells of good, strange and hostile files."""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from jobworker_pki import issuing, provisioning, role
from jobworker_pki.errors import UnreadableCertificateError
from jobworker_pki.show import escape, show
from pki_testing import openssl


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("show")
    provisioning.initialise(made, ["jobs.example.org"], replace=False)
    return made


def facts(text: str) -> dict[str, str]:
    rows = [line.split(maxsplit=1) for line in text.splitlines()]
    return {label: value for label, value in rows}  # noqa: C416 - dict() would hide that each row has two parts


def write(path: Path, subject: x509.Name, *extensions: x509.ExtensionType, days: tuple[int, int] = (-1, 1)) -> Path:
    key = ec.generate_private_key(ec.SECP384R1())
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now + timedelta(days=days[0])).not_valid_after(now + timedelta(days=days[1]))
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    path.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))
    return path


def test_a_client_certificate(directory: Path) -> None:
    path = directory / "readonly.pem"
    told = facts(show(path))
    assert told["name"] == "readonly"
    assert told["role"] == "readonly"
    assert told["kind"] == "client"
    assert re.search(r"\((29|30) days left\)", told["valid"])
    assert told["issuer"].startswith("CN=jobworker CA ")
    assert told["names"] == "none"
    assert told["key"] == "ECDSA P-256"
    assert openssl("x509", "-noout", "-serial", "-in", path).strip().lstrip("serial=").lstrip("0") == told["serial"]
    digest = openssl("x509", "-noout", "-fingerprint", "-sha256", "-in", path).strip().partition("=")[2]
    assert told["fingerprint"] == f"SHA256 {digest}"


def test_the_text_is_aligned(directory: Path) -> None:
    lines = show(directory / "server.pem").splitlines()
    width = max(len(line.split()[0]) for line in lines) + 2
    assert all(line[width - 1] == " " and line[width] != " " for line in lines)


def test_a_server_certificate(directory: Path) -> None:
    told = facts(show(directory / "server.pem"))
    assert (told["kind"], told["role"]) == ("server", "none")
    assert told["names"].startswith("DNS:localhost, IP:127.0.0.1, IP:::1, ")
    assert told["names"].endswith("DNS:jobs.example.org")


def test_an_authority(directory: Path) -> None:
    assert facts(show(directory / "ca.pem"))["kind"] == "certificate authority"


@pytest.mark.parametrize(
    ("days", "told"), [((-9, -2), "expired"), ((2, 9), "not valid yet"), ((-1, 1), r"2[34] h left")]
)
def test_validity(tmp_path: Path, days: tuple[int, int], told: str) -> None:
    assert re.search(told, show(write(tmp_path / "a.pem", issuing.common_name("a"), days=days)))


def test_names_can_not_reach_the_terminal(tmp_path: Path) -> None:
    hostile = "\x1b[2J\x9b31m\nrole  full\u202e\\x"
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hostile)])
    others = x509.SubjectAlternativeName([x509.DNSName("\x1b]0;x\x07"), x509.UniformResourceIdentifier("a\r\nb")])
    path = write(tmp_path / "a.pem", subject, others, role.extension("\x1b[1m"))
    text = show(path)
    assert all(line.isprintable() for line in text.splitlines())
    told = facts(text)
    assert told["name"] == r"\x1b[2J\x9b31m\nrole  full\u202e\\x"
    assert told["role"] == r"\x1b[1m"
    assert len(text.splitlines()) == 10


def test_escaping_leaves_ordinary_text_alone() -> None:
    assert escape("Zoë, CN=jobworker") == "Zoë, CN=jobworker"


def test_a_certificate_that_says_nothing(tmp_path: Path) -> None:
    told = facts(show(write(tmp_path / "a.pem", x509.Name([]))))
    assert [told[label] for label in ("name", "role", "kind", "issuer", "names")] == [
        "none", "none", "unspecified", "none", "none",
    ]  # fmt: skip
    assert told["key"] == "ECDSA P-384"


def test_two_common_names_are_both_told(tmp_path: Path) -> None:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name) for name in ("ann", "root")])
    assert facts(show(write(tmp_path / "a.pem", subject)))["name"] == "ann, root (2 common names)"


def test_a_role_of_the_wrong_type(tmp_path: Path) -> None:
    path = write(tmp_path / "a.pem", issuing.common_name("a"), x509.UnrecognizedExtension(role.OID, b"\x13\x04full"))
    assert facts(show(path))["role"] == "unreadable (not a UTF8String)"


def test_an_extension_that_is_there_twice(tmp_path: Path) -> None:
    other = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.840.10070.8.2"), role.encode("user"))
    path = write(tmp_path / "a.pem", issuing.common_name("a"), role.extension("user"), other)
    certificate = x509.load_pem_x509_certificate(path.read_bytes()).public_bytes(Encoding.DER)
    twice = certificate.replace(bytes.fromhex("2a8648ce560802"), bytes.fromhex("2a8648ce560801"))
    assert twice != certificate
    path.write_bytes(b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(twice) + b"-----END CERTIFICATE-----\n")
    with pytest.raises(UnreadableCertificateError, match=r"malformed.*1\.2\.840\.10070\.8\.1"):
        show(path)


@pytest.mark.parametrize("algorithm", ["ed25519", "rsa"])
def test_other_keys(tmp_path: Path, algorithm: str) -> None:
    path = tmp_path / "a.pem"
    openssl("req", "-x509", "-newkey", algorithm, "-noenc", "-subj", "/CN=a", "-keyout", tmp_path / "k", "-out", path)
    assert facts(show(path))["key"] == {"ed25519": "Ed25519", "rsa": "RSA 2048"}[algorithm]


def test_text_around_the_certificate_does_no_harm(directory: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.pem"
    path.write_text(openssl("x509", "-text", "-in", directory / "full.pem") + (directory / "full.key").read_text())
    assert show(path) == show(directory / "full.pem")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "not a certificate in PEM form"),
        (b"hello", "not a certificate in PEM form"),
        (b"\x30\x82\x01\x00", "-inform DER"),
        (b"x" * ((1 << 20) + 1), "too large"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "damaged"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n", "damaged"),
    ],
    ids=["empty", "text", "der", "large", "damaged", "cut"],
)
def test_files_that_hold_no_certificate(tmp_path: Path, content: bytes, problem: str) -> None:
    path = tmp_path / "a.pem"
    path.write_bytes(content)
    with pytest.raises(UnreadableCertificateError, match=problem):
        show(path)


def test_a_missing_file_a_directory_a_key_and_a_request(directory: Path, tmp_path: Path) -> None:
    request = tmp_path / "request.pem"
    request.write_text(openssl("req", "-new", "-subj", "/CN=a", "-key", directory / "full.key"))
    for path, problem in (
        (tmp_path / "none.pem", "No such file"),
        (tmp_path, "Is a directory"),
        (directory / "full.key", "holds a private key, not a certificate"),
    ):
        with pytest.raises(UnreadableCertificateError, match=problem) as caught:
            show(path)
        assert str(path) in str(caught.value)


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
@pytest.mark.parametrize("mask", [0xFF, 0x01, 0x80, 0x0F])
def test_no_damage_to_a_certificate_ends_in_another_error(directory: Path, tmp_path: Path, mask: int) -> None:
    der = x509.load_pem_x509_certificate((directory / "server.pem").read_bytes()).public_bytes(Encoding.DER)
    path = tmp_path / "a.pem"
    for position in range(len(der)):
        damaged = der[:position] + bytes([der[position] ^ mask]) + der[position + 1 :]
        path.write_bytes(
            b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(damaged) + b"-----END CERTIFICATE-----\n"
        )
        try:
            text = show(path)
        except UnreadableCertificateError as error:
            text = str(error)
        assert all(line.isprintable() for line in text.splitlines())


def test_a_bundle_is_shown_certificate_by_certificate(directory: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "bundle.pem"
    bundle.write_bytes((directory / "full.pem").read_bytes() + (directory / "ca.pem").read_bytes())
    first, second = show(bundle).split("\n\n")
    assert facts(first)["kind"] == "client"
    assert facts(second)["kind"] == "certificate authority"


def test_when_to_renew(tmp_path: Path) -> None:
    told = facts(show(write(tmp_path / "a.pem", issuing.common_name("a"), days=(-2, 4))))
    due = datetime.now(UTC) + timedelta(days=2)
    assert told["renewal"].startswith(f"due on {due:%Y-%m-%d}")
    assert facts(show(write(tmp_path / "b.pem", issuing.common_name("b"), days=(-9, 1))))["renewal"].startswith(
        "due since"
    )
