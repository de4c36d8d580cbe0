"""Whether a client's certificate is trusted now: by the CAs and the revocation lists of this moment, in every call.

The handshake tells that it was when the connection was made, which may have been long ago.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.verification import ClientVerifier, ExtensionPolicy, PolicyBuilder, Store, VerificationError

from jobworker_server import key_strength, purpose
from jobworker_server.crl import RevocationList, newest
from jobworker_server.errors import UnauthenticatedError
from jobworker_server.remembered import Remembered
from jobworker_server.shown import Shown

_MOST_BETWEEN = 8
"""Most certificates between a client's and that of a CA, and most that are looked at of what a client sends."""
_MOST_KNOWN = 1024
_FOR_EVER = datetime.max.replace(tzinfo=UTC)
_SHA256 = 32
_MISTRUST = timedelta(minutes=1)
"""How long a certificate that is not trusted is not looked at again."""


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What was found of a certificate."""

    refusal: tuple[str, str] | None
    """The reason and the message, where it is not to be trusted. No error, which would keep all who were told it."""
    until: datetime
    """When it has to be looked at again, because something that it stands on has expired."""


class _Path(NamedTuple):
    """A certificate and those above it, which do not depend on what is revoked."""

    certificates: Sequence[x509.Certificate]
    until: datetime
    """When the first of those above expires."""


class Trust:
    """The CAs and the revocation lists of a moment. It does not change: others take its place."""

    def __init__(
        self,
        authorities: Sequence[x509.Certificate],
        revocations: Sequence[RevocationList] = (),
        *,
        before: Trust | None = None,
    ) -> None:
        """``before`` is the one whose place this one takes: what it has found is of use where the CAs are the same."""
        self._authorities = list(authorities)
        self._revocations = tuple(revocations)
        self._policy = PolicyBuilder().store(Store(self._authorities)).max_chain_depth(_MOST_BETWEEN)
        self._known: Remembered[Shown, _Verdict] = Remembered(_MOST_KNOWN)
        self._paths: Remembered[Shown, _Path] = Remembered(_MOST_KNOWN)
        if before and before._authorities == self._authorities:  # noqa: SLF001  it is one of the same class
            self._paths = before._paths  # noqa: SLF001  as above

    def require_trusted(self, shown: Shown, now: datetime) -> None:
        """Refuse one that is of none of the CAs, not for clients, of a weak key, or revoked, as one between may be.

        Raises:
            UnauthenticatedError: that is so. What is only too old is for :meth:`Shown.require_valid` to tell.
        """
        verdict = self._known.get(shown)
        if verdict is None or now > verdict.until:
            verdict = self._known.put(shown, self._look_at(shown, now))
        if verdict.refusal:
            raise UnauthenticatedError(*verdict.refusal)

    def next_expiry(self, now: datetime) -> datetime:
        """The next moment after ``now`` at which something expires that makes a certificate trusted."""
        ends = (verdict.until for verdict in self._known.values() if not verdict.refusal and verdict.until > now)
        return min(ends, default=_FOR_EVER)

    def _look_at(self, shown: Shown, now: datetime) -> _Verdict:
        try:
            path = self._path(shown, now)
            lists = [(certificate, self._list_of(issuer)) for certificate, issuer in pairwise(path.certificates)]
            for certificate, revocations in lists:
                _require_not_revoked(certificate, revocations, now, of_client=certificate is path.certificates[0])
        except UnauthenticatedError as error:
            return _Verdict((error.reason, str(error)), now + _MISTRUST)
        ends = [revocations.expires for _, revocations in lists if revocations and revocations.expires]
        return _Verdict(None, min([path.until, *ends]))

    def _path(self, shown: Shown, now: datetime) -> _Path:
        path = self._paths.get(shown)
        if path is None or now > path.until:
            purpose.require_for_clients(shown.certificate)
            key_strength.require_strong(shown.certificate)
            found = [*self._verified(shown, now)]
            found.extend(self._above(found[-1]))
            ends = [certificate.not_valid_after_utc for certificate in found[1:]]
            path = self._paths.put(shown, _Path(found, min(ends, default=_FOR_EVER)))
        return path

    def _verified(self, shown: Shown, now: datetime) -> list[x509.Certificate]:
        """The certificate and those above it, up to one that is trusted as it is."""
        try:
            if shown.certificate.version is x509.Version.v1:
                return self._verified_version_1(shown.certificate, now)
            return (
                self._verifier(purpose.OF_ANYTHING, now).verify(shown.certificate, shown.between(_MOST_BETWEEN)).chain
            )
        except (VerificationError, ValueError, x509.DuplicateExtension) as error:
            raise UnauthenticatedError(
                "CERTIFICATE_NOT_TRUSTED",
                "the client's certificate is not one of a CA that this server trusts now, it names "
                f"{_issuer_of(shown.certificate)!r} as its issuer: {str(error).partition(' (')[0]}",
            ) from None

    def _verified_version_1(self, certificate: x509.Certificate, now: datetime) -> list[x509.Certificate]:
        """The same for what openssl makes where it is told nothing of extensions: of a CA itself, none between."""
        algorithm = certificate.signature_hash_algorithm
        weak = algorithm is None or algorithm.digest_size < _SHA256
        for ca in self._authorities:
            if not weak and _has_issued(ca, certificate):
                return [certificate, *self._verifier(purpose.OF_A_CA, now).verify(ca, []).chain]
        raise VerificationError("it is of version 1, and not straight from a CA, or weakly signed")

    def _verifier(self, of_certificate: ExtensionPolicy, now: datetime) -> ClientVerifier:
        policy = self._policy.extension_policies(ca_policy=purpose.OF_A_CA, ee_policy=of_certificate)
        return policy.time(now).build_client_verifier()

    def _above(self, certificate: x509.Certificate) -> Iterator[x509.Certificate]:
        """Those above an intermediate CA that is trusted as it is, where they are known: they may have revoked it."""
        for _ in range(_MOST_BETWEEN):
            issuer = next((ca for ca in self._authorities if _has_issued(ca, certificate)), None)
            if issuer is None or issuer == certificate:
                return
            yield issuer
            certificate = issuer

    def _list_of(self, issuer: x509.Certificate) -> RevocationList | None:
        return newest(self._revocations, issuer)


def _require_not_revoked(
    certificate: x509.Certificate, revocations: RevocationList | None, now: datetime, *, of_client: bool
) -> None:
    if revocations is None:
        return
    whose = "the client's certificate" if of_client else f"the CA {certificate.subject.rfc4514_string()!r}"
    if certificate.serial_number in revocations.serials:
        raise UnauthenticatedError(
            "CERTIFICATE_REVOKED",
            f"{whose} is revoked (serial number {certificate.serial_number:X}); ask for a new one",
        )
    if revocations.expires and now > revocations.expires:
        raise UnauthenticatedError(
            "CERTIFICATE_NOT_TRUSTED",
            f"whether {whose} is revoked can't be told: the CRL of its CA expired on "
            f"{revocations.expires:%Y-%m-%d %H:%M:%S} UTC; whoever runs the server has to get a new one",
        )


def _issuer_of(certificate: x509.Certificate) -> str:
    try:
        return certificate.issuer.rfc4514_string()
    except ValueError:  # it is only read now
        return "nobody"


def _has_issued(ca: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(ca)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
