"""The role in the certificate's extension."""

from __future__ import annotations

from cryptography import x509

from jobworker_server.errors import UnauthenticatedError
from jobworker_server.identity.plain import is_plain

ROLE_OID = x509.ObjectIdentifier("1.2.840.10070.8.1")
"""The X.509 v3 extension that holds the role, as a DER UTF8String."""

_UTF8_STRING = 0x0C


def role(certificate: x509.Certificate) -> str | None:
    """The role; None: the certificate does not have the extension.

    Raises:
        UnauthenticatedError: it is no UTF8String of printable text.
    """
    # No certificate has it twice: one that does can't be read.
    found = next((item.value for item in certificate.extensions if item.oid == ROLE_OID), None)
    if found is None:
        return None
    role = decode_utf8_string(found.value) if isinstance(found, x509.UnrecognizedExtension) else ""
    if not is_plain(role):
        raise UnauthenticatedError(
            "BAD_ROLE", "the role in the client's certificate is not a UTF8String of printable text"
        )
    return role


def decode_utf8_string(der: bytes) -> str:
    """The text of exactly one DER UTF8String; empty for anything else."""
    for header in (2, 3, 4):
        content = der[header:]
        if der[:header] == bytes([_UTF8_STRING]) + _der_length(len(content)):
            return _decoded(content)
    return ""


def _der_length(size: int) -> bytes:
    if size < 0x80:
        return bytes([size])
    digits = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([0x80 | len(digits)]) + digits


def _decoded(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return ""
