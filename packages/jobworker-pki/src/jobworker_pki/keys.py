"""Private keys in files: PEM, encrypted where there is a passphrase."""

from __future__ import annotations

from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from jobworker_pki.errors import KeyFileError, PassphraseError
from jobworker_pki.key_types import PrivateKey, PublicKey
from jobworker_pki.passphrase import Passphrase
from jobworker_pki.reading import read_at_most

_ENCRYPTED = b"ENCRYPTED"  # in the label of PKCS #8, and in the header of older forms
_MAX_BYTES = 1 << 16


def load(path: Path, passphrase: Passphrase) -> PrivateKey:
    """Return the key in ``path``; it is asked for a passphrase only where it is encrypted.

    Raises KeyFileError, PassphraseError.
    """
    pem = _read(path)
    encrypted = _ENCRYPTED in pem
    try:
        key = load_pem_private_key(pem, passphrase.of(path) if encrypted else None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        if encrypted:
            raise PassphraseError(f"that is not the passphrase of {path} (or the file is damaged)") from error
        raise KeyFileError(path, "is not a private key in PEM form, or is damaged") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise KeyFileError(path, "is neither an ECDSA nor an RSA key")
    return key


def is_encrypted(path: Path) -> bool:
    """Return whether the key in ``path`` needs a passphrase; False where there is none. Raises KeyFileError."""
    return path.exists() and _ENCRYPTED in _read(path)


def to_pem(key: PrivateKey, passphrase: bytes | None = None) -> bytes:
    """Return ``key`` as a file holds it: PKCS #8, encrypted (AES-256) with ``passphrase`` if there is one."""
    encryption = NoEncryption() if passphrase is None else BestAvailableEncryption(passphrase)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


def public_der(key: PublicKey) -> bytes:
    """Return the SubjectPublicKeyInfo of ``key``."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def public_pem(key: PublicKey) -> bytes:
    """Return the SubjectPublicKeyInfo of ``key`` in PEM form."""
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _read(path: Path) -> bytes:
    try:
        return read_at_most(path, _MAX_BYTES)
    except OSError as error:
        raise KeyFileError(path, f"can't be read: {error.strerror}") from error
