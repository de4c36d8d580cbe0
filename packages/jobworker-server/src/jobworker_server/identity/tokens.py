"""Roles in tokens: JSON Web Tokens that are bound to the client's certificate (RFC 8705)."""

from __future__ import annotations

import hmac
import math
import re
from base64 import urlsafe_b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jwt
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from jobworker_server.errors import ConfigError, UnauthenticatedError
from jobworker_server.identity.caller import RoleFound, token_expired
from jobworker_server.identity.plain import is_plain

_ALGORITHM = "ES256"
_HEADER = "authorization"
_SCHEME = "bearer"
_LONGEST = 8 << 10
_CLOCK_SKEW_SECONDS = 60
"""How far the clock of who makes tokens may be ahead. For their end, ours alone counts."""
_KEY = re.compile(rb"-----BEGIN PUBLIC KEY-----.+?-----END PUBLIC KEY-----", re.DOTALL)

Metadata = Iterable[tuple[str, str | bytes]]
"""The headers of a call."""


@dataclass(frozen=True, slots=True)
class TokenKeys:
    """Public keys that tokens may be signed with, for one audience."""

    keys: tuple[ec.EllipticCurvePublicKey, ...]
    audience: str

    def role(self, metadata: Metadata, certificate: x509.Certificate, name: str) -> RoleFound | None:
        """The role that the token of a call gives to the holder of a certificate; None: there is no token.

        Raises:
            UnauthenticatedError: there are several, or it is not valid, or not for this holder and server.
        """
        text = _token(metadata)
        if text is None:
            return None
        try:
            claims = self._verified(text)
            end = float(claims["exp"])
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError) as error:
            raise _bad(str(error)) from None
        if not math.isfinite(end):
            raise _bad("its end is no number")
        if datetime.now(UTC).timestamp() >= end:
            raise token_expired(_moment(end, certificate))
        _require_bound(claims, certificate, name)
        role = claims.get("role")
        if not is_plain(role):
            raise _bad("its role is not printable text")
        return RoleFound(str(role), _moment(end, certificate))

    def _verified(self, text: str) -> dict[str, Any]:
        """The claims, where the token is signed, not too new, and for this server."""
        header = jwt.get_unverified_header(text)
        if header.get("alg") != _ALGORITHM or "crit" in header:
            raise jwt.InvalidTokenError(f"it must be signed with {_ALGORITHM}, without critical headers")
        for key in self.keys:
            try:
                claims: dict[str, Any] = jwt.decode(
                    text,
                    key,
                    algorithms=[_ALGORITHM],
                    audience=self.audience,
                    leeway=_CLOCK_SKEW_SECONDS,
                    options={"require": ["exp", "aud"], "verify_exp": False},
                )
            except jwt.InvalidSignatureError:
                continue
            except jwt.InvalidAudienceError:
                raise _bad(f"it is not for this server, whose audience is {self.audience!r}") from None
            return claims
        raise jwt.InvalidTokenError("it is not signed with a key that this server knows")


def load(path: Path, audience: str) -> TokenKeys:
    """The keys in a file: public ones in PEM, one after the other.

    Raises:
        ConfigError: the file can't be read, or does not hold what it should.
    """
    try:
        found = _KEY.findall(path.read_bytes())
        keys = [load_pem_public_key(pem) for pem in found]
    except FileNotFoundError:
        raise ConfigError(
            f"the key of tokens {path} does not exist; the first `jobworker-pki token` writes it as token.pub"
        ) from None
    except OSError as error:
        raise ConfigError(f"the key of tokens {path} can't be read: {error.strerror}") from None
    except (ValueError, UnsupportedAlgorithm):
        keys = []
    usable = [key for key in keys if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)]
    if not usable or len(usable) < len(keys):
        raise ConfigError(
            f"{path} must hold the public key of tokens, ECDSA P-256 in PEM; jobworker-pki token writes token.pub"
        )
    return TokenKeys(tuple(usable), audience)


def _token(metadata: Metadata) -> str | None:
    values = [value for key, value in metadata if key == _HEADER]
    if not values:
        return None
    value = values[0]
    if len(values) > 1 or not isinstance(value, str) or len(value) > _LONGEST:
        raise _bad(f"send one, of at most {_LONGEST} characters")
    scheme, _, token = value.partition(" ")
    if scheme.lower() != _SCHEME or not token:
        raise _bad("send it as Bearer TOKEN")
    return token


def _require_bound(claims: dict[str, Any], certificate: x509.Certificate, name: str) -> None:
    bound = claims.get("cnf")
    thumbprint = bound.get("x5t#S256") if isinstance(bound, dict) else None
    own = urlsafe_b64encode(certificate.fingerprint(hashes.SHA256())).rstrip(b"=")
    if not isinstance(thumbprint, str) or not hmac.compare_digest(thumbprint.encode("utf-8", "replace"), own):
        raise _bad("it is not bound to the client's certificate")
    if "sub" in claims and claims["sub"] != name:
        raise _bad("it is for somebody of another name")


def _moment(end: float, certificate: x509.Certificate) -> datetime:
    """The end of a token, or of its certificate if that is sooner: a date can't be of any year."""
    return datetime.fromtimestamp(max(0.0, min(end, certificate.not_valid_after_utc.timestamp())), UTC)


def _bad(problem: str) -> UnauthenticatedError:
    return UnauthenticatedError("BAD_TOKEN", f"the client's token is refused: {problem}")
