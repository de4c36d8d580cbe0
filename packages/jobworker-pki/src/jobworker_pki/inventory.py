"""All that a directory knows of certificates: its ledger, its files and its revocation lists, taken together.

A directory without a ledger, as earlier versions left it, works: certificates are then found by their files.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509

from jobworker_pki import authority_files, crl, facts, issuing, layout
from jobworker_pki.errors import UnreadableCertificateError
from jobworker_pki.facts import Facts
from jobworker_pki.ledger import Ledger, Revocation

_SERIAL = re.compile(r"[0-9a-f]{1,40}")


@dataclass(frozen=True)
class Entry:
    """A certificate of one of the directory's CAs.

    ``renewed``: there is a newer one that says the same. ``outgoing``: its CA is about to be dropped.
    """

    facts: Facts
    email: str | None
    revocation: Revocation | None
    renewed: bool = False
    outgoing: bool = False

    def state(self, now: datetime) -> str:
        """Return ``revoked``, ``expired``, ``renewed``, ``outgoing`` (a CA), ``renewal due`` or ``valid``."""
        if self.revocation is not None:
            return "revoked"
        if self.facts.until <= now:
            return "expired"
        if self.renewed:
            return "renewed"
        if self.outgoing and self.facts.kind == "authority":
            return "outgoing"
        return "renewal due" if self.outgoing or self.facts.renewal <= now else "valid"

    @property
    def is_accepted(self) -> bool:
        """Whether servers and clients accept it now."""
        return self.state(issuing.now()) not in {"revoked", "expired"}


class Inventory:
    """What a directory holds; ``authorities`` are the CAs, roots first, ``entries`` what they issued, oldest first."""

    def __init__(self, directory: Path, ledger: Ledger) -> None:
        self.directory = directory
        self.ledger = ledger
        # A user's directory needs no CA.
        roots = authority_files.load_trusted(directory) if (directory / f"{layout.CA}.pem").exists() else []
        intermediates = authority_files.load_intermediates(directory)
        self.authorities = [*roots, *intermediates]
        self.outgoing = {crl.key_of(authority) for authority in authority_files.load_outgoing(directory)}
        self.lists = crl.read(directory)
        self._revocations = {(item.authority, item.serial): item for item in self._all_revocations()}
        known = {item.facts.fingerprint: item for item in ledger.issued}
        found = [told for _, told in self.files() if told.fingerprint not in known]
        keys = {crl.key_of(authority) for authority in self.authorities}
        everything = [*((item.facts, item.email) for item in known.values()), *((told, None) for told in found)]
        everything = sorted(
            ((told, email) for told, email in everything if told.authority in keys), key=lambda pair: pair[0].begin
        )
        self.entries = self._entries(everything)

    @classmethod
    def load(cls, directory: Path) -> Inventory:
        """Return what is in ``directory``. Raises AuthorityError, LedgerError, UnreadableCertificateError."""
        return cls(directory, Ledger.load(directory))

    def find(self, wanted: str) -> list[Entry]:
        """Return the certificates whose name or serial number ``wanted`` is; ``server`` are all of servers."""
        serial = parse_serial(wanted)
        return [
            entry
            for entry in self.entries
            if entry.facts.name == wanted
            or entry.facts.serial == serial
            or entry.facts.spiffe == wanted
            or (wanted == layout.SERVER and entry.facts.kind == "server")
        ]

    def add_revocation(self, revocation: Revocation) -> None:
        """Take note of a revocation, here and in the ledger."""
        self._revocations[revocation.authority, revocation.serial] = revocation
        self.ledger.add_revoked(revocation)

    def list_of(self, authority: x509.Certificate) -> crl.List | None:
        """Return the revocation list of ``authority`` as it is in ``crl.pem``."""
        return next((one for one in self.lists if crl.is_of(one, authority)), None)

    def foreign_lists(self) -> list[crl.List]:
        """Return the lists in ``crl.pem`` that none of the authorities signed."""
        return [one for one in self.lists if not any(crl.is_of(one, authority) for authority in self.authorities)]

    def has_news_for(self, authority: x509.Certificate) -> bool:
        """Return whether the list of ``authority`` lacks what is revoked."""
        present = self.list_of(authority)
        listed = set() if present is None else {entry.serial_number for entry in present}
        return any(item.serial not in listed for item in self.revoked_of(authority))

    def revocation_of(self, certificate: x509.Certificate) -> Revocation | None:
        """Return when and why ``certificate`` was revoked, None if it was not."""
        told = facts.of(certificate)
        return self._revocations.get((told.authority, told.serial))

    def revoked_of(self, authority: x509.Certificate) -> list[Revocation]:
        """Return what of ``authority`` is revoked."""
        key = crl.key_of(authority)
        return [item for item in self._revocations.values() if item.authority == key]

    def files(self) -> list[tuple[str, Facts]]:
        """Return the certificates of these CAs that are in files, with the stems of the files' names."""
        found = ((path.stem, self._from_file(path)) for path in sorted(self.directory.glob("*.pem")))
        return [(stem, told) for stem, told in found if told is not None]

    def email_of(self, certificate: x509.Certificate) -> str | None:
        """Return the address that ``certificate`` was asked for from."""
        serial = certificate.serial_number
        return next((entry.email for entry in self.entries if entry.facts.serial == serial), None)

    def _entries(self, told: list[tuple[Facts, str | None]]) -> list[Entry]:
        """The entries, for what is ``told`` from the oldest to the newest."""
        made: list[Entry] = []
        seen: set[tuple[str, str, str | None]] = set()
        for one, email in reversed(told):
            identity = (one.kind, one.name, one.spiffe)
            leaf = one.kind != "authority"
            entry = Entry(
                one,
                email,
                self._revocations.get((one.authority, one.serial)),
                renewed=leaf and identity in seen,
                outgoing=one.authority in self.outgoing,
            )
            made.append(entry)
            if entry.is_accepted:
                seen.add(identity)
        return made[::-1]

    def _all_revocations(self) -> list[Revocation]:
        listed = [
            item
            for one in self.lists
            for authority in self.authorities
            if crl.is_of(one, authority)
            for item in crl.revocations(one, authority)
        ]
        return [*self.ledger.revoked, *listed]

    def _from_file(self, path: Path) -> Facts | None:
        if path.stem in {layout.CA, layout.OLD_CA, layout.CRL} or not path.is_file():
            return None
        try:
            certificate, told = facts.read(path)
        except UnreadableCertificateError:
            return None  # not one of ours
        issued = any(authority_files.is_issued_by(certificate, authority) for authority in self.authorities)
        return told if issued else None


def parse_serial(text: str) -> int | None:
    """Return a serial number in hexadecimal digits as a number, also with colons, 0x or zeros before it.

    None for what is none.
    """
    digits = text.lower().removeprefix("0x").replace(":", "")
    digits = digits.lstrip("0") or digits
    return int(digits, 16) if _SERIAL.fullmatch(digits) else None
