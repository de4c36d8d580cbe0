"""Certificate revocation lists: read from a file, and held against the CAs whose they say they are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.x509.oid import ExtensionOID

from jobworker_server.errors import CertificateError

_BEGIN = b"-----BEGIN X509 CRL-----"
_PARTIAL = (ExtensionOID.DELTA_CRL_INDICATOR, ExtensionOID.ISSUING_DISTRIBUTION_POINT)
"""What makes it the list of some certificates: always critical, says RFC 5280, but not every program that makes it."""
_CRL = re.compile(_BEGIN + rb".*?-----END X509 CRL-----", re.DOTALL)


class RevocationList:
    """The list of one CA.

    Raises:
        ValueError: it can't be read, or is not a whole list of what the CA has revoked.
    """

    def __init__(self, crl: x509.CertificateRevocationList) -> None:
        self.name = crl.issuer.rfc4514_string()
        """That of the CA."""
        self.made: datetime = crl.last_update_utc
        self.number = _number(crl)
        """That of a CA which counts its lists, as RFC 5280 wants it to; None: it does not."""
        self.signer = (self.name, _key_identifier(crl))
        """Whose it says it is: the name, and what tells keys of this name apart, where it has that."""
        self.expires: datetime | None = crl.next_update_utc
        """After it nobody knows what is revoked by now; None: it doesn't say when."""
        partial = [
            extension.oid.dotted_string
            for extension in crl.extensions
            if extension.critical or extension.oid in _PARTIAL
        ]
        if partial:
            raise ValueError(f"it is not a whole list of its CA, for it has the extension {partial[0]}")
        self.serials = frozenset(entry.serial_number for entry in crl)
        """The serial numbers of the certificates that are revoked."""
        self._crl = crl
        self._is_of: dict[x509.Certificate, bool] = {}

    @property
    def edition(self) -> str:
        """Which one of its CA it is, for people."""
        made = f"of {self.made:%Y-%m-%d %H:%M:%S} UTC"
        return made if self.number is None else f"number {self.number} {made}"

    def is_older_than(self, other: RevocationList) -> bool:
        """Whether another list of the same CA is newer, both by its number and its date, as far as they differ."""
        if self.number is None or other.number is None or self.number == other.number:
            return self.made < other.made
        return self.number < other.number and self.made <= other.made

    def is_of(self, ca: x509.Certificate) -> bool:
        """Whether a CA has signed it, and may do so."""
        if ca.subject != self._crl.issuer:
            return False
        if ca not in self._is_of:
            self._is_of[ca] = _may_sign_crls(ca) and _has_signed(ca, self._crl)
        return self._is_of[ca]


def load(path: Path, pem: bytes, authorities: Sequence[x509.Certificate]) -> list[RevocationList]:
    """The lists in a file, of several for one CA the newest.

    A list of a CA that is not known may be one of an intermediate CA, which clients show with their certificates; it
    is kept. But a file with no other is the wrong file.

    Raises:
        CertificateError: it holds no list of any of the CAs, or one that can't be used.
    """
    lists = [_usable(path, crl) for crl in _parsed(path, pem)]
    known = [found for found in (newest(lists, ca) for ca in authorities) if found]
    if not known:
        raise CertificateError(
            f"{path} holds a CRL of {lists[0].name!r}, which is no CA of this server, has not signed it, "
            "or may not sign CRLs; give the CRL of the server's CA"
        )
    return [*dict.fromkeys(known), *(found for found in lists if not any(map(found.is_of, authorities)))]


def newest(lists: Iterable[RevocationList], ca: x509.Certificate) -> RevocationList | None:
    """The one that holds for a CA; None: there is none."""
    return max((found for found in lists if found.is_of(ca)), key=_age, default=None)


def _age(found: RevocationList) -> tuple[datetime, int]:
    return found.made, found.number or 0


def _parsed(path: Path, pem: bytes) -> list[x509.CertificateRevocationList]:
    blocks = _CRL.findall(pem)
    if not blocks or pem.count(_BEGIN) != len(blocks):
        raise CertificateError(
            f"{path} does not hold a CRL in PEM, or not the whole of it; jobworker-pki crl writes one, "
            "and openssl crl -inform DER makes one of DER"
        )
    try:
        return [x509.load_pem_x509_crl(block) for block in blocks]
    except (ValueError, x509.InvalidVersion) as error:
        raise CertificateError(f"{path} holds a CRL that can't be read: {error}") from None


def _usable(path: Path, crl: x509.CertificateRevocationList) -> RevocationList:
    try:
        return RevocationList(crl)
    except (ValueError, x509.DuplicateExtension) as error:
        raise CertificateError(f"{path} holds a CRL that can't be used: {error}") from None


def _number(crl: x509.CertificateRevocationList) -> int | None:
    try:
        return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except x509.ExtensionNotFound:
        return None


def _key_identifier(crl: x509.CertificateRevocationList) -> bytes | None:
    try:
        return crl.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
    except x509.ExtensionNotFound:
        return None


def _has_signed(ca: x509.Certificate, crl: x509.CertificateRevocationList) -> bool:
    try:
        return crl.is_signature_valid(ca.public_key())  # type: ignore[arg-type]  # of a kind that signs nothing: TypeError
    except (TypeError, ValueError, InvalidSignature, UnsupportedAlgorithm):
        return False


def _may_sign_crls(ca: x509.Certificate) -> bool:
    try:
        return ca.extensions.get_extension_for_class(x509.KeyUsage).value.crl_sign
    except x509.ExtensionNotFound:
        return True  # it does not say for what it may be used
