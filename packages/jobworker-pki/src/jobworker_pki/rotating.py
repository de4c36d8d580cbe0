"""Replacing a CA, with a time in which both the new and the old one are trusted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from jobworker_pki import authority_files, crl, issuing, keys, layout, revoking
from jobworker_pki.authority import Authority
from jobworker_pki.errors import RefusedError
from jobworker_pki.files import PRIVATE, PUBLIC, NewFile, locked, publish
from jobworker_pki.inventory import Entry, Inventory
from jobworker_pki.issuing import Credential
from jobworker_pki.key_types import KeyType, type_of
from jobworker_pki.passphrase import Passphrase
from jobworker_pki.provisioning import new_authorities

_OUTGOING = {layout.CA: layout.OLD_CA, layout.INTERMEDIATE: layout.OLD_INTERMEDIATE}


@dataclass(frozen=True)
class Rotation:
    """A rotation that has begun: the new CAs, and what still has to be renewed."""

    made: list[Credential]
    hanging: list[Entry]


def begin(
    directory: Path, passphrase: Passphrase, *, key_type: KeyType | None = None, intermediate_only: bool = False
) -> Rotation:
    """Make a new CA that issues from now on; ``ca.pem`` holds the new and the old one.

    Where there is an intermediate CA, there will be a new one, too; ``intermediate_only`` keeps the root, whose key has
    to be here then. The new keys are encrypted if the old one was, with the same passphrase.

    Raises RefusedError, AuthorityError, PassphraseError, LedgerError, UnreadableCertificateError, WriteError.
    """
    with locked(directory):
        issuer = Authority.load(directory, passphrase)
        if issuer is None:
            raise RefusedError(f"there is no CA in {directory} that could be replaced; jobworker-pki init makes one")
        if authority_files.load_outgoing(directory):
            raise RefusedError("a rotation is under way already; finish it first: jobworker-pki rotate-ca --finish")
        inventory = Inventory.load(directory)
        kind = key_type or type_of(issuer.key)
        secret = _secret(directory, issuer, passphrase)
        if intermediate_only:
            authorities = [_below_root(directory, issuer, kind, passphrase, secret)]
        else:
            authorities = new_authorities(kind, secret, intermediate=not issuer.is_root)
        made = [credential for _, credential in authorities]
        inventory.ledger.add_issued(credential.certificate for credential in made)
        lists = [crl.build(authority.certificate, authority.key, []) for authority, _ in authorities]
        root = _root_of(inventory, issuer)
        files = [file for credential in made for file in _files(directory, credential, root)]
        files += [crl.file([*lists, *revoking.current_lists(inventory, passphrase)]), inventory.ledger.file()]
        publish(directory, files, replace=True)
        return Rotation(made, _hanging(Inventory.load(directory)))


def hanging(directory: Path) -> list[Entry]:
    """Return what is accepted, is of a CA about to be dropped, and has not been renewed.

    Raises RefusedError where no rotation is under way, AuthorityError, LedgerError, UnreadableCertificateError.
    """
    if not authority_files.load_outgoing(directory):
        raise RefusedError(f"no rotation is under way in {directory}; jobworker-pki rotate-ca begins one")
    return _hanging(Inventory.load(directory))


def finish(directory: Path, known: list[Entry]) -> list[x509.Certificate]:
    """Drop the old CA: from ``ca.pem``, its revocation list and its key. Returns what was dropped.

    ``known`` is what hung on it when that was decided; there must not be more by now.

    Raises as :func:`hanging` does, and WriteError.
    """
    with locked(directory):
        outgoing = authority_files.load_outgoing(directory)
        if not {entry.facts.fingerprint for entry in hanging(directory)} <= {one.facts.fingerprint for one in known}:
            raise RefusedError("something changed while you decided; nothing was done, so look again")
        trusted = [one for one in authority_files.load_trusted(directory) if one not in outgoing]
        lists = [one for one in crl.read(directory) if not any(crl.is_of(one, old) for old in outgoing)]
        files = [NewFile(f"{layout.CA}.pem", issuing.to_pem(trusted), PUBLIC), crl.file(lists)]
        names = [f"{stem}.{suffix}" for stem in _OUTGOING.values() for suffix in ("pem", "key")]
        publish(directory, files, replace=True, remove=[name for name in names if (directory / name).exists()])
    return outgoing


def _hanging(inventory: Inventory) -> list[Entry]:
    return [
        entry
        for entry in inventory.entries
        if entry.outgoing and entry.is_accepted and not entry.renewed and entry.facts.kind != "authority"
    ]


def _secret(directory: Path, issuer: Authority, passphrase: Passphrase) -> bytes | None:
    path = directory / f"{layout.CA if issuer.is_root else layout.INTERMEDIATE}.key"
    return passphrase.of(path) if keys.is_encrypted(path) else None


def _below_root(
    directory: Path, issuer: Authority, kind: KeyType, passphrase: Passphrase, secret: bytes | None
) -> tuple[Authority, Credential]:
    if issuer.is_root:
        raise RefusedError(f"there is no intermediate CA in {directory}")
    path = directory / f"{layout.CA}.key"
    if not path.exists():
        raise RefusedError(f"{path} is not here; put the root's key there for as long as this command takes")
    root = Authority(*authority_files.load_root(directory, layout.CA, passphrase))
    below = root.intermediate(kind)
    return below, below.credential(layout.INTERMEDIATE, secret)


def _root_of(inventory: Inventory, issuer: Authority) -> x509.Certificate:
    below = issuer.certificate
    return next(one for one in inventory.authorities if authority_files.is_issued_by(below, one))


def _files(directory: Path, credential: Credential, root: x509.Certificate) -> list[NewFile]:
    """The files of a new CA, and those of the old one under the names of what is about to be dropped."""
    stem, old_stem = credential.stem, _OUTGOING[credential.stem]
    new, (old_key, old_pem) = credential.files(), (directory / f"{stem}.{suffix}" for suffix in ("key", "pem"))
    old: list[NewFile] = []
    if old_key.exists():
        old.append(NewFile(f"{old_stem}.key", old_key.read_bytes(), PRIVATE))
    present = old_pem.read_bytes()
    if stem == layout.CA:
        old.append(NewFile(f"{old_stem}.pem", issuing.to_pem([root]), PUBLIC))
        new[-1] = NewFile(f"{stem}.pem", new[-1].content + present, PUBLIC)  # what was trusted is trusted on
    else:
        old.append(NewFile(f"{old_stem}.pem", present, PUBLIC))
    return [*old, *new]
