"""Making certificates: the contents of each kind, and the files that hold them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from jobworker_pki import keys
from jobworker_pki.files import PRIVATE, PUBLIC, NewFile
from jobworker_pki.key_types import PrivateKey, PublicKey, signing_hash

CLOCK_SKEW = timedelta(minutes=5)
"""How far in the past validity begins, for peers whose clocks are behind."""


@dataclass(frozen=True)
class Credential:
    """A certificate and its private key, where that is here; ``stem`` names their files.

    ``chain``: the certificates between this one and the root, which go with it. ``passphrase`` encrypts the key.
    """

    stem: str
    certificate: x509.Certificate
    key: PrivateKey | None = field(repr=False)
    chain: tuple[x509.Certificate, ...] = ()
    passphrase: bytes | None = field(default=None, repr=False)

    def files(self, *, renewed: bool = False) -> list[NewFile]:
        """Return the pair as files, ``STEM.key`` and ``STEM.pem``; ``renewed``: they take the place of older ones."""
        pem = to_pem((self.certificate, *self.chain))
        public = NewFile(f"{self.stem}.pem", pem, PUBLIC, renewed)
        if self.key is None:
            return [public]
        return [NewFile(f"{self.stem}.key", keys.to_pem(self.key, self.passphrase), PRIVATE, renewed), public]


def to_pem(certificates: tuple[x509.Certificate, ...] | list[x509.Certificate]) -> bytes:
    """Return ``certificates`` one after the other in PEM form."""
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)


def now() -> datetime:
    """Return the time as certificates hold it: UTC, whole seconds."""
    return datetime.now(UTC).replace(microsecond=0)


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


def self_signed(subject: x509.Name, key: PrivateKey, lifetime: timedelta, path_length: int = 0) -> x509.Certificate:
    """Return the certificate of a root; with ``path_length`` 0 it issues leaves only."""
    begin = now()
    builder = _builder(subject, key.public_key(), begin - CLOCK_SKEW, begin + lifetime)
    authority_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())
    builder = _authority(builder, path_length).issuer_name(subject).add_extension(authority_key, critical=False)
    return builder.sign(key, signing_hash(key))


def intermediate(
    subject: x509.Name, key: PublicKey, lifetime: timedelta, issuer: x509.Certificate
) -> x509.CertificateBuilder:
    """Return the certificate of an authority below a root, still to be signed; it issues leaves only."""
    return _issued_by(issuer, _authority(_within(issuer, subject, key, lifetime), path_length=0))


def leaf(
    subject: x509.Name,
    key: PublicKey,
    lifetime: timedelta,
    purpose: x509.ObjectIdentifier,
    issuer: x509.Certificate,
) -> x509.CertificateBuilder:
    """Return a certificate still to be signed. It ends with ``lifetime``, or with its issuer if that is sooner."""
    builder = _within(issuer, subject, key, lifetime)
    builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    builder = builder.add_extension(key_usage(leaf=True), critical=True)
    builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    return _issued_by(issuer, builder)


def _authority(builder: x509.CertificateBuilder, path_length: int) -> x509.CertificateBuilder:
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
    return builder.add_extension(key_usage(leaf=False), critical=True)


def _within(
    issuer: x509.Certificate, subject: x509.Name, key: PublicKey, lifetime: timedelta
) -> x509.CertificateBuilder:
    begin = now()
    return _builder(
        subject,
        key,
        max(begin - CLOCK_SKEW, issuer.not_valid_before_utc),
        min(begin + lifetime, issuer.not_valid_after_utc),
    )


def _builder(subject: x509.Name, key: PublicKey, begin: datetime, end: datetime) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
    )


def _issued_by(issuer: x509.Certificate, builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
    return builder.issuer_name(issuer.subject).add_extension(authority_key(issuer), critical=False)


def authority_key(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    """Return the extension that tells which key of which issuer signed."""
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
