"""A caller, as it is known."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from jobworker_server import shown
from jobworker_server.errors import UnauthenticatedError


@dataclass(frozen=True, slots=True)
class RoleFound:
    """A role that a source tells."""

    role: str
    valid_until: datetime | None = None
    """The moment from which it does not any more; None: for as long as the certificate is valid."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A caller, as its certificate has it, and its token where it has one."""

    name: str
    """The SPIFFE ID, or else the common name."""
    owner: str
    """Whose the jobs are that it starts: its name, or its public key."""
    role: str
    role_source: str
    """Where the role is from: ``extension``, ``organization`` or ``token``."""
    certificate: x509.Certificate = field(repr=False)
    token_valid_until: datetime | None = None
    """The moment from which its token is not valid any more; None: it needs none."""

    @property
    def serial(self) -> str:
        """The certificate's serial number, in hexadecimal digits."""
        return f"{self.certificate.serial_number:X}"

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the certificate, in hexadecimal digits."""
        return self.certificate.fingerprint(hashes.SHA256()).hex()

    @property
    def valid_until(self) -> datetime:
        """The last moment at which the certificate, and the token if there is one, are valid."""
        end = self.certificate.not_valid_after_utc
        return end if self.token_valid_until is None else min(end, self.token_valid_until)

    def expired(self) -> UnauthenticatedError:
        """The error that tells that ``valid_until`` has passed."""
        if self.token_valid_until is not None and self.token_valid_until < self.certificate.not_valid_after_utc:
            return token_expired(self.token_valid_until)
        return shown.expired(self.certificate)


def token_expired(until: datetime) -> UnauthenticatedError:
    """The error that tells a caller that its token has expired."""
    return UnauthenticatedError(
        "TOKEN_EXPIRED", f"the client's token expired on {until.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC; get a new one"
    )
