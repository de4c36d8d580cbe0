"""Which names, roles and host names are taken."""

from __future__ import annotations

import socket

import pytest
from cryptography import x509

from jobworker_pki import names, role
from jobworker_pki.errors import InvalidValueError


@pytest.mark.parametrize("name", ["ann", "a", "ann@example.org", "Ann B", "zoë", "a.b-c_d", "x" * 64, "cat"])
def test_names_that_are_taken(name: str) -> None:
    assert names.check_client_name(name) == name


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("", "empty"),
        ("x" * 65, "longer than 64 bytes"),
        ("é" * 33, "longer than 64 bytes"),
        ("a/b", "path separator"),
        ("..\\b", "path separator"),
        ("..", "begins with"),
        (".ann", "begins with"),
        ("-ann", "begins with"),
        (" ann", "blank"),
        ("ann ", "blank"),
        ("a\nb", "printed"),
        ("a\0b", "printed"),
        ("\x1b[31m", "printed"),
        ("a\u202eb", "printed"),
        ("a\udcffb", "printed"),
        ("ca", "reserved"),
        ("CA", "reserved"),
        ("server", "reserved"),
    ],
)
def test_names_that_are_refused(name: str, problem: str) -> None:
    with pytest.raises(InvalidValueError, match=problem) as caught:
        names.check_client_name(name)
    assert caught.value.field == "name"


@pytest.mark.parametrize(
    ("name", "problem"), [("", "empty"), ("x" * 65, "longer"), ("a\tb", "printed"), ("r ", "blank")]
)
def test_roles_that_are_refused(name: str, problem: str) -> None:
    with pytest.raises(InvalidValueError, match=problem) as caught:
        role.check(name)
    assert caught.value.field == "role"


def test_a_role_may_be_one_that_only_a_policy_knows() -> None:
    assert role.check("night/shift") == "night/shift"


@pytest.mark.parametrize("text", ["localhost", "a.example.org", "*.example.org", "my_host", "xn--bcher-kva.example"])
def test_dns_names(text: str) -> None:
    assert names.parse_host(text.upper()) == x509.DNSName(text)


@pytest.mark.parametrize("text", ["127.0.0.1", "::1", "2001:db8::7"])
def test_addresses(text: str) -> None:
    parsed = names.parse_host(text)
    assert isinstance(parsed, x509.IPAddress)
    assert str(parsed.value) == text


@pytest.mark.parametrize(
    "text",
    ["", ".", "a..b", "a.", "-a", "a-", "a b", "a:50051", "[::1]", "300.1.2.3", "1.2.3", "fe80::1%eth0", "bücher.de",
     "a*.b", "x" * 64, ".".join(["x" * 60] * 5), "10.0.0.0/8", "a\n"],
)  # fmt: skip
def test_host_names_that_are_refused(text: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        names.parse_host(text)
    assert caught.value.field == "san"


def test_each_name_of_a_server_is_there_once() -> None:
    made = names.server_names(["LOCALHOST", "b.example", "0:0::1", "b.example"])
    assert len(made) == len(set(made))
    assert made[:3] == [names.parse_host(text) for text in names.LOCAL_NAMES]
    assert made[-1] == x509.DNSName("b.example")


def test_this_hosts_name_is_among_them_unless_no_certificate_can_hold_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "build7")
    assert x509.DNSName("build7") in names.server_names([])
    monkeypatch.setattr(socket, "gethostname", lambda: "no name")
    assert len(names.server_names([])) == len(names.LOCAL_NAMES)
