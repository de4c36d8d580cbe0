"""Renewing: by whoever holds the CA at once, by anybody else with a request that the old certificate signs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from jobworker_pki import authority_files, facts, issuing, keys, layout, requests, revoking, role
from jobworker_pki.authority import Authority
from jobworker_pki.errors import RefusedError
from jobworker_pki.facts import Facts
from jobworker_pki.files import PRIVATE, PUBLIC, NewFile, locked, publish
from jobworker_pki.inventory import Inventory
from jobworker_pki.issuing import Credential
from jobworker_pki.key_types import PrivateKey, PublicKey, new_key, require_accepted, type_of
from jobworker_pki.passphrase import Passphrase
from jobworker_pki.registration import MAX_DAYS, Registration
from jobworker_pki.requesting import NEW_KEY_SUFFIX, kept

_PURPOSES = {"client": ExtendedKeyUsageOID.CLIENT_AUTH, "server": ExtendedKeyUsageOID.SERVER_AUTH}


def holds_authority(directory: Path) -> bool:
    """Return whether certificates can be issued in ``directory``."""
    return any((directory / f"{stem}.key").exists() for stem in (layout.INTERMEDIATE, layout.CA))


def due(directory: Path) -> list[str]:
    """Return the names of the files of ``directory`` whose certificates should be renewed now.

    Raises AuthorityError, LedgerError, UnreadableCertificateError.
    """
    inventory = Inventory.load(directory)
    wanted = {entry.facts.fingerprint for entry in inventory.entries if entry.state(issuing.now()) == "renewal due"}
    return [stem for stem, told in inventory.files() if told.fingerprint in wanted]


def renew(
    directory: Path, stem: str, passphrase: Passphrase, *, days: int | None = None, fresh_key: bool = False
) -> Credential:
    """Issue the certificate ``STEM.pem`` anew, with all that it says and as long as it was valid.

    The key stays, unless ``fresh_key``. What was there is kept as ``STEM.pem.old`` and ``STEM.key.old``.

    Raises RefusedError, AuthorityError, PassphraseError, LedgerError, UnreadableCertificateError, WriteError.
    """
    with locked(directory):
        authority = Authority.load(directory, passphrase)
        if authority is None:
            raise RefusedError(f"there is no CA in {directory} that could issue; --dir says where it is")
        inventory = Inventory.load(directory)
        old, told = facts.read(directory / f"{stem}.pem")
        _require_renewable(inventory, old, told, stem)
        key = _fresh_key(directory, stem) if fresh_key else None
        lifetime = timedelta(days=days) if days else told.until - told.begin - issuing.CLOCK_SKEW
        public = require_accepted(old.public_key()) if key is None else key.public_key()
        certificate = _certify(authority, old, public, lifetime)
        credential = Credential(stem, certificate, key, authority.chain)
        inventory.ledger.add_issued([certificate], email=inventory.email_of(old))
        files = [*credential.files(renewed=True), *kept(directory, f"{stem}.pem", PUBLIC), inventory.ledger.file()]
        files += revoking.missing_lists(inventory, passphrase)
        files += kept(directory, f"{stem}.key", PRIVATE) if fresh_key else []
        publish(directory, files, replace=False)
    return credential


def request(
    directory: Path, stem: str, *, days: int | None = None, fresh_key: bool = False, replace: bool = False
) -> Path:
    """Make a request that renews ``STEM.pem``, signed with its key. Returns the request's file.

    With ``fresh_key`` it is for a new key, ``STEM.key.new``, and signed with both.

    Raises RefusedError, KeyFileError, UnreadableCertificateError, AlreadyExistsError, WriteError.
    """
    path = directory / f"{stem}{requests.SUFFIX}"
    with locked(directory):
        old, told = facts.read(directory / f"{stem}.pem")
        old_key = keys.load(directory / f"{stem}.key", Passphrase())
        if old_key.public_key() != old.public_key():
            raise RefusedError(f"{directory / stem}.key is not the key of {stem}.pem; no renewal can be signed with it")
        if told.kind != "client":
            raise RefusedError(
                f"{directory / stem}.pem is not the certificate of a client; make a new one where the CA is"
            )
        lifetime = told.until - told.begin
        registration = Registration(
            told.name, None, told.role, days or min(max(lifetime.days, 1), MAX_DAYS), told.spiffe
        )
        registration.check()
        key = _fresh_key(directory, stem) if fresh_key else old_key
        csr = requests.build(registration, key)
        pem = requests.to_pem(csr, renews=old, old_key=old_key if fresh_key else None)
        files = [NewFile(path.name, pem, PUBLIC)]
        if fresh_key:
            files.append(NewFile(f"{stem}{NEW_KEY_SUFFIX}", keys.to_pem(key), PRIVATE))
        publish(directory, files, replace=replace)
    return path


def _require_renewable(inventory: Inventory, old: x509.Certificate, told: Facts, stem: str) -> None:
    name = inventory.directory / f"{stem}.pem"
    if not any(authority_files.is_issued_by(old, authority) for authority in inventory.authorities):
        raise RefusedError(f"{name} is not of the CA that is here, so it can't be renewed by it")
    if told.kind not in _PURPOSES:
        raise RefusedError(
            f"{name} is neither a client's nor a server's certificate; for a CA: jobworker-pki rotate-ca"
        )
    revocation = inventory.revocation_of(old)
    if revocation is not None:
        raise RefusedError(
            f"{name} was revoked on {revocation.when:%Y-%m-%d} ({revocation.reason}); issue a new one with --force"
        )


def _certify(authority: Authority, old: x509.Certificate, key: PublicKey, lifetime: timedelta) -> x509.Certificate:
    purpose = _PURPOSES[facts.of(old).kind]
    return authority.certify(old.subject, key, lifetime, purpose, _own_extensions(old))


def _own_extensions(certificate: x509.Certificate) -> Iterator[x509.ExtensionType]:
    for extension in certificate.extensions:
        if extension.oid in {role.OID, x509.SubjectAlternativeName.oid}:
            yield extension.value


def _fresh_key(directory: Path, stem: str) -> PrivateKey:
    path = directory / f"{stem}.key"
    if not path.exists():
        raise RefusedError(f"{path} is not here: whoever has it makes a request with jobworker-pki renew --new-key")
    return new_key(type_of(keys.load(path, Passphrase())))
