"""Reading the certificates and keys of a directory's authorities, and checking that they can be used."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from jobworker_pki import issuing, keys, layout
from jobworker_pki.errors import AuthorityError, KeyFileError, UnreadableCertificateError
from jobworker_pki.key_types import PrivateKey
from jobworker_pki.passphrase import Passphrase
from jobworker_pki.reading import MALFORMED, read_certificate, read_certificates

Pair = tuple[x509.Certificate, PrivateKey]


def load_issuing(directory: Path, passphrase: Passphrase) -> Pair | None:
    """Return the certificate and key that issue in ``directory``: the intermediate CA's, or else the root's.

    None where there is nothing of a CA. Raises AuthorityError, PassphraseError.
    """
    if _lacks_nothing_of(directory, layout.INTERMEDIATE):
        pair = _load_intermediate(directory, layout.INTERMEDIATE, passphrase)
    elif _lacks_nothing_of(directory, layout.CA):
        pair = load_root(directory, layout.CA, passphrase)
    else:
        return None
    problem = _problem_now(pair[0])
    if problem is not None:
        raise AuthorityError(f"the CA certificate {pair[0].subject.rfc4514_string()} in {directory} {problem}")
    return pair


def load_root(directory: Path, stem: str, passphrase: Passphrase) -> Pair:
    """Return the key in ``STEM.key`` and the certificate in ``ca.pem`` that goes with it.

    Raises AuthorityError, PassphraseError.
    """
    trusted, key_path = load_trusted(directory), directory / f"{stem}.key"
    key = _load_key(key_path, passphrase)
    for certificate in trusted:
        if certificate.public_key() == key.public_key():
            return certificate, key
    raise AuthorityError(f"{key_path} is not the key of {directory / 'ca.pem'}; put the right one in its place")


def load_trusted(directory: Path) -> list[x509.Certificate]:
    """Return the CA certificates in ``ca.pem``, the newest first. Raises AuthorityError."""
    path = directory / f"{layout.CA}.pem"
    try:
        certificates = read_certificates(path)
        unusable = [certificate for certificate in certificates if not _may_issue(certificate)]
    except UnreadableCertificateError as error:
        raise AuthorityError(f"the CA can't issue: {error}") from error
    except MALFORMED as error:
        raise AuthorityError(f"{path} can't be read as a certificate: {error}") from error
    if unusable:
        raise AuthorityError(f"{path} is not the certificate of a CA: it lacks what RFC 5280 asks of one")
    return certificates


def load_intermediates(directory: Path) -> list[x509.Certificate]:
    """Return the certificates of the intermediate CAs that are there, the newest first. Raises AuthorityError."""
    return _load_those(directory, (layout.INTERMEDIATE, layout.OLD_INTERMEDIATE))


def load_outgoing(directory: Path) -> list[x509.Certificate]:
    """Return the certificates of the CAs that a rotation is about to drop. Raises AuthorityError."""
    return _load_those(directory, (layout.OLD_CA, layout.OLD_INTERMEDIATE))


def load_revoking(directory: Path, certificate: x509.Certificate, passphrase: Passphrase) -> PrivateKey | None:
    """Return the private key of the CA ``certificate``, None where it is not in ``directory``.

    Raises AuthorityError, PassphraseError.
    """
    stems = (layout.INTERMEDIATE, layout.CA, layout.OLD_INTERMEDIATE, layout.OLD_CA)
    for path in (directory / f"{stem}.key" for stem in stems):
        if os.path.lexists(path):
            key = _load_key(path, passphrase)
            if key.public_key() == certificate.public_key():
                return key
    return None


def is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Return whether ``issuer`` signed ``certificate``."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (*MALFORMED, InvalidSignature):
        return False
    return True


def _load_those(directory: Path, stems: tuple[str, ...]) -> list[x509.Certificate]:
    paths = [directory / f"{stem}.pem" for stem in stems]
    return [_load_authority(path) for path in paths if os.path.lexists(path)]


def _load_authority(path: Path) -> x509.Certificate:
    try:
        certificate = read_certificate(path)
        may_issue = _may_issue(certificate)
    except UnreadableCertificateError as error:
        raise AuthorityError(f"the CA can't issue: {error}") from error
    except MALFORMED as error:
        raise AuthorityError(f"{path} can't be read as a certificate: {error}") from error
    if not may_issue:
        raise AuthorityError(f"{path} is not the certificate of a CA: it lacks what RFC 5280 asks of one")
    return certificate


def _load_intermediate(directory: Path, stem: str, passphrase: Passphrase) -> Pair:
    path, key_path = directory / f"{stem}.pem", directory / f"{stem}.key"
    certificate = _load_authority(path)
    if not any(is_issued_by(certificate, root) for root in load_trusted(directory)):
        raise AuthorityError(
            f"{path} is not of the CA in {directory / 'ca.pem'}, so nobody would accept what it issues"
        )
    key = _load_key(key_path, passphrase)
    if key.public_key() != certificate.public_key():
        raise AuthorityError(f"{key_path} is not the key of {path}; put the right one in its place")
    return certificate, key


def _lacks_nothing_of(directory: Path, stem: str) -> bool:
    paths = [directory / f"{stem}.pem", directory / f"{stem}.key"]
    missing = [path for path in paths if not os.path.lexists(path)]
    if len(missing) == 1:
        raise AuthorityError(
            f"{missing[0]} is missing, so the CA in {directory} can't issue. "
            "Put the file back, or use another --dir, or make everything anew with: jobworker-pki init --force"
        )
    return not missing


def _problem_now(certificate: x509.Certificate) -> str | None:
    """Say why nothing issued under ``certificate`` would be accepted now, if so."""
    if certificate.not_valid_after_utc <= issuing.now():
        return (
            f"has expired ({certificate.not_valid_after_utc:%Y-%m-%d}); make a new CA with: jobworker-pki init --force"
        )
    if certificate.not_valid_before_utc > issuing.now():
        return f"is not valid before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC; is this host's clock right?"
    return None


def _may_issue(certificate: x509.Certificate) -> bool:
    extensions = certificate.extensions
    try:
        extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        constraints = extensions.get_extension_for_class(x509.BasicConstraints).value
        usage = extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        return False
    return constraints.ca and usage.key_cert_sign


def _load_key(path: Path, passphrase: Passphrase) -> PrivateKey:
    try:
        return keys.load(path, passphrase)
    except KeyFileError as error:
        raise AuthorityError(f"the CA can't issue: {error}") from error
