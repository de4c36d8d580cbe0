"""Requests: a PKCS #10 request in a PEM file that can be mailed.

Everything that is asked for stands inside of it, signed with the key that the certificate will be for: the registration
data as JSON in the attribute unstructuredName, the name as the subject's common name too. A renewal is followed by the
certificate that it renews and, where the key is a new one, by a signature made with the old key.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AttributeOID

from jobworker_pki import facts, issuing
from jobworker_pki.errors import InvalidValueError, RequestError
from jobworker_pki.key_types import PrivateKey, PublicKey, require_accepted, signing_hash
from jobworker_pki.reading import MALFORMED, read_at_most
from jobworker_pki.registration import MAX_FILE_BYTES, Registration

SUFFIX = ".csr"

_CONTEXT = b"jobworker-pki renewal\0"
_MAX_BLOCKS = 3
_LABEL = "RENEWAL SIGNATURE"
_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----\r?\n(.*?)-----END \1-----", re.DOTALL)
_INTRODUCTION = "A request for a certificate of jobworker, to be sent to whoever holds the CA. It holds no secret."


@dataclass(frozen=True)
class Request:
    """A request whose sender has the private key; ``renews`` is a certificate of which the sender has the key too."""

    registration: Registration
    csr: x509.CertificateSigningRequest
    key: PublicKey
    renews: x509.Certificate | None = None

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of what the sender signed, in hexadecimal digits: there are many signatures of one content."""
        digest = hashes.Hash(hashes.SHA256())
        digest.update(self.csr.tbs_certrequest_bytes)
        return digest.finalize().hex()


def build(registration: Registration, key: PrivateKey) -> x509.CertificateSigningRequest:
    """Return the PKCS #10 request for ``registration``, signed with ``key``."""
    data = {name: value for name, value in asdict(registration).items() if value is not None}
    builder = x509.CertificateSigningRequestBuilder().subject_name(issuing.common_name(registration.name))
    builder = builder.add_attribute(AttributeOID.UNSTRUCTURED_NAME, json.dumps(data).encode())
    return builder.sign(key, signing_hash(key))


def to_pem(
    csr: x509.CertificateSigningRequest,
    *,
    renews: x509.Certificate | None = None,
    old_key: PrivateKey | None = None,
) -> bytes:
    """Return a request as a file; ``old_key`` signs it too where that is not the key that the request is for."""
    parts = [f"{_INTRODUCTION}\n".encode(), csr.public_bytes(Encoding.PEM)]
    if renews is not None:
        parts.append(renews.public_bytes(Encoding.PEM))
    if old_key is not None:
        text = base64.encodebytes(_sign(old_key, _CONTEXT + csr.tbs_certrequest_bytes)).decode()
        parts.append(f"-----BEGIN {_LABEL}-----\n{text}-----END {_LABEL}-----\n".encode())
    return b"".join(parts)


def read(path: Path) -> Request:
    """Return the request in ``path``. Raises RequestError for one that can't be used, whatever is wrong with it."""
    try:
        return _parse(path, _read(path))
    except InvalidValueError as error:
        raise RequestError(path, f"its {error.field} {error.problem}") from error
    except MALFORMED as error:
        raise RequestError(path, "the request is damaged") from error


def _read(path: Path) -> dict[bytes, bytes]:
    try:
        content = read_at_most(path, MAX_FILE_BYTES + 1)
    except OSError as error:
        raise RequestError(path, error.strerror or "can't be read") from error
    if len(content) > MAX_FILE_BYTES:
        raise RequestError(path, f"is larger than {MAX_FILE_BYTES} bytes, so it is no request")
    if content.count(b"-----BEGIN ") > _MAX_BLOCKS:
        raise RequestError(path, "holds more than one request")
    found = [(match[1].removeprefix(b"NEW "), match[0]) for match in _BLOCK.finditer(content)]
    blocks = dict(found)
    if b"CERTIFICATE REQUEST" not in blocks:
        raise RequestError(path, "is not a request in PEM form")
    if len(blocks) != len(found):
        raise RequestError(path, "holds more than one request")
    return blocks


def _parse(path: Path, blocks: dict[bytes, bytes]) -> Request:
    csr = x509.load_pem_x509_csr(blocks[b"CERTIFICATE REQUEST"])
    try:
        key = require_accepted(csr.public_key())
    except ValueError as error:
        raise RequestError(path, f"no certificate can be issued for it: {error}") from error
    if not csr.is_signature_valid:
        raise RequestError(path, "its signature is wrong: it was changed, or its sender doesn't have the private key")
    registration = _registration(path, csr)
    registration.check()
    renews = blocks.get(b"CERTIFICATE")
    if renews is None:
        return Request(registration, csr, key)
    old = x509.load_pem_x509_certificate(renews)
    facts.of(old)  # so that nobody has to expect a malformed one later
    _require_signed_by(path, old, csr, blocks.get(_LABEL.encode()))
    return Request(registration, csr, key, old)


def _registration(path: Path, csr: x509.CertificateSigningRequest) -> Registration:
    names = facts.common_names(csr)
    if len(names) != 1:
        raise RequestError(path, "its subject does not have exactly one common name")
    try:
        raw = csr.attributes.get_attribute_for_oid(AttributeOID.UNSTRUCTURED_NAME).value
    except x509.AttributeNotFound:
        return Registration(names[0])
    try:
        data = json.loads(raw)
    except RecursionError:
        data = None
    types = {"name": str, "email": str, "role": str, "days": int, "spiffe": str}
    if not isinstance(data, dict) or not all(type(value) is types.get(key) for key, value in data.items()):
        raise RequestError(path, "its registration data is not what jobworker-pki request writes")
    if data.get("name") != names[0]:
        raise RequestError(path, "it names two different clients, one in its subject and one in its registration data")
    return Registration(**data)


def _require_signed_by(
    path: Path, old: x509.Certificate, csr: x509.CertificateSigningRequest, signature: bytes | None
) -> None:
    old_key = require_accepted(old.public_key())
    if signature is None:
        if old_key != csr.public_key():
            raise RequestError(path, "it has a new key and is not signed with that of the certificate that it renews")
        return
    encoded = signature.split(b"\n", 1)[1].rsplit(b"-----END", 1)[0]
    try:
        _verify(old_key, base64.b64decode(encoded), _CONTEXT + csr.tbs_certrequest_bytes)
    except InvalidSignature:
        raise RequestError(path, "the signature with the key of the certificate that it renews is wrong") from None


def _sign(key: PrivateKey, content: bytes) -> bytes:
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(content, padding.PKCS1v15(), hashes.SHA256())
    return key.sign(content, ec.ECDSA(hashes.SHA256()))


def _verify(key: PublicKey, signature: bytes, content: bytes) -> None:
    if isinstance(key, rsa.RSAPublicKey):
        key.verify(signature, content, padding.PKCS1v15(), hashes.SHA256())
    else:
        key.verify(signature, content, ec.ECDSA(hashes.SHA256()))
