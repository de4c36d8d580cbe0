"""Replacing a CA while its certificates are in use, and CAs below a root whose key is away."""

from __future__ import annotations

import shutil
import ssl
from datetime import timedelta
from pathlib import Path

import pytest

from jobworker_pki import crl, provisioning, renewing, revoking, rotating
from jobworker_pki.errors import AuthorityError, RefusedError
from jobworker_pki.inventory import Inventory
from jobworker_pki.key_types import KeyType
from jobworker_pki.passphrase import Passphrase
from jobworker_pki.reading import read_certificates
from pki_testing import contents, context, handshake, openssl, pki, verify

CLIENT_AUTH, SERVER_AUTH = ssl.Purpose.CLIENT_AUTH, ssl.Purpose.SERVER_AUTH


def make(directory: Path, *, intermediate: bool = False, key_type: KeyType = KeyType.ECDSA_P256) -> Path:
    provisioning.initialise(directory, [], replace=False, intermediate=intermediate, key_type=key_type)
    return directory


def agree(server: Path, client: Path, name: str = "full") -> None:
    handshake(context(server, "server", CLIENT_AUTH), context(client, name, SERVER_AUTH), "localhost")


def assert_all_accepted(directory: Path) -> None:
    for stem in ("server", "full", "readonly"):
        verify(directory, stem, crl=True)


@pytest.mark.parametrize("intermediate", [False, True])
def test_nobody_is_shut_out(tmp_path: Path, *, intermediate: bool) -> None:
    directory, old = make(tmp_path / "certs", intermediate=intermediate), tmp_path / "old"
    shutil.copytree(directory, old)
    begun = pki("rotate-ca", cwd=tmp_path)
    assert begun.returncode == 0, begun.stderr
    assert begun.stderr.count("still of the old CA:") == 3
    assert len(read_certificates(directory / "ca.pem")) == 2
    assert_all_accepted(directory)
    agree(directory, old)

    shutil.copytree(directory, tmp_path / "between")
    assert pki("renew", "--due", cwd=tmp_path).returncode == 0
    assert_all_accepted(directory)
    between = tmp_path / "between"
    agree(directory, between)
    agree(between, directory)

    revoking.revoke(directory, "readonly", "unspecified", Passphrase())
    for where in (directory, between):
        shutil.copy(directory / "crl.pem", where / "crl.pem") if where != directory else None
        with pytest.raises(AssertionError, match="certificate revoked"):
            verify(where, "readonly", crl=True)

    finished = pki("rotate-ca", "--finish", "--yes", cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.count("dropped CN=jobworker") == (2 if intermediate else 1)
    assert len(read_certificates(directory / "ca.pem")) == 1
    assert not [name for name in contents(directory) if name.startswith("old-")]
    assert len(crl.read(directory)) == (2 if intermediate else 1)
    verify(directory, "full", crl=True)
    with pytest.raises(ssl.SSLCertVerificationError):
        agree(directory, old)


def test_what_hangs_on_the_old_one_is_told_and_keeps_it(tmp_path: Path) -> None:
    directory = make(tmp_path / "certs")
    rotating.begin(directory, Passphrase())
    renewing.renew(directory, "server", Passphrase())
    renewing.renew(directory, "full", Passphrase())
    before = contents(directory)
    refused = pki("rotate-ca", "--finish", "--yes", cwd=tmp_path)
    assert refused.returncode == 1
    assert refused.stderr.count("still of the old CA: client certificate for readonly") == 1
    with pytest.raises(RefusedError, match="changed while you decided"):
        rotating.finish(directory, [])
    assert contents(directory) == before
    assert pki("rotate-ca", "--finish", "--yes", "--force", cwd=tmp_path).returncode == 0


def test_one_at_a_time(tmp_path: Path) -> None:
    directory = make(tmp_path)
    with pytest.raises(RefusedError, match="no rotation is under way"):
        rotating.finish(directory, [])
    rotating.begin(directory, Passphrase())
    before = contents(directory)
    with pytest.raises(RefusedError, match="under way already"):
        rotating.begin(directory, Passphrase())
    assert contents(directory) == before


def test_to_another_kind_of_key(tmp_path: Path) -> None:
    directory = make(tmp_path)
    rotating.begin(directory, Passphrase(), key_type=KeyType.ECDSA_P384)
    provisioning.issue(directory, "ann", "user", timedelta(days=1), replace=False)
    assert "ecdsa-with-SHA384" in openssl("x509", "-noout", "-text", "-in", directory / "ann.pem")
    verify(directory, "ann", crl=True)


def test_init_with_force_in_the_middle_begins_anew(tmp_path: Path) -> None:
    directory = make(tmp_path, intermediate=True)
    rotating.begin(directory, Passphrase())
    provisioning.initialise(directory, [], replace=True)
    assert_all_accepted(directory)
    assert not [name for name in contents(directory) if "old" in name or "intermediate" in name]
    assert len(crl.read(directory)) == 1


@pytest.mark.parametrize("key_type", [KeyType.ECDSA_P256, KeyType.ECDSA_P384])
def test_below_a_root_whose_key_is_away(tmp_path: Path, key_type: KeyType) -> None:
    directory = make(tmp_path / "certs", intermediate=True, key_type=key_type)
    away = (directory / "ca.key").rename(tmp_path / "ca.key")
    text = openssl("x509", "-noout", "-text", "-in", directory / "intermediate.pem")
    assert "CA:TRUE, pathlen:0" in text
    assert "CA:TRUE, pathlen:1" in openssl("x509", "-noout", "-text", "-in", directory / "ca.pem")
    assert (directory / "server.pem").read_bytes().count(b"BEGIN CERTIFICATE") == 2
    assert_all_accepted(directory)
    agree(directory, directory)

    provisioning.issue(directory, "ann", "user", timedelta(days=1), replace=False)
    agree(directory, directory, "ann")
    revoking.revoke(directory, "ann", "unspecified", Passphrase())
    with pytest.raises(AssertionError, match="certificate revoked"):
        verify(directory, "ann", crl=True)
    assert_all_accepted(directory)

    (below,) = [entry for entry in Inventory.load(directory).entries if "intermediate" in entry.facts.name]
    with pytest.raises(AuthorityError, match="is not here"):
        revoking.revoke(directory, below.facts.serial_text, "unspecified", Passphrase())
    with pytest.raises(RefusedError, match="put the root's key there"):
        rotating.begin(directory, Passphrase(), intermediate_only=True)
    away.rename(directory / "ca.key")
    root = (directory / "ca.pem").read_bytes()
    rotating.begin(directory, Passphrase(), intermediate_only=True)
    assert_all_accepted(directory)
    for stem in renewing.due(directory):
        renewing.renew(directory, stem, Passphrase())
    rotating.finish(directory, [])
    assert (directory / "ca.pem").read_bytes() == root
    for stem in ("server", "full", "readonly"):
        verify(directory, stem, crl=True)
    revoking.revoke(directory, below.facts.serial_text, "superseded", Passphrase())


def test_show_and_list_know_chains(tmp_path: Path) -> None:
    directory = make(tmp_path / "certs", intermediate=True)
    shown = pki("show", "certs/full.pem", cwd=tmp_path).stdout
    assert shown.count("kind") == 2
    rotating.begin(directory, Passphrase())
    listed = pki("list", cwd=tmp_path).stdout
    assert listed.count("outgoing") == 2
    assert listed.count("renewal due\n") == 3


def test_half_an_intermediate_ca(tmp_path: Path) -> None:
    directory = make(tmp_path, intermediate=True)
    (directory / "intermediate.key").unlink()
    with pytest.raises(AuthorityError, match=r"intermediate\.key is missing"):
        provisioning.issue(directory, "ann", "user", timedelta(days=1), replace=False)


def test_an_intermediate_ca_of_another_root(tmp_path: Path) -> None:
    directory, other = make(tmp_path / "a", intermediate=True), make(tmp_path / "b", intermediate=True)
    for suffix in ("pem", "key"):
        shutil.copy(other / f"intermediate.{suffix}", directory / f"intermediate.{suffix}")
    with pytest.raises(AuthorityError, match="is not of the CA"):
        provisioning.issue(directory, "ann", "user", timedelta(days=1), replace=False)


def test_an_intermediate_ca_that_is_none(tmp_path: Path) -> None:
    directory = make(tmp_path, intermediate=True)
    for content in ((directory / "full.pem").read_bytes(), b"junk"):
        (directory / "intermediate.pem").write_bytes(content)
        result = pki("list", "--dir", directory, cwd=tmp_path)
        assert (result.returncode, "Traceback" in result.stderr) == (1, False)
        assert "intermediate.pem" in result.stderr
