"""Reading certificates from PEM files, which may be anything at all."""

from __future__ import annotations

import os
import re
from itertools import pairwise
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from jobworker_pki.errors import UnreadableCertificateError

MAX_FILE_BYTES = 1 << 20

MALFORMED = (
    ValueError,
    KeyError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
"""What cryptography raises for malformed certificates, on reading one or when it is asked what the certificate says."""

_LABEL = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----")
_CERTIFICATE = b"CERTIFICATE"


def read_certificate(path: Path) -> x509.Certificate:
    """Return the certificate in ``path``, the first where intermediate CAs' go with it.

    Raises UnreadableCertificateError, also where it holds several that don't belong together.
    """
    certificates = read_certificates(path)
    if len(certificates) > 1 and not _is_chain(certificates):
        raise UnreadableCertificateError(path, f"holds {len(certificates)} certificates; give a file with one")
    return certificates[0]


def read_certificates(path: Path) -> list[x509.Certificate]:
    """Return all the certificates in ``path``, one or more. Raises UnreadableCertificateError."""
    pem = read_bytes(path)
    labels = _LABEL.findall(pem)
    if not labels.count(_CERTIFICATE):
        raise UnreadableCertificateError(path, _what_it_is(labels))
    try:
        return x509.load_pem_x509_certificates(pem)
    except MALFORMED as error:
        raise UnreadableCertificateError(path, "the certificate is damaged") from error


def read_at_most(path: Path, size: int) -> bytes:
    """Return the first ``size`` bytes of ``path``; a pipe that nobody writes to is empty, not waited for.

    Raises OSError.
    """
    with open(path, "rb", opener=_open_at_once) as stream:
        return stream.read(size)


def _open_at_once(path: str, flags: int) -> int:
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    os.set_blocking(descriptor, True)
    return descriptor


def read_bytes(path: Path, limit: int = MAX_FILE_BYTES) -> bytes:
    """Return the content of ``path``. Raises UnreadableCertificateError, also for more than ``limit`` bytes."""
    try:
        content = read_at_most(path, limit + 1)
    except OSError as error:
        raise UnreadableCertificateError(path, error.strerror or "can't be read") from error
    if len(content) > limit:
        raise UnreadableCertificateError(path, "is too large to be a certificate")
    return content


def _is_chain(certificates: list[x509.Certificate]) -> bool:
    return all(lower.issuer == upper.subject for lower, upper in pairwise(certificates))


def _what_it_is(labels: list[bytes]) -> str:
    if any(label.endswith(b"PRIVATE KEY") for label in labels):
        return "holds a private key, not a certificate; give the .pem file that goes with it"
    if any(label.endswith(b"CERTIFICATE REQUEST") for label in labels):
        return "holds a certificate request, not a certificate"
    return "is not a certificate in PEM form (openssl x509 -inform DER converts one in DER form)"
