"""The server's own certificate and key, and whom it trusts, read from files and checked before they are used."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from jobworker_server import crl, crl_in_use
from jobworker_server.crl import RevocationList
from jobworker_server.errors import CertificateError


@dataclass(frozen=True, slots=True)
class CredentialFiles:
    """Where the certificates and the key are, in PEM."""

    ca: Path
    """The CA, or several, that clients' certificates must be of; CAs between them and these may be there, too."""
    cert: Path
    """The server's certificate, followed by intermediate ones if there are any."""
    key: Path
    crl: Path | None = None
    """What the CAs have revoked: their CRLs, one after the other."""
    crl_is_optional: bool = False
    """Whether nothing is revoked where there is no such file."""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """What the server shows of itself, in PEM."""

    cert: bytes
    key: bytes
    certificate: x509.Certificate


@dataclass(frozen=True, slots=True)
class Authorities:
    """Whom the server trusts."""

    pem: bytes
    certificates: Sequence[x509.Certificate]
    revocations: Sequence[RevocationList] | None
    """None: there is no file of them."""


def load_key_pair(files: CredentialFiles) -> KeyPair:
    """Read the server's certificate and key and check that a server can be run with them.

    Raises:
        CertificateError: a file is missing, can't be read, is open to other users (the key), or does not hold what it
            should; the certificate has expired, is not one for servers, or not that of the key.
    """
    cert, key = _read(files.cert), _read_key(files.key)
    certificate = _certificates(files.cert, cert)[0]
    _require_usable(files.cert, certificate)
    if _private_key(files.key, key).public_key() != certificate.public_key():
        raise CertificateError(
            f"{files.key} is not the key of the certificate {files.cert}; give the two that belong together"
        )
    return KeyPair(cert, key, certificate)


def load_authorities(files: CredentialFiles, before: Authorities | None = None) -> Authorities:
    """Read the CAs and what they have revoked; lists of the ones ``before`` don't give way to older ones.

    Raises:
        CertificateError: a file is missing, can't be read, or does not hold what it should.
    """
    pem = _read(files.ca)
    certificates = _certificates(files.ca, pem)
    if files.crl is None or (files.crl_is_optional and not files.crl.exists()):
        return Authorities(pem, certificates, None)
    # CAs between are known from the server's own certificate, too. They are trusted no more for it.
    between = _certificates(files.cert, _read(files.cert))[1:]
    known = [*certificates, *between]
    lists = crl.load(files.crl, _read(files.crl), known)
    if before and before.revocations:
        lists = crl_in_use.after(files.crl, before.revocations, lists, known)
    return Authorities(pem, certificates, lists)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise CertificateError(
            f"{path} does not exist; make it with jobworker-pki init, "
            "or say where it is with --certs or --ca, --cert, --key and --crl"
        ) from None
    except OSError as error:
        raise CertificateError(f"{path} can't be read: {error.strerror}") from None


def _read_key(path: Path) -> bytes:
    data = _read(path)
    if stat.S_IMODE(path.stat().st_mode) & (stat.S_IRWXG | stat.S_IRWXO):
        raise CertificateError(f"the key {path} is open to other users of this host; close it with chmod 600 {path}")
    return data


def _certificates(path: Path, pem: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError:
        raise CertificateError(f"{path} does not hold a certificate in PEM") from None


def _require_usable(path: Path, certificate: x509.Certificate) -> None:
    if not isinstance(certificate.public_key(), ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
        raise CertificateError(f"the key of the certificate {path} is of a kind that gRPC can't use; take ECDSA or RSA")
    end = certificate.not_valid_after_utc
    if end < datetime.now(UTC):
        raise CertificateError(
            f"the certificate {path} expired on {end:%Y-%m-%d %H:%M:%S} UTC; "
            "issue a new one with jobworker-pki server --force"
        )
    if not _is_for_servers(certificate):
        raise CertificateError(
            f"the certificate {path} is not one for servers, so no client would trust it; "
            "make the server's with jobworker-pki server"
        )


def _is_for_servers(certificate: x509.Certificate) -> bool:
    try:
        purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (x509.ExtensionNotFound, ValueError):
        return True  # It is not said, or not readably.
    return any(
        purpose in purposes for purpose in (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE)
    )


def _private_key(path: Path, pem: bytes) -> PrivateKeyTypes:
    try:
        return load_pem_private_key(pem, password=None)
    except TypeError:
        raise CertificateError(f"the key {path} is encrypted; the server needs it without a passphrase") from None
    except ValueError:
        raise CertificateError(f"{path} does not hold a private key in PEM") from None
