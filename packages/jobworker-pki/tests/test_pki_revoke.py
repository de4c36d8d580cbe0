"""Revoking: what openssl makes of the list, what ``list`` tells, and that no revocation is ever lost."""

from __future__ import annotations

import json
import re
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from jobworker_pki import crl, provisioning, revoking
from jobworker_pki.errors import AuthorityError, LedgerError, RefusedError
from jobworker_pki.inventory import Inventory
from jobworker_pki.passphrase import Passphrase
from pki_testing import clean, command, contents, openssl, pki, verify

DAY = timedelta(days=1)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    made = tmp_path / "certs"
    provisioning.initialise(made, [], replace=False)
    for name in ("ann", "bob"):
        provisioning.issue(made, name, "user", DAY, replace=False)
    return made


def serial(directory: Path, stem: str) -> str:
    text = openssl("x509", "-noout", "-serial", "-in", directory / f"{stem}.pem")
    return text.strip().removeprefix("serial=").lstrip("0")


def certificates(directory: Path) -> dict[str, dict[str, object]]:
    result = pki("list", "--json", "--dir", directory, cwd=directory)
    assert result.returncode == 0, result.stderr
    return {str(item["serial"]): item for item in json.loads(result.stdout)["certificates"]}


def assert_revoked(directory: Path, stem: str) -> None:
    with pytest.raises(AssertionError, match="certificate revoked"):
        verify(directory, stem, crl=True)


def test_a_list_is_there_from_the_beginning(directory: Path) -> None:
    text = openssl("crl", "-noout", "-text", "-in", directory / "crl.pem", "-CAfile", directory / "ca.pem")
    assert "No Revoked Certificates" in text
    assert "X509v3 Authority Key Identifier" in text
    for stem in ("server", "full", "ann"):
        verify(directory, stem, crl=True)


def test_by_name_and_by_serial_number(directory: Path) -> None:
    result = pki("revoke", "ann", "--reason", "key-compromise", "--dir", directory, cwd=directory)
    assert result.returncode == 0, result.stderr
    assert f"revoked {serial(directory, 'ann')}: client certificate for ann, role user" in result.stdout
    assert_revoked(directory, "ann")
    verify(directory, "bob", crl=True)

    number = serial(directory, "bob")
    spelt = ":".join(re.findall("..", number.zfill(40))).lower()
    assert pki("revoke", spelt, "--dir", directory, cwd=directory).returncode == 0
    for stem in ("ann", "bob"):
        assert_revoked(directory, stem)
    text = openssl("crl", "-noout", "-text", "-in", directory / "crl.pem", "-CAfile", directory / "ca.pem")
    assert text.count("Serial Number:") == 2
    assert text.count("Key Compromise") == 1

    told = certificates(directory)
    assert told[number]["state"] == "revoked"
    assert told[serial(directory, "ann")]["revocation_reason"] == "key-compromise"
    assert told[serial(directory, "full")]["state"] == "valid"
    assert "revoked" in pki("list", "--dir", directory, cwd=directory).stdout


def test_all_certificates_of_a_name(directory: Path) -> None:
    old = serial(directory, "ann")
    provisioning.issue(directory, "ann", "readonly", DAY, replace=True)
    result = pki("revoke", "ann", "--dir", directory, cwd=directory)
    assert result.stdout.count("revoked ") == 2
    assert {key for key, item in certificates(directory).items() if item["state"] == "revoked"} == {
        old,
        serial(directory, "ann"),
    }
    again = pki("revoke", "ann", "--dir", directory, cwd=directory)
    assert again.returncode == 1
    assert "nothing is left to revoke of 'ann'" in again.stderr


def test_the_server(directory: Path) -> None:
    assert revoking.revoke(directory, "server", "superseded", Passphrase())[0].facts.kind == "server"
    assert_revoked(directory, "server")


def test_clients_do_not_learn_that_a_server_is_revoked(directory: Path) -> None:
    result = pki("revoke", "server", "--dir", directory, cwd=directory)
    assert result.returncode == 0, result.stderr
    assert "clients read no list" in result.stderr
    assert "clients read no list" not in pki("revoke", "ann", "--dir", directory, cwd=directory).stderr


def test_a_root_is_not_revoked_but_replaced(directory: Path) -> None:
    """It would stand on its own list, which nobody looks at: it would be trusted on."""
    before = contents(directory)
    number = serial(directory, "ca")
    (name,) = [str(item["name"]) for item in certificates(directory).values() if item["kind"] == "authority"]
    for wanted in (name, number):
        with pytest.raises(RefusedError, match=r"is a root.*rotate-ca"):
            revoking.revoke(directory, wanted, "unspecified", Passphrase())
    assert contents(directory) == before


def test_an_intermediate_ca_is_revoked(tmp_path: Path) -> None:
    provisioning.initialise(tmp_path, [], replace=False, intermediate=True)
    assert revoking.revoke(tmp_path, serial(tmp_path, "intermediate"), "unspecified", Passphrase())
    assert_revoked(tmp_path, "full")


@pytest.mark.parametrize("spelt", ["0x{}", "00{}", "0X{}"])
def test_a_serial_number_as_other_programs_spell_it(directory: Path, spelt: str) -> None:
    (entry,) = revoking.revoke(directory, spelt.format(serial(directory, "ann")), "unspecified", Passphrase())
    assert entry.facts.name == "ann"


@pytest.mark.parametrize("wanted", ["nobody", "00", "", "../ann", "\x1b[31m", "ca"])
def test_unknown(directory: Path, wanted: str) -> None:
    before = contents(directory)
    with pytest.raises(RefusedError, match="knows no certificate") as caught:
        revoking.revoke(directory, wanted, "unspecified", Passphrase())
    assert str(caught.value).isprintable()
    assert contents(directory) == before


def test_a_directory_without_ledger_and_list(directory: Path) -> None:
    """As the version before this one left it."""
    (directory / "ledger.jsonl").unlink()
    (directory / "crl.pem").unlink()
    assert len(certificates(directory)) == 5
    assert pki("revoke", "ann", "--dir", directory, cwd=directory).returncode == 0
    assert_revoked(directory, "ann")
    verify(directory, "full", crl=True)


@pytest.mark.parametrize("lost", ["ledger.jsonl", "crl.pem"])
def test_the_list_and_the_ledger_each_restore_the_other(directory: Path, lost: str) -> None:
    revoking.revoke(directory, "ann", "unspecified", Passphrase())
    number = crl.read(directory)[0].extensions[1].value
    (directory / lost).unlink()
    revoking.revoke(directory, "bob", "unspecified", Passphrase())
    for stem in ("ann", "bob"):
        assert_revoked(directory, stem)
    assert crl.read(directory)[0].extensions[1].value != number
    assert not Inventory.load(directory).find("ann")[0].is_accepted


def test_writing_it_anew(directory: Path) -> None:
    revoking.revoke(directory, "ann", "unspecified", Passphrase())
    (directory / "crl.pem").unlink()
    result = pki("crl", "--dir", directory, cwd=directory)
    assert result.returncode == 0, result.stderr
    assert "1 revoked of CN=jobworker CA" in result.stdout
    assert_revoked(directory, "ann")


def test_a_damaged_list_is_not_replaced_by_an_empty_one(directory: Path) -> None:
    revoking.revoke(directory, "ann", "unspecified", Passphrase())
    path = directory / "crl.pem"
    path.write_bytes(path.read_bytes().replace(b"M", b"N", 3))
    before = contents(directory)
    result = pki("revoke", "bob", "--dir", directory, cwd=directory)
    assert result.returncode == 1
    assert "damaged" in result.stderr
    assert contents(directory) == before


@pytest.mark.parametrize(
    "line", ["junk", "[]", "{}", '{"event": "issued"}', '{"event": "revoked", "serial": "x"}', "[" * 9999]
)
def test_a_damaged_ledger_is_told(directory: Path, line: str) -> None:
    with (directory / "ledger.jsonl").open("a") as stream:
        stream.write(line + "\n")
    with pytest.raises(LedgerError, match="line 7, is damaged"):
        Inventory.load(directory)


def test_a_ca_that_may_not_sign_lists(tmp_path: Path) -> None:
    openssl(
        "req", "-x509", "-newkey", "rsa:2048", "-noenc", "-days", "90", "-subj", "/O=Example/CN=Example CA",
        "-addext", "keyUsage=critical,keyCertSign", "-keyout", tmp_path / "ca.key", "-out", tmp_path / "ca.pem",
    )  # fmt: skip
    provisioning.issue(tmp_path, "ann", "user", DAY, replace=False)
    before = contents(tmp_path)
    with pytest.raises(AuthorityError, match="may not sign revocation lists"):
        revoking.revoke(tmp_path, "ann", "unspecified", Passphrase())
    assert contents(tmp_path) == before


def test_several_at_once_lose_none(directory: Path) -> None:
    running = [
        subprocess.Popen(
            command("revoke", name, "--dir", directory),
            env=clean({}),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in ("ann", "bob", "full", "readonly")
    ]
    errors = [process.communicate(timeout=110)[1] for process in running]
    assert [process.returncode for process in running] == [0] * 4, errors
    assert len(crl.read(directory)[0]) == 4


def test_a_serial_number_that_nothing_is_known_of(directory: Path) -> None:
    """As the server's audit may tell it, of a certificate that was issued elsewhere with the same key."""
    lost = serial(directory, "ann")
    certificate = (directory / "ann.pem").read_bytes()
    for name in ("ann.pem", "ledger.jsonl"):
        (directory / name).unlink()
    refused = pki("revoke", lost, "--dir", directory, cwd=directory)
    assert refused.returncode == 1
    assert "--unknown" in refused.stderr
    for wanted in ("ann", "1g", "1_0", " 1", "f" * 41):
        assert pki("revoke", wanted, "--unknown", "--dir", directory, cwd=directory).returncode == 1
    result = pki("revoke", lost, "--unknown", "--dir", directory, cwd=directory)
    assert result.returncode == 0, result.stderr
    assert f"revoked {lost}, of which nothing is known here" in result.stdout
    (directory / "ann.pem").write_bytes(certificate)
    assert_revoked(directory, "ann")
    assert not Inventory.load(directory).find("ann")[0].is_accepted


def test_an_empty_directory(tmp_path: Path) -> None:
    result = pki("list", "--dir", "nothing", cwd=tmp_path)
    assert result.returncode == 0
    assert "nothing is known of certificates in nothing" in result.stderr
    assert contents(tmp_path) == {}
