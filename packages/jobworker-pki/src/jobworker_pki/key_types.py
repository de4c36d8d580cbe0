"""The kinds of keys: what can be chosen for new ones, and what is accepted of others."""

from __future__ import annotations

from enum import StrEnum

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey

_CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
_RSA_BITS = range(2048, 4096 + 1)  # a longer one costs every server that checks it more than it gains
_PUBLIC_EXPONENT = 65537


class KeyType(StrEnum):
    """What a new key can be."""

    ECDSA_P256 = "ecdsa-p256"
    ECDSA_P384 = "ecdsa-p384"
    RSA_4096 = "rsa-4096"


def new_key(kind: KeyType = KeyType.ECDSA_P256) -> PrivateKey:
    """Return a new key."""
    match kind:
        case KeyType.ECDSA_P256:
            return ec.generate_private_key(ec.SECP256R1())
        case KeyType.ECDSA_P384:
            return ec.generate_private_key(ec.SECP384R1())
        case KeyType.RSA_4096:
            return rsa.generate_private_key(_PUBLIC_EXPONENT, 4096)


def type_of(key: PrivateKey) -> KeyType:
    """Return the type that is nearest to that of ``key``, so that its successor is no weaker."""
    if isinstance(key, rsa.RSAPrivateKey):
        return KeyType.RSA_4096
    return KeyType.ECDSA_P256 if key.curve.name == "secp256r1" else KeyType.ECDSA_P384


def signing_hash(key: PrivateKey) -> hashes.SHA256 | hashes.SHA384:
    """Return the hash that goes with ``key``: one as strong as the key's curve."""
    if isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name != "secp256r1":
        return hashes.SHA384()
    return hashes.SHA256()


def describe(key: object) -> str:
    """Return what people call a public key of this kind, such as ``ECDSA P-256``."""
    if isinstance(key, ec.EllipticCurvePublicKey):
        return f"ECDSA {_CURVES.get(key.curve.name, key.curve.name)}"
    if isinstance(key, rsa.RSAPublicKey):
        return f"RSA {key.key_size}"
    return type(key).__name__.removesuffix("PublicKey")


def require_accepted(key: object) -> PublicKey:
    """Return ``key`` if a certificate may be issued for it. Raises ValueError with the reason otherwise."""
    if isinstance(key, ec.EllipticCurvePublicKey):
        if key.curve.name in _CURVES:
            return key
        raise ValueError(f"its curve {key.curve.name} is none of P-256, P-384 and P-521")
    if not isinstance(key, rsa.RSAPublicKey):
        raise ValueError(f"its key is of the kind {describe(key)}; gRPC takes ECDSA and RSA")  # noqa: TRY004 - hostile input is no bug of ours
    if key.key_size not in _RSA_BITS:
        raise ValueError(f"its RSA key has {key.key_size} bits; 2048 to 4096 are accepted")
    if key.public_numbers().e != _PUBLIC_EXPONENT:
        raise ValueError(f"its RSA key has a public exponent other than {_PUBLIC_EXPONENT}")
    return key
