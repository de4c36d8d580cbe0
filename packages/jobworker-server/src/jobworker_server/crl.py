"""Certificate revocation lists: read from a file, and held against the CAs whose they say they are."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from jobworker_server.errors import CertificateError

_CRL = re.compile(rb"-----BEGIN X509 CRL-----.*?-----END X509 CRL-----", re.DOTALL)


@dataclass(frozen=True, slots=True)
class RevocationList:
    """The list of one CA."""

    issuer: x509.Certificate
    serials: frozenset[int] = field(repr=False)
    """The serial numbers of the certificates that are revoked."""
    made: datetime
    expires: datetime | None
    """After it nobody knows what is revoked by now; None: it doesn't say when."""

    def is_of(self, ca: x509.Certificate) -> bool:
        """Whether it tells of what ``ca`` has issued: the certificate may be another one, the name and the key not."""
        return self.issuer.subject == ca.subject and self.issuer.public_key() == ca.public_key()


def load(path: Path, pem: bytes, authorities: Sequence[x509.Certificate]) -> list[RevocationList]:
    """The lists in a file, of several for one CA the newest.

    Raises:
        CertificateError: it does not hold one, or one that is of none of these CAs, or is not a whole list of
            what one CA has revoked.
    """
    newest: dict[x509.Certificate, RevocationList] = {}
    for crl in _parsed(path, pem):
        found = _of_its_issuer(path, crl, authorities)
        known = newest.get(found.issuer)
        if known is None or known.made < found.made:
            newest[found.issuer] = found
    return list(newest.values())


def _parsed(path: Path, pem: bytes) -> Iterable[x509.CertificateRevocationList]:
    blocks = _CRL.findall(pem)
    if not blocks or pem.count(b"-----BEGIN X509 CRL-----") != len(blocks):
        raise CertificateError(
            f"{path} does not hold a CRL in PEM, or not the whole of it; jobworker-pki revoke writes one, "
            "and openssl crl -inform DER makes one of DER"
        )
    try:
        return [x509.load_pem_x509_crl(block) for block in blocks]
    except ValueError as error:
        raise CertificateError(f"{path} holds a CRL that can't be read: {error}") from None


def _of_its_issuer(
    path: Path, crl: x509.CertificateRevocationList, authorities: Sequence[x509.Certificate]
) -> RevocationList:
    name = crl.issuer.rfc4514_string()
    issuer = next((ca for ca in authorities if ca.subject == crl.issuer and _has_signed(ca, crl)), None)
    if issuer is None:
        raise CertificateError(
            f"{path} holds a CRL of {name!r}, which is no CA of this server, or has not signed it; "
            "a CA, an intermediate one too, must be in the file of the CA"
        )
    if not _may_sign_crls(issuer):
        raise CertificateError(f"{path} holds a CRL of {name!r}, whose certificate does not allow it to sign CRLs")
    try:
        critical = [extension.oid.dotted_string for extension in crl.extensions if extension.critical]
        serials = frozenset(entry.serial_number for entry in crl)
    except (ValueError, x509.DuplicateExtension) as error:
        raise CertificateError(f"{path} holds a CRL of {name!r} that can't be read: {error}") from None
    if critical:
        raise CertificateError(
            f"the CRL of {name!r} in {path} is not a whole list of its CA (it has the extension {critical[0]}); "
            "give one that is"
        )
    return RevocationList(issuer, serials, crl.last_update_utc, crl.next_update_utc)


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
