"""Names and roles from certificates of all kinds."""

from __future__ import annotations

import hashlib
import ssl
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from jobworker_server.errors import UnauthenticatedError
from jobworker_server.identity import Identification, Identity, IdentitySettings
from jobworker_server.identity.role_extension import decode_utf8_string
from jobworker_server.shown import over_tls
from server_testing import Authority, Pair, role_extension, utf8_string


def identity_of(*pems: bytes, version: bytes = b"TLSv1.3") -> Identity:
    shown = over_tls({"ssl_tls_version": [version], "x509_pem_cert": list(pems)})
    shown.require_valid(datetime.now(UTC))
    return Identification().identify(shown.certificate)


def refusal_of(*pems: bytes, version: bytes = b"TLSv1.3") -> str:
    with pytest.raises(UnauthenticatedError) as caught:
        identity_of(*pems, version=version)
    return caught.value.reason


def test_name_and_role_are_read(authority: Authority) -> None:
    identity = identity_of(authority.client("änn", "readonly").cert_pem)
    assert (identity.name, identity.role) == ("änn", "readonly")


@pytest.mark.parametrize("version", [b"TLSv1.2", b"TLSv1.1", b"", b"TLSv1.30"])
def test_a_connection_of_another_tls_version_is_refused(authority: Authority, version: bytes) -> None:
    assert refusal_of(authority.client("ann", "full").cert_pem, version=version) == "TLS_VERSION"


def test_a_connection_without_tls_is_refused() -> None:
    with pytest.raises(UnauthenticatedError):
        over_tls({})


def test_a_connection_without_a_certificate_is_refused() -> None:
    assert refusal_of() == "NO_CERTIFICATE"


def test_two_certificates_are_refused(authority: Authority) -> None:
    pem = authority.client("ann", "full").cert_pem
    assert refusal_of(pem, pem) == "NO_CERTIFICATE"


def test_a_certificate_that_is_none_is_refused() -> None:
    assert refusal_of(b"nothing of the sort") == "BAD_CERTIFICATE"


def test_a_certificate_without_a_role_is_refused(authority: Authority) -> None:
    assert refusal_of(authority.issue(["ann"]).cert_pem) == "NO_ROLE"


@pytest.mark.parametrize(
    "der",
    [
        b"",
        b"full",
        b"\x0c",
        b"\x0c\x00",
        b"\x0c\x05full",
        b"\x0c\x03full",
        b"\x0c\x81\x04full",
        b"\x0c\x80full\x00\x00",
        b"\x13\x04full",
        b"\x0c\x02\xff\xfe",
        utf8_string("full") + utf8_string("user"),
        b"\x30\x06" + utf8_string("full"),
        utf8_string(" full"),
        utf8_string("fu\nll"),
        utf8_string("full\x00"),
    ],
)
def test_a_role_that_is_not_one_plain_utf8_string_is_refused(authority: Authority, der: bytes) -> None:
    assert refusal_of(authority.issue(["ann"], role_extension(der)).cert_pem) == "BAD_ROLE"


def test_two_role_extensions_are_refused(authority: Authority) -> None:
    other = x509.ObjectIdentifier("1.2.840.10070.8.2")
    roles = role_extension(utf8_string("readonly")), x509.UnrecognizedExtension(other, utf8_string("full"))
    pair = authority.issue(["ann"], *roles)
    assert refusal_of(_with_oid_twice(pair)) == "BAD_CERTIFICATE"


def _with_oid_twice(pair: Pair) -> bytes:
    """No library makes a certificate with an extension twice, so one is renamed in the finished bytes."""
    der = pair.certificate.public_bytes(Encoding.DER)
    first, second = bytes.fromhex("06072a8648ce560801"), bytes.fromhex("06072a8648ce560802")
    assert first in der
    assert second in der
    return ssl.DER_cert_to_PEM_cert(der.replace(second, first)).encode()


def test_a_certificate_without_a_name_is_refused(authority: Authority) -> None:
    assert refusal_of(authority.issue([], role_extension(utf8_string("full"))).cert_pem) == "NO_NAME"


@pytest.mark.parametrize(
    "names",
    [
        ["ann", "bob"],
        ["an\nn"],
        [" ann"],
        ["ann\x1b[2J"],
        [" "],
        ["spiffe://a/b"],
        ["SHA256:00"],
        ["sha256:" + 32 * "0"],
    ],
)
def test_a_name_that_is_not_one_plain_text_is_refused(authority: Authority, names: list[str]) -> None:
    assert refusal_of(authority.issue(names, role_extension(utf8_string("full"))).cert_pem) == "BAD_NAME"


def with_uris(authority: Authority, *uris: str, names: tuple[str, ...] = ("ann",)) -> bytes:
    """A certificate with these URIs, and an address beside them, as alternative names."""
    san = x509.SubjectAlternativeName([*map(x509.UniformResourceIdentifier, uris), x509.DNSName("ann.example.org")])
    return authority.issue(list(names), role_extension(utf8_string("user")), san).cert_pem


@pytest.mark.parametrize("names", [(), ("ann",), ("ann", "bob")])
def test_a_spiffe_id_is_the_name(authority: Authority, names: tuple[str, ...]) -> None:
    identity = identity_of(with_uris(authority, "spiffe://example.org/team/ann", names=names))
    assert (identity.name, identity.owner) == ("spiffe://example.org/team/ann", "spiffe://example.org/team/ann")


@pytest.mark.parametrize("uris", [(), ("https://example.org/ann",), ("https://example.org", "urn:spiffe:x")])
def test_other_uris_are_no_names(authority: Authority, uris: tuple[str, ...]) -> None:
    assert identity_of(with_uris(authority, *uris)).name == "ann"


@pytest.mark.parametrize(
    "uris",
    [
        ("spiffe://example.org/a", "spiffe://example.org/b"),
        ("https://example.org/a", "spiffe://example.org/a"),
        ("spiffe://example.org",),
        ("spiffe://example.org/",),
        ("spiffe:///a",),
        ("spiffe://EXAMPLE.org/a",),
        ("SPIFFE://example.org/a",),
        ("spiffe://example.org/a/../b",),
        ("spiffe://example.org/./b",),
        ("spiffe://example.org//b",),
        ("spiffe://example.org/a/",),
        ("spiffe://ann@example.org/a",),
        ("spiffe://example.org:1/a",),
        ("spiffe://example.org/a?b",),
        ("spiffe://example.org/a%2fb",),
        ("spiffe://example.org/a\nb",),
        ("spiffe://example.org/" + 256 * "a",),
    ],
)
def test_a_spiffe_id_that_is_not_one_plain_id_is_refused(authority: Authority, uris: tuple[str, ...]) -> None:
    assert refusal_of(with_uris(authority, *uris)) == "BAD_NAME"


def test_an_owner_may_be_a_public_key_whoever_certifies_it(authority: Authority) -> None:
    by_key = Identification(IdentitySettings(owner="publicKey"))
    pair = authority.client("ann", "user")
    other = Authority("another CA").issue(["bob"], role_extension(utf8_string("full")), key=pair.key)
    found = [by_key.identify(certificate) for certificate in (pair.certificate, other.certificate)]
    public = pair.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert [identity.owner for identity in found] == ["sha256:" + hashlib.sha256(public).hexdigest()] * 2
    assert [identity.name for identity in found] == ["ann", "bob"]
    assert by_key.identify(authority.client("ann", "user").certificate).owner != found[0].owner


BY_ORGANIZATION = Identification(IdentitySettings(role_sources=("organization",)))
EITHER = Identification(IdentitySettings(role_sources=("organization", "extension")))


def of_organizations(authority: Authority, *organizations: str, role: str | None = None) -> x509.Certificate:
    extensions = [] if role is None else [role_extension(utf8_string(role))]
    return authority.issue(["ann"], *extensions, organizations=organizations).certificate


def test_a_role_may_be_the_organization(authority: Authority) -> None:
    identity = BY_ORGANIZATION.identify(of_organizations(authority, "admin", role="readonly"))
    assert (identity.role, identity.role_source) == ("admin", "organization")


def test_the_first_source_that_says_anything_decides(authority: Authority) -> None:
    assert EITHER.identify(of_organizations(authority, "user", role="full")).role == "user"
    from_extension = EITHER.identify(of_organizations(authority, role="full"))
    assert (from_extension.role, from_extension.role_source) == ("full", "extension")


@pytest.mark.parametrize("organizations", [("user", "full"), ("full", "full"), (" full",), ("fu\nll",)])
def test_a_source_that_says_something_unusable_refuses(authority: Authority, organizations: tuple[str, ...]) -> None:
    for identification in (BY_ORGANIZATION, EITHER):
        with pytest.raises(UnauthenticatedError) as caught:
            identification.identify(of_organizations(authority, *organizations, role="readonly"))
        assert caught.value.reason == "BAD_ROLE"


def test_a_source_that_is_not_configured_says_nothing(authority: Authority) -> None:
    with pytest.raises(UnauthenticatedError) as caught:
        BY_ORGANIZATION.identify(of_organizations(authority, role="full"))
    assert caught.value.reason == "NO_ROLE"
    with pytest.raises(UnauthenticatedError) as caught:
        Identification().identify(of_organizations(authority, "full"))
    assert caught.value.reason == "NO_ROLE"


def test_an_expired_certificate_is_refused(authority: Authority) -> None:
    assert refusal_of(authority.client("ann", "full", valid=timedelta(seconds=-2)).cert_pem) == "CERTIFICATE_EXPIRED"


def test_a_certificate_of_the_future_is_refused(authority: Authority) -> None:
    pair = authority.issue(
        ["ann"], role_extension(utf8_string("full")), valid=timedelta(hours=3), valid_from=timedelta(hours=1)
    )
    assert refusal_of(pair.cert_pem) == "CERTIFICATE_NOT_YET_VALID"


def test_validity_is_looked_at_although_the_certificate_is_known(authority: Authority) -> None:
    auth_context = {"ssl_tls_version": [b"TLSv1.3"], "x509_pem_cert": [authority.client("ann", "full").cert_pem]}
    shown = over_tls(auth_context)
    assert over_tls(auth_context).certificate is shown.certificate
    with pytest.raises(UnauthenticatedError, match="expired"):
        shown.require_valid(shown.certificate.not_valid_after_utc + timedelta(seconds=1))


@pytest.mark.parametrize(("key", "size"), [("x509_pem_cert", 17 << 10), ("x509_pem_cert_chain", 33 << 10)])
def test_certificates_that_are_too_long_are_refused(authority: Authority, key: str, size: int) -> None:
    pem = authority.client("ann", "full").cert_pem
    auth_context = {"ssl_tls_version": [b"TLSv1.3"], "x509_pem_cert": [pem]} | {key: [pem + b"x" * size]}
    with pytest.raises(UnauthenticatedError) as caught:
        over_tls(auth_context)
    assert caught.value.reason == "BAD_CERTIFICATE"


@pytest.mark.parametrize("size", [1, 127, 128, 255, 256, 65535])
def test_a_utf8_string_of_any_length_is_read(size: int) -> None:
    digits = size.to_bytes((size.bit_length() + 7) // 8, "big")
    length = digits if size < 128 else bytes([0x80 | len(digits)]) + digits
    assert decode_utf8_string(b"\x0c" + length + b"x" * size) == "x" * size


@given(st.binary(max_size=300))
def test_bytes_of_any_kind_are_read_or_refused(der: bytes) -> None:
    text = decode_utf8_string(der)
    assert text == "" or der.endswith(text.encode())
