"""Renewing, by the CA's holder and by the user, and which of a name's certificates is told to be due."""

from __future__ import annotations

import json
import ssl
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from jobworker_pki import facts, issuing, provisioning, renewing, role
from jobworker_pki.errors import RefusedError
from jobworker_pki.key_types import KeyType
from jobworker_pki.passphrase import Passphrase
from jobworker_pki.profile import RoleIn
from pki_testing import contents, context, handshake, openssl, pki, pki_on_terminal, verify


@pytest.fixture
def ca(tmp_path: Path) -> Path:
    made = tmp_path / "ca"
    provisioning.initialise(made / "certs", ["jobs.example.org"], replace=False)
    return made


@pytest.fixture
def user(tmp_path: Path, ca: Path) -> Path:
    """Ann's, whose certificate was asked for."""
    made = tmp_path / "user"
    made.mkdir()
    (made / "ann.yaml").write_text("name: ann\nemail: ann@example.org\nrole: user\ndays: 7\n")
    for result in (
        pki("request", "ann.yaml", cwd=made),
        pki("approve", made / "certs" / "ann.csr", "--yes", cwd=ca),
        pki("install", ca / "certs" / "ann.pem", "--ca", ca / "certs" / "ca.pem", "--yes", cwd=made),
    ):
        assert result.returncode == 0, result.stderr
    return made


def load(directory: Path, stem: str) -> x509.Certificate:
    return x509.load_pem_x509_certificates((directory / f"{stem}.pem").read_bytes())[0]


def states(directory: Path) -> list[tuple[str, str]]:
    told = json.loads(pki("list", "--json", "--dir", directory, cwd=directory).stdout)["certificates"]
    return [(item["name"], item["state"]) for item in told if item["kind"] != "authority"]


@pytest.mark.parametrize("stem", ["full", "server"])
@pytest.mark.parametrize("fresh_key", [False, True])
def test_by_the_holder_of_the_ca(ca: Path, stem: str, *, fresh_key: bool) -> None:
    directory = ca / "certs"
    before, old = contents(directory), load(directory, stem)
    result = pki("renew", stem, *(["--new-key"] if fresh_key else []), cwd=ca)
    assert result.returncode == 0, result.stderr
    after, new = contents(directory), load(directory, stem)
    assert after[f"{stem}.pem.old"] == before[f"{stem}.pem"]
    assert (after[f"{stem}.key"] == before[f"{stem}.key"]) is not fresh_key
    assert after.get(f"{stem}.key.old") == (before[f"{stem}.key"] if fresh_key else None)
    assert (new.public_key() == old.public_key()) is not fresh_key
    assert new.serial_number != old.serial_number
    assert new.subject == old.subject
    assert abs((new.not_valid_after_utc - old.not_valid_after_utc).total_seconds()) < 300
    for oid in (role.OID, x509.SubjectAlternativeName.oid):
        values = [[item.value for item in one.extensions if item.oid == oid] for one in (old, new)]
        assert values[0] == values[1]
    verify(directory, stem, "sslserver" if stem == "server" else "sslclient", crl=True)
    name = "jobworker-server" if stem == "server" else stem
    assert [state for told, state in states(directory) if told == name] == ["renewed", "valid"]


@pytest.mark.parametrize("fresh_key", [False, True])
def test_by_the_user(ca: Path, user: Path, *, fresh_key: bool) -> None:
    before = contents(user / "certs")
    asked = pki("renew", "ann", *(["--new-key"] if fresh_key else []), cwd=user)
    assert asked.returncode == 0, asked.stderr
    assert "next: send certs/ann.csr" in asked.stderr
    assert contents(user / "certs") | before == contents(user / "certs"), "what is in use was touched"
    openssl("req", "-verify", "-noout", "-in", user / "certs" / "ann.csr")

    approved = pki("approve", user / "certs" / "ann.csr", "--yes", cwd=ca)
    assert approved.returncode == 0, approved.stderr
    assert "renews" in approved.stderr
    assert "doubt" not in approved.stderr
    assert "to ann@example.org" in approved.stderr
    assert [state for name, state in states(ca / "certs") if name == "ann"] == ["renewed", "valid"]

    installed = pki("install", ca / "certs" / "ann.pem", cwd=user)
    assert installed.returncode == 0, installed.stderr
    after = contents(user / "certs")
    assert after["ann.pem.old"] == before["ann.pem"]
    assert after.get("ann.key.old") == (before["ann.key"] if fresh_key else None)
    assert "ann.csr" not in after
    assert "ann.key.new" not in after
    server = context(ca / "certs", "server", ssl.Purpose.CLIENT_AUTH)
    handshake(server, context(user / "certs", "ann", ssl.Purpose.SERVER_AUTH), "localhost")


def test_a_certificate_for_another_key_is_not_installed(ca: Path, user: Path) -> None:
    provisioning.issue(ca / "certs", "ann", "full", timedelta(days=9), replace=True)
    before = contents(user / "certs")
    result = pki("install", ca / "certs" / "ann.pem", cwd=user)
    assert result.returncode == 1
    assert "no key in certs goes with" in result.stderr
    assert contents(user / "certs") == before


def test_another_ca_is_not_trusted_unasked(ca: Path, user: Path, tmp_path: Path) -> None:
    """Not even where the one that is known comes with it."""
    provisioning.initialise(tmp_path / "other", [], replace=False)
    both = tmp_path / "both.pem"
    both.write_bytes((ca / "certs" / "ca.pem").read_bytes() + (tmp_path / "other" / "ca.pem").read_bytes())
    before = contents(user / "certs")
    unattended = pki("install", "certs/ann.pem", "--ca", both, cwd=user)
    assert unattended.returncode == 1
    assert unattended.stderr.count("is not known here yet, fingerprint SHA256") == 1
    question = "Is that the right CA?"
    status, seen = pki_on_terminal("install", "certs/ann.pem", "--ca", both, cwd=user, answers={question: "n"})
    assert (status, question in seen) == (1, True)
    wrong = pki("install", "certs/ann.pem", "--ca", tmp_path / "other" / "ca.pem", "--yes", cwd=user)
    assert "is not of the CA that is trusted here" in wrong.stderr
    assert contents(user / "certs") == before
    status, seen = pki_on_terminal("install", "certs/ann.pem", "--ca", both, cwd=user, answers={question: "y"})
    assert status == 0, seen
    assert (user / "certs" / "ca.pem").read_bytes() == both.read_bytes()
    back = pki("install", "certs/ann.pem", "--ca", ca / "certs" / "ca.pem", cwd=user)
    assert back.returncode == 0, back.stderr
    assert contents(user / "certs") == before


def test_what_is_due(ca: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory = ca / "certs"
    begin = issuing.now()
    provisioning.issue(directory, "long", "user", timedelta(days=300), replace=False)
    monkeypatch.setattr(issuing, "now", lambda: begin + timedelta(days=19))
    assert renewing.due(directory) == []
    monkeypatch.setattr(issuing, "now", lambda: begin + timedelta(days=21))
    assert renewing.due(directory) == ["full", "readonly"]
    for stem in renewing.due(directory):
        renewing.renew(directory, stem, Passphrase())
    assert renewing.due(directory) == []
    assert load(directory, "full").not_valid_after_utc > begin + timedelta(days=50)


def test_nothing_is_due(ca: Path) -> None:
    result = pki("renew", "--due", cwd=ca)
    assert (result.returncode, result.stdout) == (0, "")
    assert "nothing is due" in result.stderr


def test_refusals(ca: Path) -> None:
    assert pki("revoke", "readonly", cwd=ca).returncode == 0
    before = contents(ca / "certs")
    for arguments, status, problem in (
        (["readonly"], 1, "was revoked on"),
        (["nobody"], 1, "certs/nobody.pem does not exist, so there is nothing to renew"),
        ([], 2, "--due"),
        (["ca"], 1, "jobworker-pki rotate-ca"),
        (["token"], 2, "reserved"),
        (["../x"], 2, "path separator"),
    ):
        result = pki("renew", *arguments, cwd=ca)
        assert (result.returncode, problem in result.stderr) == (status, True), result.stderr
    assert contents(ca / "certs") == before


def test_without_the_key_only_its_owner_makes_a_new_one(ca: Path, user: Path) -> None:
    with pytest.raises(RefusedError, match="whoever has it makes a request"):
        renewing.renew(ca / "certs", "ann", Passphrase(), fresh_key=True)
    assert pki("renew", "ann", cwd=ca).returncode == 0
    assert pki("install", ca / "certs" / "ann.pem", cwd=user).returncode == 0


@pytest.mark.parametrize("place", RoleIn)
def test_the_role_stays_where_it_is(tmp_path: Path, place: RoleIn) -> None:
    """Also where the certificate is renewed by a request."""
    ca, user = tmp_path / "ca", tmp_path / "user"
    name = None if place is RoleIn.TOKEN else "admin"
    provisioning.issue(ca, "ann", name, timedelta(days=9), replace=False, role_in=place, key_type=KeyType.ECDSA_P384)
    user.mkdir()
    for file in ("ann.pem", "ann.key", "ca.pem"):
        (user / file).write_bytes((ca / file).read_bytes())
    (ca / "ann.key").unlink()
    old = load(ca, "ann")
    renewing.request(user, "ann", fresh_key=True)
    result = pki("approve", user / "ann.csr", "--yes", "--dir", ".", cwd=ca)
    assert result.returncode == 0, result.stderr
    new = load(ca, "ann")
    assert new.subject == old.subject
    assert facts.of(new).role == facts.of(old).role == name
    assert any(item.oid == role.OID for item in new.extensions) is (place is RoleIn.EXTENSION)
