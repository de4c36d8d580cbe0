"""Keys that are encrypted, and the three ways to give their passphrase."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from jobworker_pki import provisioning, rotating
from jobworker_pki.errors import PassphraseError
from jobworker_pki.passphrase import Passphrase
from pki_testing import clean, command, contents, openssl, pki, pki_on_terminal, verify

SECRET = "correct horse battery staple"


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text(f"{SECRET}\n")
    return path


@pytest.fixture
def directory(tmp_path: Path, secret: Path) -> Path:
    made = tmp_path / "certs"
    provisioning.initialise(made, [], replace=False, passphrase=Passphrase(secret), intermediate=True)
    return made


def test_openssl_reads_it_with_the_passphrase_only(directory: Path, secret: Path) -> None:
    for stem in ("ca", "intermediate"):
        path = directory / f"{stem}.key"
        assert path.read_bytes().startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
        openssl("pkey", "-noout", "-in", path, "-passin", f"file:{secret}")
        with pytest.raises(AssertionError):
            openssl("pkey", "-noout", "-in", path, "-passin", "pass:wrong passphrase")
    assert b"ENCRYPTED" not in (directory / "server.key").read_bytes()


def test_from_a_file(directory: Path, secret: Path, tmp_path: Path) -> None:
    result = pki("issue", "--role", "user", "--passphrase-file", secret, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    verify(directory, "user", crl=True)
    assert pki("revoke", "user", "--passphrase-file", secret, cwd=tmp_path).returncode == 0


def test_from_a_descriptor(directory: Path, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    with open(writing, "w", encoding="utf-8") as stream:
        stream.write(SECRET)
    try:
        result = subprocess.run(
            command("issue", "--role", "user", "--passphrase-fd", str(reading)),
            cwd=tmp_path, env=clean({}), pass_fds=[reading], capture_output=True, text=True, check=False,
        )  # fmt: skip
    finally:
        os.close(reading)
    assert result.returncode == 0, result.stderr
    verify(directory, "user", crl=True)


def test_from_the_terminal(directory: Path, tmp_path: Path) -> None:
    status, seen = pki_on_terminal("issue", "--role", "user", cwd=tmp_path, answers={"Passphrase of": SECRET})
    assert status == 0, seen
    assert SECRET not in seen
    verify(directory, "user", crl=True)


def test_a_new_one_is_typed_twice(tmp_path: Path) -> None:
    answers = {"New passphrase for": SECRET, "Once more": SECRET}
    status, seen = pki_on_terminal("init", "--encrypt", cwd=tmp_path, answers=answers)
    assert status == 0, seen
    assert "its private key, encrypted" in seen
    assert b"ENCRYPTED" in (tmp_path / "certs" / "ca.key").read_bytes()
    answers["Once more"] = "something else altogether"
    status, seen = pki_on_terminal("init", "--encrypt", "--dir", "other", cwd=tmp_path, answers=answers)
    assert status == 1
    assert "the two passphrases differ" in seen
    assert not (tmp_path / "other").exists()


def test_wrong_or_none(directory: Path, tmp_path: Path) -> None:
    before = contents(directory)
    wrong = tmp_path / "wrong"
    wrong.write_text("not that one at all\n")
    for arguments, problem in (
        (["--passphrase-file", wrong], "that is not the passphrase of certs/intermediate.key"),
        (["--passphrase-file", tmp_path / "none"], "can't be read from"),
        (["--passphrase-fd", "77"], "can't be read from descriptor 77"),
        ([], "there is no terminal to ask for it; give --passphrase-file FILE"),
    ):
        result = subprocess.run(
            command("issue", "--role", "user", *arguments), cwd=tmp_path, env=clean({}),
            start_new_session=True, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert result.returncode == 1
        assert problem in result.stderr
        assert "Traceback" not in result.stderr
    both = pki("issue", "--role", "user", "--passphrase-file", wrong, "--passphrase-fd", "0", cwd=tmp_path)
    assert both.returncode == 2
    assert contents(directory) == before


@pytest.mark.parametrize(
    ("content", "problem"),
    [("", "does not hold a passphrase"), ("\n", "does not hold"), ("a\nb\n", "one line"), ("short\n", "12 characters"),
     ("x" * 5000, "does not hold")],
    ids=["empty", "blank", "two lines", "short", "huge"],
)  # fmt: skip
def test_what_is_no_passphrase_for_a_new_key(tmp_path: Path, content: str, problem: str) -> None:
    path = tmp_path / "secret"
    path.write_text(content)
    with pytest.raises(PassphraseError, match=problem):
        provisioning.initialise(tmp_path / "certs", [], replace=False, passphrase=Passphrase(path))
    assert not (tmp_path / "certs").exists()


def test_a_rotation_keeps_keys_encrypted(directory: Path, secret: Path) -> None:
    rotating.begin(directory, Passphrase(secret))
    for stem in ("ca", "intermediate", "old-ca", "old-intermediate"):
        openssl("pkey", "-noout", "-in", directory / f"{stem}.key", "-passin", f"file:{secret}")
    for stem in ("server", "full"):
        verify(directory, stem, crl=True)


def test_looking_needs_no_passphrase(directory: Path, tmp_path: Path) -> None:
    for arguments in (["list"], ["show", "certs/ca.pem"]):
        assert pki(*arguments, cwd=tmp_path).returncode == 0
    assert "renewal due" in pki("list", "--dir", directory, cwd=tmp_path).stdout


def test_it_is_in_no_text(secret: Path) -> None:
    known = Passphrase(secret)
    known.of(secret)
    assert "horse" not in repr(known)
