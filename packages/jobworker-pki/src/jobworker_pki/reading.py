"""Reading the one certificate that a PEM file holds."""

from __future__ import annotations

import re
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
    """Return the certificate in ``path``. Raises UnreadableCertificateError unless there is exactly one."""
    pem = _read(path)
    labels = _LABEL.findall(pem)
    if labels.count(_CERTIFICATE) != 1:
        raise UnreadableCertificateError(path, _what_it_is(labels))
    try:
        return x509.load_pem_x509_certificate(pem)
    except MALFORMED as error:
        raise UnreadableCertificateError(path, "the certificate is damaged") from error


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise UnreadableCertificateError(path, error.strerror or "can't be read") from error
    if len(content) > MAX_FILE_BYTES:
        raise UnreadableCertificateError(path, "is too large to be a certificate")
    return content


def _what_it_is(labels: list[bytes]) -> str:
    if count := labels.count(_CERTIFICATE):
        return f"holds {count} certificates; give a file with one"
    if any(label.endswith(b"PRIVATE KEY") for label in labels):
        return "holds a private key, not a certificate; give the .pem file that goes with it"
    if any(label.endswith(b"CERTIFICATE REQUEST") for label in labels):
        return "holds a certificate request, not a certificate"
    return "is not a certificate in PEM form (openssl x509 -inform DER converts one in DER form)"
