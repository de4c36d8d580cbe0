"""Names and roles from certificates of all kinds."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from jobworker_server.errors import UnauthenticatedError
from jobworker_server.identity import Identity, decode_utf8_string, identify
from jobworker_server.shown import over_tls
from server_testing import Authority, Pair, role_extension, utf8_string


def identity_of(*pems: bytes, version: bytes = b"TLSv1.3") -> Identity:
    shown = over_tls({"ssl_tls_version": [version], "x509_pem_cert": list(pems)})
    shown.require_valid(datetime.now(UTC))
    return identify(shown.certificate)


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


@pytest.mark.parametrize("names", [["ann", "bob"], ["an\nn"], [" ann"], ["ann\x1b[2J"], [" "]])
def test_a_name_that_is_not_one_plain_text_is_refused(authority: Authority, names: list[str]) -> None:
    assert refusal_of(authority.issue(names, role_extension(utf8_string("full"))).cert_pem) == "BAD_NAME"


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
