"""What a client shows of itself before it is known who it is: its certificate, and those between it and a CA."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache

from cryptography import x509

from jobworker_server.errors import UnauthenticatedError

AuthContext = Mapping[str, Iterable[bytes]]
"""What ``ServicerContext.auth_context()`` tells of a connection."""

_LONGEST_CERTIFICATE = 16 << 10
_LONGEST_CHAIN = 32 << 10
"""Bytes of PEM; what was seen is remembered, and must not fill the memory."""

_UNREADABLE = (ValueError, x509.InvalidVersion)


@dataclass(frozen=True, slots=True)
class Shown:
    """A client's certificate, as it was shown; nothing of it is to be believed before ``Trust`` was asked."""

    certificate: x509.Certificate
    chain: bytes = field(default=b"", repr=False)
    """The intermediate certificates that came with it, in PEM, or whatever the client sent instead."""

    def between(self, most: int) -> list[x509.Certificate]:
        """The intermediate certificates, the first ``most`` of them; none where one can't be read."""
        try:
            return x509.load_pem_x509_certificates(self.chain)[:most] if self.chain else []
        except _UNREADABLE:
            return []

    def require_valid(self, now: datetime) -> None:
        """Refuse a certificate outside its time.

        Raises:
            UnauthenticatedError: it has expired, or is not valid yet.
        """
        if now > self.certificate.not_valid_after_utc:
            raise expired(self.certificate)
        begin = self.certificate.not_valid_before_utc
        if now < begin:
            raise UnauthenticatedError(
                "CERTIFICATE_NOT_YET_VALID",
                f"the client's certificate is not valid before {begin:%Y-%m-%d %H:%M:%S} UTC; "
                "check the clocks of both hosts",
            )


def expired(certificate: x509.Certificate) -> UnauthenticatedError:
    """The error that tells a caller that its certificate has expired."""
    return UnauthenticatedError(
        "CERTIFICATE_EXPIRED",
        f"the client's certificate expired on {certificate.not_valid_after_utc:%Y-%m-%d %H:%M:%S} UTC; issue a new one",
    )


def over_tls(auth_context: AuthContext) -> Shown:
    """What was shown in the handshake of a connection.

    Raises:
        UnauthenticatedError: the connection is not one of TLS 1.3 with a client certificate that can be read.
    """
    if list(auth_context.get("ssl_tls_version", ())) != [b"TLSv1.3"]:
        raise UnauthenticatedError("TLS_VERSION", "this server speaks TLS 1.3 and nothing older")
    certificates = list(auth_context.get("x509_pem_cert", ()))
    if len(certificates) != 1:
        raise UnauthenticatedError("NO_CERTIFICATE", "the client shows no certificate; connect with one")
    chain = b"".join(auth_context.get("x509_pem_cert_chain", ()))
    if len(chain) > _LONGEST_CHAIN:
        raise UnauthenticatedError("BAD_CERTIFICATE", "the client shows too many certificates; connect with fewer")
    return Shown(parsed(certificates[0]), chain)


@lru_cache(maxsize=1024)
def parsed(pem: bytes) -> x509.Certificate:
    """The certificate in PEM.

    Raises:
        UnauthenticatedError: it can't be read.
    """
    if len(pem) > _LONGEST_CERTIFICATE:
        raise UnauthenticatedError("BAD_CERTIFICATE", "the client's certificate is too long")
    try:
        return x509.load_pem_x509_certificate(pem)
    except _UNREADABLE:
        raise UnauthenticatedError("BAD_CERTIFICATE", "the client's certificate can't be read") from None
