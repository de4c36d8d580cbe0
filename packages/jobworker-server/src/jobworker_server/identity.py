"""Who calls: the name and role in the client's certificate."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from jobworker_server.errors import UnauthenticatedError

ROLE_OID = x509.ObjectIdentifier("1.2.840.10070.8.1")
"""The X.509 v3 extension that holds the role, as a DER UTF8String."""

_UTF8_STRING = 0x0C


@dataclass(frozen=True, slots=True)
class Identity:
    """A caller, as its certificate has it."""

    name: str
    """The common name."""
    owner: str
    """Whose the jobs are that it starts: its name."""
    role: str
    certificate: x509.Certificate = field(repr=False)
    valid_until: datetime
    """The last moment at which the certificate is valid."""

    @property
    def serial(self) -> str:
        """The certificate's serial number, in hexadecimal digits."""
        return f"{self.certificate.serial_number:X}"

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the certificate, in hexadecimal digits."""
        return self.certificate.fingerprint(hashes.SHA256()).hex()


@lru_cache(maxsize=1024)
def identify(certificate: x509.Certificate) -> Identity:
    """Who the holder of a certificate is. Whether it is valid and trusted is not looked at here.

    Raises:
        UnauthenticatedError: it can't be read, or does not hold exactly one name and one role.
    """
    try:
        names = [attribute.value for attribute in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
        # Walks through all extensions, so it also refuses a certificate that has one of them twice.
        roles = [item.value for item in certificate.extensions if item.oid == ROLE_OID]
    except x509.DuplicateExtension:
        raise UnauthenticatedError("BAD_CERTIFICATE", "the client's certificate has an extension twice") from None
    except (ValueError, x509.InvalidVersion, x509.UnsupportedGeneralNameType):
        raise UnauthenticatedError("BAD_CERTIFICATE", "the client's certificate can't be read") from None
    name = _name(names)
    return Identity(
        name=name,
        owner=name,
        role=_role(roles),
        certificate=certificate,
        valid_until=certificate.not_valid_after_utc,
    )


def _name(names: list[str | bytes]) -> str:
    if not names:
        raise UnauthenticatedError("NO_NAME", "the client's certificate has no common name; issue one that has")
    name = names[0]
    if len(names) > 1 or not isinstance(name, str) or not _is_plain(name):
        raise UnauthenticatedError("BAD_NAME", "the client's certificate must have one common name of printable text")
    return name


def _role(roles: list[x509.ExtensionType]) -> str:
    if not roles:
        raise UnauthenticatedError(
            "NO_ROLE",
            f"the client's certificate names no role (extension {ROLE_OID.dotted_string}); "
            "issue one with jobworker-pki issue --role ROLE",
        )
    role = decode_utf8_string(roles[0].value) if isinstance(roles[0], x509.UnrecognizedExtension) else ""
    if not _is_plain(role):
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


def _is_plain(text: str) -> bool:
    return text != "" and text == text.strip() and text.isprintable()
