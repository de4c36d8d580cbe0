"""Tokens: a role for a client, signed apart from its certificate and of use with that certificate only (RFC 8705)."""

from __future__ import annotations

import os
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from jobworker_pki import facts, issuing, keys, layout, role
from jobworker_pki.errors import InvalidValueError, KeyFileError, RefusedError, UnreadableCertificateError
from jobworker_pki.files import PRIVATE, PUBLIC, NewFile, locked, publish
from jobworker_pki.inventory import Inventory
from jobworker_pki.key_types import new_key
from jobworker_pki.passphrase import Passphrase
from jobworker_pki.reading import MALFORMED, read_certificate

AUDIENCE = "jobworker"
MINUTES = 60
ALGORITHM = "ES256"
MAX_AUDIENCE_BYTES = 255


@dataclass(frozen=True)
class Token:
    """A token as it is sent, the name that it is for, and when it ends; ``new_key``: a signing key had to be made."""

    text: str
    name: str
    until: datetime
    new_key: bool


def issue(
    directory: Path,
    file: Path,
    role_name: str,
    lifetime: timedelta,
    passphrase: Passphrase,
    *,
    audience: str = AUDIENCE,
) -> Token:
    """Return a token that gives the holder of the certificate in ``file`` a role.

    It ends with ``lifetime``, or with the certificate if that is sooner. The signing key is made where there is none,
    encrypted where a passphrase is given, or has to be because the CA's key is encrypted.

    Raises InvalidValueError, UnreadableCertificateError, RefusedError for a certificate that no server accepts,
    KeyFileError, PassphraseError, AlreadyExistsError, WriteError.
    """
    role.check(role_name)
    if not audience or not audience.isprintable() or len(audience.encode()) > MAX_AUDIENCE_BYTES:
        raise InvalidValueError("audience", f"has to be 1 to {MAX_AUDIENCE_BYTES} bytes of printable text")
    certificate = read_certificate(file)
    name = _name(file, certificate)
    with locked(directory):
        _require_accepted(directory, file, certificate)
        key, made = _signing_key(directory, passphrase)
    now = issuing.now()
    until = min(now + lifetime, certificate.not_valid_after_utc)
    begin = now - issuing.CLOCK_SKEW
    claims = {
        "sub": name,
        "role": role_name,
        "aud": audience,
        "iat": int(begin.timestamp()),
        "nbf": int(begin.timestamp()),
        "exp": int(until.timestamp()),
        "cnf": {"x5t#S256": thumbprint(certificate)},
    }
    return Token(jwt.encode(claims, key, algorithm=ALGORITHM), name, until, made)


def thumbprint(certificate: x509.Certificate) -> str:
    """Return the SHA-256 of ``certificate`` as RFC 8705 writes it."""
    return urlsafe_b64encode(certificate.fingerprint(hashes.SHA256())).rstrip(b"=").decode()


def _name(file: Path, certificate: x509.Certificate) -> str:
    """The name that servers call the client by: its SPIFFE ID, or else its common name."""
    try:
        told, names = facts.of(certificate), facts.common_names(certificate)
    except MALFORMED as error:
        raise UnreadableCertificateError(file, "the certificate is malformed") from error
    if told.kind != "client":
        raise RefusedError(f"{file} is not the certificate of a client, so a token for it would be of no use")
    if told.spiffe is None and len(names) != 1:
        raise RefusedError(f"{file} does not have one common name, so no server knows whom it is for")
    return told.spiffe or names[0]


def _require_accepted(directory: Path, file: Path, certificate: x509.Certificate) -> None:
    if certificate.not_valid_after_utc <= issuing.now():
        raise RefusedError(f"{file} expired on {certificate.not_valid_after_utc:%Y-%m-%d}; renew it first")
    if not (directory / f"{layout.CA}.pem").exists():
        return  # tokens can be made elsewhere than certificates
    revocation = Inventory.load(directory).revocation_of(certificate)
    if revocation is not None:
        raise RefusedError(f"{file} was revoked on {revocation.when:%Y-%m-%d}; no server accepts it")


def _signing_key(directory: Path, passphrase: Passphrase) -> tuple[ec.EllipticCurvePrivateKey, bool]:
    path, public = directory / f"{layout.TOKEN}.key", directory / f"{layout.TOKEN}.pub"
    if not os.path.lexists(path):
        key = new_key()
        protected = passphrase.given or keys.is_encrypted(directory / f"{layout.CA}.key")
        secret = passphrase.new_for(path) if protected else None
        files = [
            NewFile(path.name, keys.to_pem(key, secret), PRIVATE),
            NewFile(public.name, keys.public_pem(key.public_key()), PUBLIC),
        ]
        publish(directory, files, replace=False)
        return _p256(path, key), True
    key = keys.load(path, passphrase)
    if not os.path.lexists(public):
        publish(directory, [NewFile(public.name, keys.public_pem(key.public_key()), PUBLIC)], replace=False)
    return _p256(path, key), False


def _p256(path: Path, key: object) -> ec.EllipticCurvePrivateKey:
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name == "secp256r1":
        return key
    raise KeyFileError(path, f"is not an ECDSA P-256 key, which {ALGORITHM} needs")
