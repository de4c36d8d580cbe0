"""Whether a client's key is strong enough: whoever can work out the key is that client."""

from __future__ import annotations

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa

from jobworker_server.errors import UnauthenticatedError

_CURVES = frozenset({"secp256r1", "secp384r1", "secp521r1"})
_LEAST_RSA_BITS = 2048
"""As for CAs, whose keys are looked at with the chain."""


def require_strong(certificate: x509.Certificate) -> None:
    """Refuse a certificate of a key that can be worked out, or is of a kind that nobody looks at any more.

    Raises:
        UnauthenticatedError: it is that.
    """
    if weakness := _weakness(certificate):
        raise UnauthenticatedError(
            "CERTIFICATE_NOT_TRUSTED",
            f"the key of the client's certificate is too weak: {weakness}; "
            f"take ECDSA P-256, or RSA of {_LEAST_RSA_BITS} bits or more",
        )


def _weakness(certificate: x509.Certificate) -> str | None:
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return "it is of an unknown kind"
    match key:
        case rsa.RSAPublicKey():
            return None if key.key_size >= _LEAST_RSA_BITS else f"RSA of {key.key_size} bits"
        case ec.EllipticCurvePublicKey():
            return None if key.curve.name in _CURVES else f"ECDSA on the curve {key.curve.name}"
        case ed25519.Ed25519PublicKey() | ed448.Ed448PublicKey():
            return None
        case _:
            return type(key).__name__.removesuffix("PublicKey")
