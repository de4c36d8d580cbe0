"""Tokens: who can read them, what they say, and for whom none is made."""

from __future__ import annotations

import base64
import stat
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest

from jobworker_pki import issuing, provisioning, revoking
from jobworker_pki.errors import (
    InvalidValueError,
    KeyFileError,
    PassphraseError,
    RefusedError,
    UnreadableCertificateError,
)
from jobworker_pki.passphrase import Passphrase
from jobworker_pki.profile import RoleIn
from jobworker_pki.tokens import issue
from pki_testing import contents, openssl, pki

HOUR = timedelta(hours=1)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    provisioning.issue(tmp_path, "ann", None, timedelta(days=1), replace=False, role_in=RoleIn.TOKEN)
    return tmp_path


def claims(directory: Path, token: str, audience: str = "jobworker") -> dict[str, Any]:
    key = (directory / "token.pub").read_text()
    assert "BEGIN PUBLIC KEY" in key
    required = ["role", "aud", "exp", "nbf", "iat", "cnf", "sub"]
    return jwt.decode(token, key, algorithms=["ES256"], audience=audience, options={"require": required})


def test_what_it_says(directory: Path) -> None:
    result = pki("token", "--role", "observer", "ann.pem", "--dir", ".", cwd=directory)
    assert result.returncode == 0, result.stderr
    assert "there was no key for tokens, so a new one was made" in result.stderr
    told = claims(directory, result.stdout.strip())
    assert (told["role"], told["sub"]) == ("observer", "ann")
    now = issuing.now().timestamp()
    assert now + 3500 < told["exp"] <= now + 3600
    assert told["nbf"] == told["iat"] <= now
    digest = (
        openssl("x509", "-noout", "-fingerprint", "-sha256", "-in", directory / "ann.pem").strip().partition("=")[2]
    )
    expected = base64.urlsafe_b64encode(bytes.fromhex(digest.replace(":", ""))).rstrip(b"=").decode()
    assert told["cnf"] == {"x5t#S256": expected}
    assert stat.S_IMODE((directory / "token.key").stat().st_mode) == 0o600

    again = pki("token", "--role", "night", "ann.pem", "--audience", "build", "--dir", ".", cwd=directory)
    assert claims(directory, again.stdout.strip(), "build")["role"] == "night"
    assert "so a new one was made" not in again.stderr
    assert "not a built-in role" in again.stderr


def test_into_a_file(directory: Path) -> None:
    arguments = ["token", "--role", "user", "ann.pem", "--minutes", "5", "--out", "ann.token", "--dir", "."]
    result = pki(*arguments, cwd=directory)
    assert result.returncode == 0, result.stderr
    assert "ann.token  token for ann, role user, valid until" in result.stdout
    first = (directory / "ann.token").read_text()
    assert claims(directory, first.strip())["role"] == "user"
    assert stat.S_IMODE((directory / "ann.token").stat().st_mode) == 0o600
    assert "already there" in pki(*arguments, cwd=directory).stderr
    assert pki(*arguments, "--force", cwd=directory).returncode == 0
    assert (directory / "ann.token").read_text() != first


def test_the_name_is_the_spiffe_id_where_there_is_one(directory: Path) -> None:
    uri = "spiffe://example.org/bob"
    provisioning.issue(directory, "bob", "user", timedelta(days=1), replace=False, spiffe=uri)
    made = issue(directory, directory / "bob.pem", "user", HOUR, Passphrase())
    assert claims(directory, made.text)["sub"] == uri


def test_it_does_not_outlive_the_certificate(directory: Path) -> None:
    made = issue(directory, directory / "ann.pem", "user", timedelta(days=9), Passphrase())
    assert made.until < issuing.now() + timedelta(days=1, minutes=1)
    assert claims(directory, made.text)["exp"] == int(made.until.timestamp())


def test_where_certificates_come_from_elsewhere(directory: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("tokens")
    made = issue(elsewhere, directory / "ann.pem", "user", HOUR, Passphrase())
    assert contents(elsewhere).keys() == {"token.key", "token.pub"}
    assert claims(elsewhere, made.text)["sub"] == "ann"


def test_a_lost_public_key_is_made_again(directory: Path) -> None:
    first = issue(directory, directory / "ann.pem", "user", HOUR, Passphrase())
    (directory / "token.pub").unlink()
    assert not issue(directory, directory / "ann.pem", "user", HOUR, Passphrase()).new_key
    claims(directory, first.text)


def test_a_key_with_a_passphrase(directory: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("correct horse battery\n")
    issue(directory, directory / "ann.pem", "user", HOUR, Passphrase(secret))
    assert b"ENCRYPTED" in (directory / "token.key").read_bytes()
    assert not issue(directory, directory / "ann.pem", "user", HOUR, Passphrase(secret)).new_key
    secret.write_text("wrong\n")
    with pytest.raises(PassphraseError, match="not the passphrase"):
        issue(directory, directory / "ann.pem", "user", HOUR, Passphrase(secret))


def test_refusals(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    provisioning.issue_server(directory, [], replace=False)
    for path, error, problem in (
        (directory / "server.pem", RefusedError, "not the certificate of a client"),
        (directory / "ca.pem", RefusedError, "not the certificate of a client"),
        (directory / "ca.key", UnreadableCertificateError, "private key"),
        (directory / "none.pem", UnreadableCertificateError, "No such file"),
    ):
        with pytest.raises(error, match=problem):
            issue(directory, path, "user", HOUR, Passphrase())
    for arguments in ({"role_name": ""}, {"audience": ""}, {"audience": "\n"}, {"role_name": "a\x1b"}):
        with pytest.raises(InvalidValueError):
            issue(
                directory,
                directory / "ann.pem",
                **({"role_name": "user"} | arguments),
                lifetime=HOUR,
                passphrase=Passphrase(),
            )
    assert not (directory / "token.key").exists()
    revoking.revoke(directory, "ann", "unspecified", Passphrase())
    with pytest.raises(RefusedError, match="was revoked"):
        issue(directory, directory / "ann.pem", "user", HOUR, Passphrase())
    later = issuing.now() + timedelta(days=2)
    monkeypatch.setattr(issuing, "now", lambda: later)
    with pytest.raises(RefusedError, match="expired"):
        issue(directory, directory / "ann.pem", "user", HOUR, Passphrase())


def test_a_signing_key_of_another_kind(directory: Path) -> None:
    (directory / "token.key").write_text(openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"))
    with pytest.raises(KeyFileError, match="not an ECDSA P-256 key"):
        issue(directory, directory / "ann.pem", "user", HOUR, Passphrase())
