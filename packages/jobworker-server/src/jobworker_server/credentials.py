"""The server's own certificate and key and its clients' CA, read from files and checked before they are used."""

from __future__ import annotations

import stat
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from jobworker_server.errors import CertificateError


@dataclass(frozen=True, slots=True)
class CredentialFiles:
    """Where the certificates and the key are, in PEM."""

    ca: Path
    """The CA, or several, that clients' certificates must be of."""
    cert: Path
    """The server's certificate, followed by intermediate ones if there are any."""
    key: Path


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the files held, as PEM."""

    ca: bytes
    cert: bytes
    key: bytes


def load(files: CredentialFiles) -> Credentials:
    """Read the files and check that a server can be run with them.

    Raises:
        CertificateError: a file is missing, can't be read, is open to other users (the key), or does not hold what it
            should; the certificate has expired, is not one for servers, or not that of the key.
    """
    credentials = Credentials(ca=_read(files.ca), cert=_read(files.cert), key=_read_key(files.key))
    _certificates(files.ca, credentials.ca)
    certificate = _certificates(files.cert, credentials.cert)[0]
    _require_usable(files.cert, certificate)
    if _private_key(files.key, credentials.key).public_key() != certificate.public_key():
        raise CertificateError(
            f"{files.key} is not the key of the certificate {files.cert}; give the two that belong together"
        )
    return credentials


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise CertificateError(
            f"{path} does not exist; make it with jobworker-pki init, "
            "or say where it is with --certs or --ca, --cert and --key"
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
