"""Revoking certificates, and the lists that tell everybody."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from jobworker_pki import authority_files, crl, facts, issuing, layout
from jobworker_pki.errors import AuthorityError, RefusedError
from jobworker_pki.files import NewFile, locked, publish
from jobworker_pki.inventory import Entry, Inventory, parse_serial
from jobworker_pki.ledger import Revocation
from jobworker_pki.passphrase import Passphrase


def revoke(directory: Path, wanted: str, reason: str, passphrase: Passphrase, *, unknown: bool = False) -> list[Entry]:
    """Revoke the certificate with the serial number ``wanted``, or all of that name that are still accepted.

    With ``unknown`` a serial number that nothing is known of is put on the list of each CA whose key is here.

    Returns those that were revoked and known. Raises RefusedError where there is none, AuthorityError, PassphraseError,
    LedgerError, UnreadableCertificateError, WriteError.
    """
    with locked(directory):
        inventory = Inventory.load(directory)
        serial = parse_serial(wanted) if unknown and not inventory.find(wanted) else None
        entries = _to_revoke(inventory, wanted) if serial is None else []
        named = {(entry.facts.authority, entry.facts.serial) for entry in entries}
        if serial is not None:
            named = {(key, serial) for key in _signing(inventory, passphrase)}
        for authority, number in sorted(named):
            inventory.add_revocation(Revocation(number, authority, issuing.now(), reason))
        lists = current_lists(inventory, passphrase, {authority for authority, _ in named})
        publish(directory, [crl.file(lists), inventory.ledger.file()], replace=True)
    return entries


def refresh(directory: Path, passphrase: Passphrase) -> list[crl.List]:
    """Write ``crl.pem`` anew, a list of each CA whose key is here. Raises as :func:`revoke` does."""
    with locked(directory):
        inventory = Inventory.load(directory)
        lists = current_lists(inventory, passphrase, {crl.key_of(authority) for authority in inventory.authorities})
        if not lists:
            raise AuthorityError(f"no key in {directory} may sign revocation lists, so there is nothing to write")
        publish(directory, [crl.file(lists)], replace=True)
    return lists


def missing_lists(inventory: Inventory, passphrase: Passphrase) -> list[NewFile]:
    """Return ``crl.pem`` with the lists that it lacks, nothing where it lacks none that could be made."""
    lists = current_lists(inventory, passphrase, ())
    return [crl.file(lists)] if len(lists) > len(inventory.lists) else []


def _to_revoke(inventory: Inventory, wanted: str) -> list[Entry]:
    found = inventory.find(wanted)
    entries = [entry for entry in found if entry.is_accepted]
    _require_above(inventory, entries)
    if entries:
        return entries
    if not found:
        raise RefusedError(
            f"{inventory.directory} knows no certificate with the name or serial number {wanted!r}; "
            "jobworker-pki list tells which it knows (--unknown revokes a serial number all the same)"
        )
    now = issuing.now()
    states = ", ".join(f"{entry.facts.serial_text} ({entry.state(now)})" for entry in found)
    raise RefusedError(f"nothing is left to revoke of {wanted!r}: {states}")


def _require_above(inventory: Inventory, entries: Collection[Entry]) -> None:
    """Refuse to revoke a root, which stands on no list of anybody above it: it would be trusted on."""
    roots = {
        facts.of(authority).fingerprint for authority in inventory.authorities if authority.issuer == authority.subject
    }
    for entry in entries:
        if entry.facts.fingerprint in roots:
            raise RefusedError(
                f"{entry.facts.name} is a root: who trusts it would trust it on, so it can't be revoked. Replace it, "
                "at once where its key was stolen: jobworker-pki rotate-ca, then rotate-ca --finish"
            )


def _signing(inventory: Inventory, passphrase: Passphrase) -> list[str]:
    return [
        crl.key_of(authority)
        for authority in inventory.authorities
        if crl.may_sign(authority)
        and authority_files.load_revoking(inventory.directory, authority, passphrase) is not None
    ]


def current_lists(inventory: Inventory, passphrase: Passphrase, renew: Collection[str] = ()) -> list[crl.List]:
    """Return the lists of all CAs: new ones of those in ``renew`` and of those that have none, the others as they are.

    Raises AuthorityError, PassphraseError.
    """
    found = []
    for authority in inventory.authorities:
        previous = inventory.list_of(authority)
        wanted = crl.key_of(authority) in renew
        if previous is None or wanted:
            key = authority_files.load_revoking(inventory.directory, authority, passphrase)
            if key is not None and crl.may_sign(authority):
                previous = crl.build(authority, key, inventory.revoked_of(authority), previous)
            elif inventory.has_news_for(authority):
                name = authority.subject.rfc4514_string()
                problem = "is not here" if key is None else "may not sign revocation lists (key usage cRLSign)"
                raise AuthorityError(
                    f"the key of {name}, which issued that certificate, {problem}; nothing was changed"
                )
        if previous is not None:
            found.append(previous)
    return [*found, *inventory.foreign_lists()]


def path(directory: Path) -> Path:
    """Return where the lists are."""
    return directory / f"{layout.CRL}.pem"
