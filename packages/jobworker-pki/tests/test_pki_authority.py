"""Authorities that can't issue, and why."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from jobworker_pki import issuing, provisioning
from jobworker_pki.authority import Authority
from jobworker_pki.errors import AuthorityError, PassphraseError
from jobworker_pki.files import publish
from jobworker_pki.issuing import Credential
from jobworker_pki.passphrase import Passphrase
from pki_testing import openssl, verify


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    provisioning.initialise(tmp_path, [], replace=False)
    return tmp_path


def refusal(directory: Path) -> str:
    with pytest.raises(AuthorityError) as caught:
        Authority.load(directory)
    return str(caught.value)


def put(directory: Path, authority: Authority) -> None:
    publish(directory, authority.credential().files(), replace=True)


def test_no_authority_is_no_error(tmp_path: Path) -> None:
    assert Authority.load(tmp_path) is None


def test_an_authority_comes_back_as_it_was_written(directory: Path) -> None:
    authority = Authority.create()
    put(directory, authority)
    loaded = Authority.load(directory)
    assert loaded is not None
    assert loaded.certificate == authority.certificate


def test_the_key_of_another_authority(directory: Path) -> None:
    (directory / "ca.key").write_bytes((directory / "full.key").read_bytes())
    assert "ca.key is not the key of" in refusal(directory)


@pytest.mark.parametrize("content", [b"", b"junk", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_a_damaged_key(directory: Path, content: bytes) -> None:
    (directory / "ca.key").write_bytes(content)
    assert "not a private key in PEM form, or is damaged" in refusal(directory)


def test_a_key_with_a_passphrase(directory: Path, tmp_path: Path) -> None:
    path = directory / "ca.key"
    key = load_pem_private_key(path.read_bytes(), password=None)
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")))
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    right.write_bytes(b"secret\n")
    wrong.write_bytes(b"Secret\n")
    assert Authority.load(directory, Passphrase(right)) is not None
    with pytest.raises(PassphraseError, match="not the passphrase of"):
        Authority.load(directory, Passphrase(wrong))


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_key_without_permission(directory: Path) -> None:
    (directory / "ca.key").chmod(0)
    assert "Permission denied" in refusal(directory)


def test_a_key_that_can_not_be_read(directory: Path) -> None:
    (directory / "ca.key").unlink()
    (directory / "ca.key").mkdir()
    assert "Is a directory" in refusal(directory)


def test_a_dangling_link_is_no_absent_authority(directory: Path) -> None:
    for name in ("ca.key", "ca.pem"):
        (directory / name).unlink()
        (directory / name).symlink_to(directory / "nowhere")
    assert "No such file" in refusal(directory)


def test_a_key_of_another_kind(directory: Path) -> None:
    (directory / "ca.key").write_text(openssl("genpkey", "-algorithm", "ed25519"))
    assert "neither an ECDSA nor an RSA key" in refusal(directory)


@pytest.mark.parametrize(("content", "problem"), [(b"junk", "PEM form"), (None, "holds a private key")])
def test_a_certificate_that_is_none(directory: Path, content: bytes | None, problem: str) -> None:
    (directory / "ca.pem").write_bytes((directory / "ca.key").read_bytes() if content is None else content)
    assert problem in refusal(directory)


def test_a_certificate_that_is_no_authoritys(directory: Path) -> None:
    for suffix in ("pem", "key"):
        (directory / f"ca.{suffix}").write_bytes((directory / f"full.{suffix}").read_bytes())
    assert "not the certificate of a CA" in refusal(directory)


@pytest.mark.parametrize(
    ("age", "problem"), [(timedelta(days=4000), "has expired"), (timedelta(days=-1), "is not valid before")]
)
def test_an_authority_out_of_its_time(
    directory: Path, monkeypatch: pytest.MonkeyPatch, age: timedelta, problem: str
) -> None:
    then = issuing.now() - age
    with monkeypatch.context() as patch:
        patch.setattr(issuing, "now", lambda: then)
        put(directory, Authority.create())
    assert problem in refusal(directory)


def test_an_rsa_authority_made_by_openssl_can_issue(tmp_path: Path) -> None:
    openssl(
        "req", "-x509", "-newkey", "rsa:2048", "-noenc", "-days", "90", "-subj", "/O=Example/CN=Example CA",
        "-addext", "keyUsage=critical,keyCertSign,cRLSign",
        "-keyout", tmp_path / "ca.key", "-out", tmp_path / "ca.pem",
    )  # fmt: skip
    provisioning.issue(tmp_path, "ann", "user", timedelta(days=30), replace=False)
    provisioning.issue_server(tmp_path, [], replace=False)
    verify(tmp_path, "ann", "sslclient")
    verify(tmp_path, "server", "sslserver")


def test_keys_are_in_no_text(directory: Path) -> None:
    authority = Authority.create()
    credential: Credential = authority.credential()
    assert "PRIVATE" not in repr(authority) + repr(credential) + repr(credential.files())
    assert "key=" not in repr(authority) + repr(credential)
