"""Certificate revocation lists: ``crl.pem`` holds one for each CA, each valid as long as its CA is."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from jobworker_pki import issuing, layout
from jobworker_pki.errors import UnreadableCertificateError
from jobworker_pki.files import PUBLIC, NewFile
from jobworker_pki.key_types import PrivateKey, signing_hash
from jobworker_pki.ledger import Revocation
from jobworker_pki.reading import MALFORMED, read_bytes


class Reason(StrEnum):
    """Why a certificate is revoked; the names are those of ``x509.ReasonFlags``."""

    UNSPECIFIED = "unspecified"
    KEY_COMPROMISE = "key-compromise"
    AFFILIATION_CHANGED = "affiliation-changed"
    SUPERSEDED = "superseded"
    CESSATION_OF_OPERATION = "cessation-of-operation"
    PRIVILEGE_WITHDRAWN = "privilege-withdrawn"


_FLAGS = {reason.value: x509.ReasonFlags[reason.name.lower()] for reason in Reason}
_BLOCK = re.compile(rb"-----BEGIN X509 CRL-----.*?-----END X509 CRL-----", re.DOTALL)
_MAX_BYTES = 16 << 20

List = x509.CertificateRevocationList


def read(directory: Path) -> list[List]:
    """Return the lists in ``crl.pem``, none where there is no such file. Raises UnreadableCertificateError."""
    path = directory / f"{layout.CRL}.pem"
    if not path.exists():
        return []
    pem = read_bytes(path, _MAX_BYTES)
    try:
        lists = [x509.load_pem_x509_crl(block) for block in _BLOCK.findall(pem)]
    except MALFORMED as error:
        raise UnreadableCertificateError(path, "a revocation list in it is damaged; put a copy of it back") from error
    if not lists:
        raise UnreadableCertificateError(path, "is not a revocation list in PEM form")
    return lists


def file(lists: Iterable[List]) -> NewFile:
    """Return ``crl.pem``, which takes the place of what is there."""
    content = b"".join(one.public_bytes(Encoding.PEM) for one in lists)
    return NewFile(f"{layout.CRL}.pem", content, PUBLIC, replace=True)


def is_of(one: List, authority: x509.Certificate) -> bool:
    """Return whether ``authority`` signed the list."""
    try:
        return one.issuer == authority.subject and one.is_signature_valid(authority.public_key())  # type: ignore[arg-type] # another kind of key is a TypeError
    except MALFORMED:
        return False


def may_sign(authority: x509.Certificate) -> bool:
    """Return whether ``authority`` may sign lists; one of the user's own may be for certificates only."""
    try:
        return authority.extensions.get_extension_for_class(x509.KeyUsage).value.crl_sign
    except x509.ExtensionNotFound:
        return False


def revocations(one: List, authority: x509.Certificate) -> list[Revocation]:
    """Return what the list of ``authority`` says."""
    return [
        Revocation(entry.serial_number, key_of(authority), entry.revocation_date_utc, _reason(entry)) for entry in one
    ]


def key_of(authority: x509.Certificate) -> str:
    """Return the key identifier of ``authority``, as what it issued names it."""
    return authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest.hex()


def build(
    authority: x509.Certificate, key: PrivateKey, revoked: Iterable[Revocation], previous: List | None = None
) -> List:
    """Return a new list of ``authority``: what is ``revoked`` and, so that none is lost, what was in ``previous``."""
    now = issuing.now()
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.subject)
        .last_update(max(now - issuing.CLOCK_SKEW, authority.not_valid_before_utc))
        .next_update(authority.not_valid_after_utc)
        .add_extension(issuing.authority_key(authority), critical=False)
        .add_extension(x509.CRLNumber(_number(previous)), critical=False)
    )
    entries = {entry.serial: entry for entry in revoked}
    if previous is not None:
        entries |= {entry.serial: entry for entry in revocations(previous, authority)}
    for entry in entries.values():
        builder = builder.add_revoked_certificate(_entry(entry))
    return builder.sign(key, signing_hash(key))


def _number(previous: List | None) -> int:
    """A number that grows even where the previous list was lost."""
    number = time.time_ns() // 1000
    if previous is None:
        return number
    try:
        return max(number, previous.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number + 1)
    except x509.ExtensionNotFound:
        return number


def _entry(revocation: Revocation) -> x509.RevokedCertificate:
    builder = x509.RevokedCertificateBuilder(revocation.serial, revocation.when)
    reason = _FLAGS.get(revocation.reason, x509.ReasonFlags.unspecified)
    if reason is not x509.ReasonFlags.unspecified:  # RFC 5280 wants it left out then
        builder = builder.add_extension(x509.CRLReason(reason), critical=False)
    return builder.build()


def _reason(entry: x509.RevokedCertificate) -> str:
    try:
        flag = entry.extensions.get_extension_for_class(x509.CRLReason).value.reason
    except x509.ExtensionNotFound:
        return "unspecified"
    return next((name for name, reason in _FLAGS.items() if reason is flag), flag.value)
