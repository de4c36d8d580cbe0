"""Who calls: the name and role in the client's certificate, looked at anew in each call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from jobworker_server.errors import UnauthenticatedError

ROLE_OID = x509.ObjectIdentifier("1.2.840.10070.8.1")
"""The X.509 v3 extension that holds the role, as a DER UTF8String."""

AuthContext = Mapping[str, Iterable[bytes]]
"""What ``ServicerContext.auth_context()`` tells of a connection."""

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
    valid_from: datetime
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

    def require_valid(self, now: datetime) -> None:
        """Refuse a certificate outside its time.

        Raises:
            UnauthenticatedError: it has expired, or is not valid yet.
        """
        if now > self.valid_until:
            raise expired(self)
        if now < self.valid_from:
            raise UnauthenticatedError(
                "CERTIFICATE_NOT_YET_VALID",
                f"the client's certificate is not valid before {self.valid_from:%Y-%m-%d %H:%M:%S} UTC; "
                "check the clocks of both hosts",
            )


def expired(identity: Identity) -> UnauthenticatedError:
    """The error that tells a caller that its certificate has expired."""
    return UnauthenticatedError(
        "CERTIFICATE_EXPIRED",
        f"the client's certificate expired on {identity.valid_until:%Y-%m-%d %H:%M:%S} UTC; issue a new one",
    )


def identify(auth_context: AuthContext) -> Identity:
    """Who is at the other end of a connection, now.

    Raises:
        UnauthenticatedError: the connection is not one of TLS 1.3 with a client certificate, or the certificate is not
            valid now or does not hold exactly one name and one role.
    """
    if list(auth_context.get("ssl_tls_version", ())) != [b"TLSv1.3"]:
        raise UnauthenticatedError("TLS_VERSION", "this server speaks TLS 1.3 and nothing older")
    certificates = list(auth_context.get("x509_pem_cert", ()))
    if len(certificates) != 1:
        raise UnauthenticatedError("NO_CERTIFICATE", "the client shows no certificate; connect with one")
    identity = _parse(certificates[0])
    identity.require_valid(datetime.now(UTC))
    return identity


@lru_cache(maxsize=1024)
def _parse(pem: bytes) -> Identity:
    try:
        certificate = x509.load_pem_x509_certificate(pem)
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
        valid_from=certificate.not_valid_before_utc,
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
