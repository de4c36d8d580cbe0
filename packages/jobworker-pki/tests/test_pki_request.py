"""From the registration data to an installed certificate, as the two people see it."""

from __future__ import annotations

import json
import re
import ssl
import stat
from pathlib import Path

import pytest
from cryptography import x509

from jobworker_pki import provisioning
from jobworker_pki.errors import RequestError
from jobworker_pki.registration import read
from pki_testing import contents, context, handshake, openssl, pki, pki_on_terminal, verify

YAML = "name: ann\nemail: ann@example.org\nrole: full\n"


@pytest.fixture
def ca(tmp_path: Path) -> Path:
    made = tmp_path / "ca"
    provisioning.initialise(made / "certs", [], replace=False)
    return made


@pytest.fixture
def user(tmp_path: Path) -> Path:
    made = tmp_path / "user"
    made.mkdir()
    (made / "ann.yaml").write_text(YAML)
    return made


def ask(user: Path, yaml: str = YAML) -> Path:
    (user / "ann.yaml").write_text(yaml)
    result = pki("request", "ann.yaml", cwd=user)
    assert result.returncode == 0, result.stderr
    return user / "certs" / "ann.csr"


def test_the_whole_way(user: Path, ca: Path) -> None:
    request = ask(user)
    assert contents(user / "certs").keys() == {"ann.key", "ann.csr"}
    key = user / "certs" / "ann.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert b"PRIVATE" not in request.read_bytes()
    openssl("req", "-verify", "-noout", "-in", request)

    mailed = ca / "mailed.csr"
    mailed.write_bytes(request.read_bytes())
    approved = pki("approve", "mailed.csr", "--role", "user", "--days", "7", "--yes", cwd=ca)
    assert approved.returncode == 0, approved.stderr
    assert "granted      user (extension), for 7 days" in approved.stderr
    assert "role         full" in approved.stderr
    assert "next: send certs/ann.pem and certs/ca.pem to ann@example.org" in approved.stderr
    verify(ca / "certs", "ann", "sslclient", crl=True)
    assert not (ca / "certs" / "ann.key").exists()
    told = json.loads(pki("list", "--json", cwd=ca).stdout)["certificates"][-1]
    assert (told["name"], told["role"], told["email"]) == ("ann", "user", "ann@example.org")

    for name in ("ann.pem", "ca.pem"):
        (user / name).write_bytes((ca / "certs" / name).read_bytes())
    refused = pki("install", "ann.pem", cwd=user)
    assert refused.returncode == 1
    assert "--ca FILE" in refused.stderr
    installed = pki("install", "ann.pem", "--ca", "ca.pem", "--yes", cwd=user)
    assert installed.returncode == 0, installed.stderr
    assert contents(user / "certs").keys() == {"ann.key", "ann.pem", "ca.pem"}
    server = context(ca / "certs", "server", ssl.Purpose.CLIENT_AUTH)
    client = context(user / "certs", "ann", ssl.Purpose.SERVER_AUTH)
    assert handshake(server, client, "localhost").getpeercert() is not None
    again = pki("install", "ann.pem", cwd=user)
    assert again.returncode == 0, again.stderr
    assert contents(user / "certs").keys() == {"ann.key", "ann.pem", "ca.pem"}


def test_nothing_is_lost_by_asking_twice(user: Path) -> None:
    ask(user)
    before = contents(user / "certs")
    again = pki("request", "ann.yaml", cwd=user)
    assert again.returncode == 1
    assert "already there" in again.stderr
    assert contents(user / "certs") == before


def test_a_request_put_into_the_directory_is_listed_and_approved_by_name(user: Path, ca: Path) -> None:
    waiting = ca / "certs" / "ann.csr"
    waiting.write_bytes(ask(user).read_bytes())
    (ca / "certs" / "odd.csr").write_bytes(b"junk\x1b[31m")
    listed = pki("list", cwd=ca).stdout
    assert re.search(r"^ann\.csr +ann +full +ann@example\.org +-$", listed, re.MULTILINE)
    assert "unusable: is not a request in PEM form" in listed
    assert "\x1b" not in listed
    (told, odd) = json.loads(pki("list", "--json", cwd=ca).stdout)["requests"]
    assert (told["name"], told["role"], told["renews"]) == ("ann", "full", False)
    assert odd["problem"] == "is not a request in PEM form"
    assert pki("approve", "ann", "--yes", cwd=ca).returncode == 0
    assert not waiting.exists()


def test_who_approves_is_asked_on_a_terminal(user: Path, ca: Path) -> None:
    request = ask(user)
    before = contents(ca / "certs")
    unattended = pki("approve", request, cwd=ca)
    assert unattended.returncode == 1
    assert "no terminal to ask on" in unattended.stderr
    status, seen = pki_on_terminal("approve", request, cwd=ca, answers={"Approve?": "n"})
    assert (status, contents(ca / "certs")) == (1, before), seen
    assert "e-mail       ann@example.org" in seen
    for key, left_with in (("\x03", 130), ("\x04", 1)):  # Ctrl-C, Ctrl-D
        status, seen = pki_on_terminal("approve", request, cwd=ca, answers={"Approve?": key})
        assert (status, contents(ca / "certs")) == (left_with, before), seen
        assert "Aborted" not in seen
    status, seen = pki_on_terminal("approve", request, cwd=ca, answers={"Approve?": "y"})
    assert status == 0, seen
    verify(ca / "certs", "ann", "sslclient")


def test_a_rejected_request(user: Path, ca: Path) -> None:
    waiting = ca / "certs" / "ann.csr"
    waiting.write_bytes(ask(user).read_bytes())
    rejected = pki("reject", "ann", "--reason", "who is that?", "--yes", cwd=ca)
    assert rejected.returncode == 0, rejected.stderr
    assert not waiting.exists()
    again = pki("approve", user / "certs" / "ann.csr", "--yes", cwd=ca)
    assert again.returncode == 1
    assert "(who is that?)" in again.stderr
    assert not (ca / "certs" / "ann.pem").exists()
    assert pki("approve", user / "certs" / "ann.csr", "--yes", "--force", cwd=ca).returncode == 0


def test_the_same_request_is_not_approved_twice(user: Path, ca: Path) -> None:
    request = ask(user)
    assert pki("approve", request, "--yes", cwd=ca).returncode == 0
    again = pki("approve", request, "--yes", cwd=ca)
    assert again.returncode == 1
    assert "it was approved already" in again.stderr


@pytest.mark.parametrize(
    ("key_type", "told"), [("ecdsa-p384", "ECDSA P-384"), ("rsa-4096", "RSA 4096"), ("ecdsa-p256", "ECDSA P-256")]
)
def test_key_types_days_and_spiffe(user: Path, ca: Path, key_type: str, told: str) -> None:
    request = ask(user, YAML + f"days: 5\nkeyType: {key_type}\nspiffe: spiffe://example.org/team/ann\n")
    assert pki("approve", request, "--yes", cwd=ca).returncode == 0
    shown = pki("show", "certs/ann.pem", cwd=ca).stdout
    assert told in shown
    assert re.search(r"\([45] days left\)", shown)
    assert "URI:spiffe://example.org/team/ann" in shown
    verify(ca / "certs", "ann", "sslclient", crl=True)


def test_the_role_can_stand_elsewhere(user: Path, ca: Path) -> None:
    request = ask(user)
    assert pki("approve", request, "--role", "admin", "--role-in", "organization", "--yes", cwd=ca).returncode == 0
    subject = openssl("x509", "-noout", "-subject", "-in", ca / "certs" / "ann.pem")
    assert "O = admin, CN = ann" in subject
    assert pki("approve", request, "--role-in", "token", "--yes", "--force", cwd=ca).returncode == 0
    text = openssl("x509", "-noout", "-text", "-in", ca / "certs" / "ann.pem")
    assert "1.2.840.10070.8.1" not in text


def test_a_request_of_openssl_needs_a_role(ca: Path) -> None:
    openssl(
        "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc",
        "-subj", "/O=admin/CN=bob", "-keyout", ca / "bob.key", "-out", ca / "bob.csr",
    )  # fmt: skip
    result = pki("approve", "bob.csr", "--yes", cwd=ca)
    assert result.returncode == 2
    assert "--role: is missing" in result.stderr
    assert pki("approve", "bob.csr", "--role", "user", "--yes", cwd=ca).returncode == 0
    certificate = x509.load_pem_x509_certificate((ca / "certs" / "bob.pem").read_bytes())
    assert certificate.subject.rfc4514_string() == "CN=bob"


@pytest.mark.parametrize(
    ("yaml", "problem"),
    [
        ("", "has to be a mapping"),
        ("- a", "has to be a mapping"),
        ("a: [", "line 1: this is not YAML"),
        ("a: 1\n\x00", "this is not YAML"),
        ("[" * 30000, "this is not YAML"),
        (YAML.replace("email", "e_mail"), "unknown key 'e_mail'; did you mean email?"),
        (YAML + "keytype: rsa-4096", "did you mean keyType?"),
        ("name: ann", "email, role are missing"),
        (YAML.replace("ann\n", "yes\n"), "name has to be a text"),
        (YAML.replace("ann\n", "../ann\n"), "name holds a path separator"),
        (YAML.replace("name: ann", "name: ca"), "name 'ca' is reserved"),
        (YAML.replace("name: ann", "name: token"), "name 'token' is reserved"),
        (YAML.replace("ann@example.org", "ann"), "email is not an e-mail address"),
        (YAML.replace("ann@example.org", '"ann@\\e[2Jx.org"'), "email is not an e-mail address"),
        (YAML + "role: full", "has the key 'role' 2 times"),
        (YAML + "days: 91", "days has to be 1 to 90"),
        (YAML + "days: yes", "days has to be a whole number"),
        (YAML + "keyType: ed25519", "keyType has to be one of ecdsa-p256, ecdsa-p384, rsa-4096"),
        (YAML + "spiffe: http://x/y", "spiffe is not a SPIFFE ID"),
        (YAML + "spiffe: spiffe://x/../y", "spiffe is not a SPIFFE ID"),
        (YAML + "# " + "x" * 70000, "is larger than"),
    ],
    ids=lambda value: None if len(value) < 100 else "long",
)
def test_registration_data(tmp_path: Path, yaml: str, problem: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(yaml)
    with pytest.raises(RequestError) as caught:
        read(path)
    assert problem in str(caught.value)
    assert str(caught.value).isprintable()
