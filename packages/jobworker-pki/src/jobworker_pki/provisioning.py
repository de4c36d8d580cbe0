"""Beginning a directory, and issuing in it; each is one step that happens as a whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from jobworker_pki import crl, layout, names, revoking
from jobworker_pki.authority import Authority
from jobworker_pki.errors import AlreadyExistsError
from jobworker_pki.files import locked, publish
from jobworker_pki.inventory import Inventory
from jobworker_pki.issuing import Credential
from jobworker_pki.key_types import KeyType
from jobworker_pki.ledger import Ledger
from jobworker_pki.passphrase import Passphrase
from jobworker_pki.profile import Profile, RoleIn

CLIENT_DAYS = 30
INITIAL_ROLES = ("full", "readonly")

_OF_EARLIER_CAS = [
    f"{stem}.{suffix}"
    for stem in (layout.INTERMEDIATE, layout.OLD_CA, layout.OLD_INTERMEDIATE)
    for suffix in ("pem", "key")
]


@dataclass(frozen=True)
class Outcome:
    """What was written, in the order in which it was made; ``orphans`` are left of a CA that was replaced.

    ``authority_by_the_way``: there was no CA, so one had to be made first.
    """

    written: tuple[Credential, ...]
    orphans: tuple[str, ...] = ()
    authority_by_the_way: bool = False


def new_authorities(
    key_type: KeyType, passphrase: bytes | None, *, intermediate: bool
) -> list[tuple[Authority, Credential]]:
    """Return a new root and, if asked for, an intermediate CA below it; the last one issues."""
    root = Authority.create(key_type, path_length=1 if intermediate else 0)
    made = [(root, root.credential(layout.CA, passphrase))]
    if intermediate:
        below = root.intermediate(key_type)
        made.append((below, below.credential(layout.INTERMEDIATE, passphrase)))
    return made


def initialise(
    directory: Path,
    extra_names: Iterable[str],
    *,
    replace: bool,
    key_type: KeyType = KeyType.ECDSA_P256,
    intermediate: bool = False,
    passphrase: Passphrase | None = None,
) -> Outcome:
    """Make a CA, a server certificate and a client certificate for each of ``INITIAL_ROLES``.

    The keys of CAs are encrypted where there is a ``passphrase``.

    Raises InvalidValueError, PassphraseError, AlreadyExistsError if any of the files is there and ``replace`` is false,
    WriteError.
    """
    host_names = names.server_names(extra_names)
    secret = None if passphrase is None else passphrase.new_for(directory / f"{layout.CA}.key")
    authorities = new_authorities(key_type, secret, intermediate=intermediate)
    issuer = authorities[-1][0]
    life = timedelta(days=CLIENT_DAYS)
    clients = [issuer.issue_client(Profile(name, name), life, key_type) for name in INITIAL_ROLES]
    leaves = [issuer.issue_server(host_names, key_type), *clients]
    with locked(directory):
        written = (*(credential for _, credential in authorities), *leaves)
        orphans = _stems(directory) - {credential.stem for credential in written}
        try:
            _publish_new(directory, authorities, leaves, replace=replace, remove=_OF_EARLIER_CAS)
        except AlreadyExistsError as error:
            raise AlreadyExistsError(
                error.paths,
                "to add to the CA that is there, use the commands server and issue. "
                "--force replaces all, the CA too, and certificates of the old CA stop working",
            ) from None
    return Outcome(written, tuple(sorted(orphans)))


def issue(
    directory: Path,
    name: str,
    role_name: str | None,
    lifetime: timedelta,
    *,
    replace: bool,
    role_in: RoleIn = RoleIn.EXTENSION,
    spiffe: str | None = None,
    key_type: KeyType = KeyType.ECDSA_P256,
    passphrase: Passphrase | None = None,
) -> Outcome:
    """Make a client certificate, and the CA where there is none.

    Raises InvalidValueError, AuthorityError, PassphraseError, AlreadyExistsError, WriteError.
    """
    profile = Profile(name, role_name, role_in, spiffe)
    profile.check()
    return _add(directory, lambda issuer: issuer.issue_client(profile, lifetime, key_type), passphrase, replace=replace)


def issue_server(
    directory: Path,
    extra_names: Iterable[str],
    *,
    replace: bool,
    key_type: KeyType = KeyType.ECDSA_P256,
    passphrase: Passphrase | None = None,
) -> Outcome:
    """Make a server certificate, and the CA where there is none.

    Raises InvalidValueError, AuthorityError, PassphraseError, AlreadyExistsError, WriteError.
    """
    host_names = names.server_names(extra_names)
    return _add(directory, lambda issuer: issuer.issue_server(host_names, key_type), passphrase, replace=replace)


def _add(
    directory: Path, make: Callable[[Authority], Credential], passphrase: Passphrase | None, *, replace: bool
) -> Outcome:
    known = passphrase or Passphrase()
    with locked(directory):
        present = Authority.load(directory, known)
        if present is None:
            secret = known.new_for(directory / f"{layout.CA}.key") if known.given else None
            authorities = new_authorities(KeyType.ECDSA_P256, secret, intermediate=False)
            credential = make(authorities[-1][0])
            _publish_new(directory, authorities, [credential], replace=replace)
            return Outcome((authorities[0][1], credential), authority_by_the_way=True)
        credential = make(present)
        inventory = Inventory.load(directory)
        inventory.ledger.add_issued([credential.certificate])
        lists = revoking.missing_lists(inventory, known)
        publish(directory, [*credential.files(), inventory.ledger.file(), *lists], replace=replace)
    return Outcome((credential,))


def _publish_new(
    directory: Path,
    authorities: Sequence[tuple[Authority, Credential]],
    leaves: Sequence[Credential],
    *,
    replace: bool,
    remove: Sequence[str] = (),
) -> None:
    ledger = Ledger.load(directory)
    credentials = [*(credential for _, credential in authorities), *leaves]
    ledger.add_issued(credential.certificate for credential in credentials)
    lists = crl.file(crl.build(authority.certificate, authority.key, []) for authority, _ in authorities)
    files = [*(file for credential in credentials for file in credential.files()), ledger.file(), lists]
    written = {file.name for file in files}
    publish(directory, files, replace=replace, remove=[name for name in remove if name not in written])


def _stems(directory: Path) -> set[str]:
    found = {path.stem for path in directory.glob("*.pem") if path.with_suffix(".key").exists()}
    return found - layout.RESERVED_STEMS
