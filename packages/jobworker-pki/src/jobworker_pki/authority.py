"""The certificate authority of a directory: ``ca.pem`` and ``ca.key``."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from jobworker_pki import issuing, role
from jobworker_pki.errors import AuthorityError, UnreadableCertificateError
from jobworker_pki.issuing import Credential, PrivateKey
from jobworker_pki.reading import MALFORMED, read_certificate

STEM = "ca"
SERVER_STEM = "server"
LIFETIME = timedelta(days=3650)
SERVER_LIFETIME = timedelta(days=365)


@dataclass(frozen=True)
class Authority:
    """A certificate authority that can issue: certificate and key belong together and the certificate is valid now."""

    certificate: x509.Certificate
    key: PrivateKey = field(repr=False)

    @classmethod
    def create(cls) -> Authority:
        """Return a new authority, which exists only in memory."""
        key = issuing.new_key()
        # The suffix tells the authorities of two directories, or the old and the new one, apart.
        subject = issuing.common_name(f"jobworker CA {secrets.token_hex(4)}")
        return cls(issuing.self_signed(subject, key, LIFETIME), key)

    @classmethod
    def load(cls, directory: Path) -> Authority | None:
        """Return the authority of ``directory``, or None where there is nothing of one. Raises AuthorityError."""
        certificate_path, key_path = directory / f"{STEM}.pem", directory / f"{STEM}.key"
        missing = [path for path in (certificate_path, key_path) if not os.path.lexists(path)]
        if missing == [certificate_path, key_path]:
            return None
        if missing:
            raise AuthorityError(
                f"{missing[0]} is missing, so the CA in {directory} can't issue. "
                "Put the file back, or use another --dir, or make everything anew with: jobworker-pki init --force"
            )
        authority = cls(_load_certificate(certificate_path), _load_key(key_path))
        if authority.key.public_key() != authority.certificate.public_key():
            raise AuthorityError(f"{key_path} is not the key of {certificate_path}; put the right one in its place")
        return authority

    def credential(self) -> Credential:
        """Return the authority's own certificate and key, to be written."""
        return Credential(STEM, self.certificate, self.key)

    def issue_client(self, name: str, role_name: str, lifetime: timedelta) -> Credential:
        """Return a client's certificate: ``name`` as common name, ``role_name`` in the role extension."""
        key = issuing.new_key()
        subject = issuing.common_name(name)
        builder = issuing.leaf(subject, key, lifetime, ExtendedKeyUsageOID.CLIENT_AUTH, self.certificate)
        builder = builder.add_extension(role.extension(role_name), critical=False)
        return Credential(name, builder.sign(self.key, hashes.SHA256()), key)

    def issue_server(self, names: Sequence[x509.GeneralName]) -> Credential:
        """Return a server's certificate, valid for each of ``names``."""
        key = issuing.new_key()
        subject = issuing.common_name("jobworker-server")
        builder = issuing.leaf(subject, key, SERVER_LIFETIME, ExtendedKeyUsageOID.SERVER_AUTH, self.certificate)
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return Credential(SERVER_STEM, builder.sign(self.key, hashes.SHA256()), key)


def _load_certificate(path: Path) -> x509.Certificate:
    try:
        certificate = read_certificate(path)
        problem = _problem(certificate)
    except UnreadableCertificateError as error:
        raise AuthorityError(f"the CA can't issue: {error}") from error
    except MALFORMED as error:
        raise AuthorityError(f"{path} can't be read as a certificate: {error}") from error
    if problem is not None:
        raise AuthorityError(f"{path} {problem}")
    return certificate


def _problem(certificate: x509.Certificate) -> str | None:
    """Say why nothing issued under ``certificate`` would be accepted, if so."""
    if not _may_issue(certificate):
        return "is not the certificate of a CA: it lacks what RFC 5280 asks of one"
    if certificate.not_valid_after_utc <= issuing.now():
        return (
            f"has expired ({certificate.not_valid_after_utc:%Y-%m-%d}); make a new CA with: jobworker-pki init --force"
        )
    if certificate.not_valid_before_utc > issuing.now():
        return f"is not valid before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC; is this host's clock right?"
    return None


def _may_issue(certificate: x509.Certificate) -> bool:
    extensions = certificate.extensions
    try:
        extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        constraints = extensions.get_extension_for_class(x509.BasicConstraints).value
        usage = extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return False
    return constraints.ca and usage.key_cert_sign


def _load_key(path: Path) -> PrivateKey:
    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise AuthorityError(f"the CA's key {path} can't be read: {error.strerror}") from error
    except TypeError as error:
        raise AuthorityError(f"the CA's key {path} is protected by a passphrase, so it can't be used") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise AuthorityError(f"the CA's key {path} is not a private key in PEM form, or is damaged") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise AuthorityError(f"the CA's key {path} is neither an ECDSA nor an RSA key")
    return key
