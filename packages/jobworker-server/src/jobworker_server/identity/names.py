"""The name of the holder of a certificate, and whose the jobs are that it starts."""

from __future__ import annotations

import hashlib
import re

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from jobworker_server.errors import UnauthenticatedError
from jobworker_server.identity.plain import LONGEST, is_plain

_SPIFFE_SCHEME = "spiffe:"
_KEY_SCHEME = "sha256:"
_SPIFFE_ID = re.compile(r"spiffe://[a-z0-9._-]+(/(?!\.{1,2}(/|$))[A-Za-z0-9._-]+)+")


def name(certificate: x509.Certificate) -> str:
    """The SPIFFE ID where the certificate has one, or else the common name.

    Raises:
        UnauthenticatedError: it has no name, several, or one that can't be used.
    """
    uris = _uris(certificate)
    if any(uri.lower().startswith(_SPIFFE_SCHEME) for uri in uris):
        return _spiffe_id(uris)
    names = [item.value for item in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if not names:
        raise UnauthenticatedError("NO_NAME", "the client's certificate has no common name; issue one that has")
    found = names[0]
    if len(names) > 1 or not isinstance(found, str) or not is_plain(found):
        raise UnauthenticatedError("BAD_NAME", "the client's certificate must have one common name of printable text")
    if found.lower().startswith((_SPIFFE_SCHEME, _KEY_SCHEME)):
        raise UnauthenticatedError(
            "BAD_NAME", "the common name of the client's certificate looks like a SPIFFE ID, or the hash of a key"
        )
    return found


def key_owner(certificate: x509.Certificate) -> str:
    """The owner that stands for the certificate's public key, whoever certifies it: ``sha256:`` and 64 digits."""
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return _KEY_SCHEME + hashlib.sha256(key).hexdigest()


def _uris(certificate: x509.Certificate) -> list[str]:
    for extension in certificate.extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName):
            return extension.value.get_values_for_type(x509.UniformResourceIdentifier)
    return []


def _spiffe_id(uris: list[str]) -> str:
    if len(uris) > 1:
        raise UnauthenticatedError("BAD_NAME", "the client's certificate has a SPIFFE ID and other URIs beside it")
    if len(uris[0]) > LONGEST or not _SPIFFE_ID.fullmatch(uris[0]):
        raise UnauthenticatedError(
            "BAD_NAME",
            f"the SPIFFE ID in the client's certificate must be like spiffe://example.org/path, "
            f"of at most {LONGEST} characters",
        )
    return uris[0]
