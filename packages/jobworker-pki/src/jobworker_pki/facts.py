"""What a certificate says, as values: tolerant of what is missing, never of what is malformed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from jobworker_pki import role
from jobworker_pki.errors import UnreadableCertificateError
from jobworker_pki.reading import MALFORMED, read_certificate

_KINDS = {ExtendedKeyUsageOID.CLIENT_AUTH: "client", ExtendedKeyUsageOID.SERVER_AUTH: "server"}


@dataclass(frozen=True)
class Facts:
    """A certificate in short. Texts are as the certificate's maker wrote them, so may hold anything."""

    serial: int
    name: str
    role: str | None
    kind: str
    spiffe: str | None
    begin: datetime
    until: datetime
    authority: str
    """The authority key identifier, in hexadecimal digits: which CA issued it."""
    key: str
    """The SHA-256 of the public key, in hexadecimal digits."""
    fingerprint: str

    @property
    def serial_text(self) -> str:
        """The serial number as ``show`` prints it."""
        return f"{self.serial:X}"

    @property
    def renewal(self) -> datetime:
        """When two thirds of its life are over, which is when it should be renewed."""
        return renewal(self.begin, self.until)


def renewal(begin: datetime, until: datetime) -> datetime:
    """Return when a certificate of this validity should be renewed: after two thirds of it."""
    return (begin + (until - begin) * 2 / 3).replace(microsecond=0)


def of(certificate: x509.Certificate) -> Facts:
    """Return what ``certificate`` says. Raises one of ``reading.MALFORMED``."""
    extensions = certificate.extensions
    return Facts(
        serial=certificate.serial_number,
        name=", ".join(common_names(certificate)),
        role=role_of(certificate),
        kind=_kind(extensions),
        spiffe=_spiffe(extensions),
        begin=certificate.not_valid_before_utc,
        until=certificate.not_valid_after_utc,
        authority=_authority(extensions),
        key=key_hash(certificate),
        fingerprint=certificate.fingerprint(hashes.SHA256()).hex(),
    )


def read(path: Path) -> tuple[x509.Certificate, Facts]:
    """Return the certificate in ``path`` and what it says. Raises UnreadableCertificateError."""
    certificate = read_certificate(path)
    try:
        return certificate, of(certificate)
    except MALFORMED as error:
        raise UnreadableCertificateError(path, "the certificate is malformed") from error


def common_names(certificate: x509.Certificate | x509.CertificateSigningRequest) -> list[str]:
    """Return the common names of the subject."""
    return _texts(certificate, NameOID.COMMON_NAME)


def organizations(certificate: x509.Certificate) -> list[str]:
    """Return the O attributes of the subject."""
    return _texts(certificate, NameOID.ORGANIZATION_NAME)


def role_of(certificate: x509.Certificate) -> str | None:
    """Return the role in the extension, or else in the one O attribute. Raises ValueError for a malformed extension."""
    try:
        extension = certificate.extensions.get_extension_for_oid(role.OID).value
    except x509.ExtensionNotFound:
        found = organizations(certificate)
        return found[0] if len(found) == 1 else None
    return role.decode(extension.public_bytes())


def key_hash(certificate: x509.Certificate | x509.CertificateSigningRequest) -> str:
    """Return the SHA-256 of the public key (its SubjectPublicKeyInfo), in hexadecimal digits."""
    digest = hashes.Hash(hashes.SHA256())
    digest.update(certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    return digest.finalize().hex()


def _texts(certificate: x509.Certificate | x509.CertificateSigningRequest, oid: x509.ObjectIdentifier) -> list[str]:
    values = [attribute.value for attribute in certificate.subject.get_attributes_for_oid(oid)]
    return [value if isinstance(value, str) else value.decode(errors="replace") for value in values]


def _kind(extensions: x509.Extensions) -> str:
    try:
        if extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            return "authority"
    except x509.ExtensionNotFound:
        pass
    try:
        purposes = list(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        return "other"
    return _KINDS.get(purposes[0], "other") if len(purposes) == 1 else "other"


def _spiffe(extensions: x509.Extensions) -> str | None:
    try:
        names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None
    found = [uri for uri in names.get_values_for_type(x509.UniformResourceIdentifier) if uri.startswith("spiffe://")]
    return found[0] if len(found) == 1 else None


def _authority(extensions: x509.Extensions) -> str:
    try:
        identifier = extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    except x509.ExtensionNotFound:
        return ""
    return (identifier or b"").hex()
