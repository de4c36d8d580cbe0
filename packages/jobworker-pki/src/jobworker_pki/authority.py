"""A certificate authority: a root, or an intermediate one below it."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from jobworker_pki import authority_files, issuing, layout
from jobworker_pki.issuing import Credential
from jobworker_pki.key_types import KeyType, PrivateKey, PublicKey, new_key, signing_hash
from jobworker_pki.passphrase import Passphrase
from jobworker_pki.profile import Profile

LIFETIME = timedelta(days=3650)
INTERMEDIATE_LIFETIME = timedelta(days=1825)
SERVER_LIFETIME = timedelta(days=365)


@dataclass(frozen=True)
class Authority:
    """A certificate authority that can issue: certificate and key belong together."""

    certificate: x509.Certificate
    key: PrivateKey = field(repr=False)

    @classmethod
    def create(cls, key_type: KeyType = KeyType.ECDSA_P256, *, path_length: int = 0) -> Authority:
        """Return a new root, which exists only in memory; ``path_length`` is how many CAs may stand below it."""
        key = new_key(key_type)
        # The suffix tells the authorities of two directories, or the old and the new one, apart.
        subject = issuing.common_name(f"jobworker CA {secrets.token_hex(4)}")
        return cls(issuing.self_signed(subject, key, LIFETIME, path_length), key)

    @classmethod
    def load(cls, directory: Path, passphrase: Passphrase | None = None) -> Authority | None:
        """Return what issues in ``directory``, valid now; None where there is nothing of one.

        Raises AuthorityError, PassphraseError.
        """
        found = authority_files.load_issuing(directory, passphrase or Passphrase())
        return None if found is None else cls(*found)

    def intermediate(self, key_type: KeyType) -> Authority:
        """Return a new authority below this one."""
        key = new_key(key_type)
        subject = issuing.common_name(f"jobworker intermediate CA {secrets.token_hex(4)}")
        builder = issuing.intermediate(subject, key.public_key(), INTERMEDIATE_LIFETIME, self.certificate)
        return Authority(self.sign(builder), key)

    @property
    def is_root(self) -> bool:
        """Whether nothing stands above it."""
        return self.certificate.issuer == self.certificate.subject

    @property
    def chain(self) -> tuple[x509.Certificate, ...]:
        """What goes with a certificate that it issued, for peers that know the root alone."""
        return () if self.is_root else (self.certificate,)

    def credential(self, stem: str = layout.CA, passphrase: bytes | None = None) -> Credential:
        """Return the authority's own certificate and key, to be written."""
        return Credential(stem, self.certificate, self.key, passphrase=passphrase)

    def sign(self, builder: x509.CertificateBuilder) -> x509.Certificate:
        """Return the certificate that ``builder`` makes, signed."""
        return builder.sign(self.key, signing_hash(self.key))

    def certify_client(self, profile: Profile, key: PublicKey, lifetime: timedelta) -> x509.Certificate:
        """Return the certificate of a client whose key is elsewhere."""
        purpose = ExtendedKeyUsageOID.CLIENT_AUTH
        return self.certify(profile.subject(), key, lifetime, purpose, profile.extensions())

    def certify(
        self,
        subject: x509.Name,
        key: PublicKey,
        lifetime: timedelta,
        purpose: x509.ObjectIdentifier,
        extensions: Iterable[x509.ExtensionType],
    ) -> x509.Certificate:
        """Return a leaf with further ``extensions``, none of them critical."""
        builder = issuing.leaf(subject, key, lifetime, purpose, self.certificate)
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        return self.sign(builder)

    def issue_client(self, profile: Profile, lifetime: timedelta, key_type: KeyType = KeyType.ECDSA_P256) -> Credential:
        """Return a client's certificate and a new key."""
        key = new_key(key_type)
        return Credential(profile.name, self.certify_client(profile, key.public_key(), lifetime), key, self.chain)

    def issue_server(self, names: Iterable[x509.GeneralName], key_type: KeyType = KeyType.ECDSA_P256) -> Credential:
        """Return a server's certificate, valid for each of ``names``, and a new key."""
        key = new_key(key_type)
        subject = issuing.common_name("jobworker-server")
        purpose = ExtendedKeyUsageOID.SERVER_AUTH
        extensions = [x509.SubjectAlternativeName(list(names))]
        certificate = self.certify(subject, key.public_key(), SERVER_LIFETIME, purpose, extensions)
        return Credential(layout.SERVER, certificate, key, self.chain)
