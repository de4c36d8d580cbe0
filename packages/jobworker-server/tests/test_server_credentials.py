"""What a server is not run with, and what is said of it."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from jobworker_server.credentials import CredentialFiles, load_authorities, load_key_pair
from jobworker_server.errors import CertificateError
from server_testing import Authority


@pytest.fixture
def files(server_certs: Path, tmp_path: Path) -> CredentialFiles:
    directory = tmp_path / "certs"
    shutil.copytree(server_certs, directory)
    return CredentialFiles(directory / "ca.pem", directory / "server.pem", directory / "server.key")


def load(files: CredentialFiles) -> None:
    load_key_pair(files)
    load_authorities(files)


def problem_of(files: CredentialFiles) -> str:
    with pytest.raises(CertificateError) as caught:
        load(files)
    return str(caught.value)


def test_good_files_are_read(files: CredentialFiles) -> None:
    pair = load_key_pair(files)
    assert (pair.cert, pair.key) == (files.cert.read_bytes(), files.key.read_bytes())
    assert load_authorities(files).pem == files.ca.read_bytes()


@pytest.mark.parametrize("which", ["ca", "cert", "key"])
def test_a_missing_file_is_named_with_the_command_that_makes_it(files: CredentialFiles, which: str) -> None:
    getattr(files, which).unlink()
    problem = problem_of(files)
    assert f"{getattr(files, which)} does not exist" in problem
    assert "jobworker-pki init" in problem


@pytest.mark.parametrize("which", ["ca", "cert", "key"])
@pytest.mark.parametrize("content", [b"", b"no PEM", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_file_of_something_else_is_refused(files: CredentialFiles, which: str, content: bytes) -> None:
    getattr(files, which).write_bytes(content)
    assert f"{getattr(files, which)} does not hold a" in problem_of(files)


def test_a_directory_is_refused(files: CredentialFiles, tmp_path: Path) -> None:
    assert "can't be read" in problem_of(CredentialFiles(tmp_path, files.cert, files.key))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o620])
def test_a_key_that_is_open_to_others_is_refused(files: CredentialFiles, mode: int) -> None:
    files.key.chmod(mode)
    assert problem_of(files).endswith(f"chmod 600 {files.key}")


def test_the_key_of_another_certificate_is_refused(files: CredentialFiles, authority: Authority) -> None:
    files.key.write_bytes(authority.issue(["other"]).key_pem)
    assert "is not the key of the certificate" in problem_of(files)


@pytest.mark.parametrize("purpose", [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH])
def test_a_clients_certificate_is_refused(
    files: CredentialFiles, authority: Authority, purpose: x509.ObjectIdentifier
) -> None:
    authority.issue(["localhost"], x509.ExtendedKeyUsage([purpose])).write(files.cert, files.key)
    if purpose == ExtendedKeyUsageOID.SERVER_AUTH:
        load(files)
    else:
        assert "is not one for servers" in problem_of(files)


def test_an_encrypted_key_is_refused(files: CredentialFiles, authority: Authority) -> None:
    key = authority.issue(["localhost"]).key
    encryption = BestAvailableEncryption(b"secret")
    files.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))
    assert "is encrypted" in problem_of(files)


def test_an_expired_certificate_is_refused(files: CredentialFiles, authority: Authority) -> None:
    authority.issue(["localhost"], valid=timedelta(seconds=-2)).write(files.cert, files.key)
    assert "expired on" in problem_of(files)


def test_a_kind_of_key_that_grpc_does_not_take_is_refused(files: CredentialFiles, authority: Authority) -> None:
    files.cert.write_bytes(authority.issue_for(Ed25519PrivateKey.generate().public_key()))
    assert "take ECDSA or RSA" in problem_of(files)
