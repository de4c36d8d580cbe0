"""The role extension: a UTF8String in an X.509 v3 extension of its own."""

from __future__ import annotations

from cryptography import x509

from jobworker_pki.names import check_text

OID = x509.ObjectIdentifier("1.2.840.10070.8.1")
BUILT_IN = ("full", "admin", "user", "readonly", "observer")

_UTF8_STRING = 0x0C


def check(role: str) -> str:
    """Return ``role`` if it can be one. Raises InvalidValueError otherwise."""
    return check_text("role", role)


def extension(role: str) -> x509.UnrecognizedExtension:
    """Return the extension that holds ``role``."""
    return x509.UnrecognizedExtension(OID, encode(role))


def encode(role: str) -> bytes:
    """Return ``role`` as a DER UTF8String."""
    content = role.encode()
    return bytes([_UTF8_STRING]) + _length(len(content)) + content


def decode(der: bytes) -> str:
    """Return what :func:`encode` was given. Raises ValueError for anything else than one DER UTF8String."""
    if der[:1] != bytes([_UTF8_STRING]):
        raise ValueError("not a UTF8String")
    for header in (2, 3, 4):
        content = der[header:]
        if der[1:header] == _length(len(content)):
            return content.decode()
    raise ValueError("not DER")


def _length(size: int) -> bytes:
    if size < 0x80:
        return bytes([size])
    digits = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([0x80 | len(digits)]) + digits
