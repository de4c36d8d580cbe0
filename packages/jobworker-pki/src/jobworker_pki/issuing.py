"""Making certificates: the contents of each kind, and the key that goes with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from jobworker_pki.files import PRIVATE, PUBLIC, NewFile

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

CLOCK_SKEW = timedelta(minutes=5)
"""How far in the past validity begins, for peers whose clocks are behind."""


@dataclass(frozen=True)
class Credential:
    """A certificate and its private key; ``stem`` names their files."""

    stem: str
    certificate: x509.Certificate
    key: PrivateKey = field(repr=False)

    def files(self) -> list[NewFile]:
        """Return the pair as files, ``STEM.key`` and ``STEM.pem``."""
        key = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return [
            NewFile(f"{self.stem}.key", key, PRIVATE),
            NewFile(f"{self.stem}.pem", self.certificate.public_bytes(Encoding.PEM), PUBLIC),
        ]


def now() -> datetime:
    """Return the time as certificates hold it: UTC, whole seconds."""
    return datetime.now(UTC).replace(microsecond=0)


def new_key() -> PrivateKey:
    """Return a new ECDSA P-256 key."""
    return ec.generate_private_key(ec.SECP256R1())


def common_name(name: str) -> x509.Name:
    """Return the distinguished name that is ``name`` and nothing else."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def key_usage(*, leaf: bool) -> x509.KeyUsage:
    """Return what a key is for: a leaf's to sign handshakes, an authority's to sign certificates and CRLs."""
    return x509.KeyUsage(
        digital_signature=leaf,
        key_cert_sign=not leaf,
        crl_sign=not leaf,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def self_signed(subject: x509.Name, key: PrivateKey, lifetime: timedelta) -> x509.Certificate:
    """Return the certificate of a certificate authority that issues leaves only."""
    begin = now()
    builder = _builder(subject, key, begin - CLOCK_SKEW, begin + lifetime)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(key_usage(leaf=False), critical=True)
    authority_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
    return builder.issuer_name(subject).add_extension(authority_key, critical=False).sign(key, hashes.SHA256())


def leaf(
    subject: x509.Name,
    key: PrivateKey,
    lifetime: timedelta,
    purpose: x509.ObjectIdentifier,
    issuer: x509.Certificate,
) -> x509.CertificateBuilder:
    """Return a certificate still to be signed. It ends with ``lifetime``, or with its issuer if that is sooner."""
    begin = now()
    builder = _builder(
        subject,
        key,
        max(begin - CLOCK_SKEW, issuer.not_valid_before_utc),
        min(begin + lifetime, issuer.not_valid_after_utc),
    )
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(key_usage(leaf=True), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    return builder.issuer_name(issuer.subject).add_extension(_authority_key(issuer), critical=False)


def _builder(subject: x509.Name, key: PrivateKey, begin: datetime, end: datetime) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _authority_key(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
