"""What ``list`` prints: the requests that wait, and the certificates of a directory."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from jobworker_pki import issuing, requests
from jobworker_pki.errors import RequestError
from jobworker_pki.inventory import Entry, Inventory
from jobworker_pki.requests import Request
from jobworker_pki.show import escape


@dataclass(frozen=True)
class Waiting:
    """A request that waits; ``problem`` says why it can't be read, where there is no ``request``."""

    file: Path
    request: Request | None
    problem: str | None = None


@dataclass(frozen=True)
class Contents:
    """What there is to list, at one moment."""

    requests: Sequence[Waiting]
    entries: Sequence[Entry]
    now: datetime


def load(directory: Path) -> Contents:
    """Return what ``directory`` holds. Raises AuthorityError, LedgerError, UnreadableCertificateError."""
    found = [_waiting(path) for path in sorted(directory.glob(f"*{requests.SUFFIX}")) if path.is_file()]
    return Contents(found, Inventory.load(directory).entries, issuing.now())


def _waiting(path: Path) -> Waiting:
    try:
        return Waiting(path, requests.read(path))
    except RequestError as error:
        return Waiting(path, None, error.problem)


def as_text(contents: Contents) -> str:
    """Return the lists as tables."""
    return "\n".join(_tables(contents))


def as_json(contents: Contents) -> str:
    """Return the lists as a JSON object."""
    certificates = [_certificate(entry, contents.now) for entry in contents.entries]
    return json.dumps({"requests": [*map(_request, contents.requests)], "certificates": certificates}, indent=2)


def _tables(contents: Contents) -> Iterator[str]:
    if contents.requests:
        yield from _aligned([("REQUEST", "NAME", "ROLE", "E-MAIL", "DAYS"), *map(_row, contents.requests)])
        yield ""
    rows = [("NAME", "KIND", "ROLE", "SERIAL", "UNTIL", "STATE")]
    for entry in contents.entries:
        told = entry.facts
        name = told.name if told.spiffe is None else f"{told.name} ({told.spiffe})"
        until = f"{told.until:%Y-%m-%d %H:%M}"
        rows.append((name, told.kind, told.role or "-", told.serial_text, until, _state(entry, contents.now)))
    yield from _aligned(rows)


def _row(waiting: Waiting) -> tuple[str, ...]:
    if waiting.request is None:
        return (waiting.file.name, f"unusable: {waiting.problem}", "", "", "")
    asked = waiting.request.registration
    days = "-" if asked.days is None else str(asked.days)
    return (waiting.file.name, asked.name, asked.role or "-", asked.email or "-", days)


def _request(waiting: Waiting) -> dict[str, object]:
    told: dict[str, object] = {"file": str(waiting.file), "problem": waiting.problem}
    if waiting.request is not None:
        told |= asdict(waiting.request.registration) | {"renews": waiting.request.renews is not None}
    return told


def _state(entry: Entry, now: datetime) -> str:
    state = entry.state(now)
    if entry.revocation is not None:
        return f"revoked {entry.revocation.when:%Y-%m-%d} ({entry.revocation.reason})"
    return f"valid, renewal due {entry.facts.renewal:%Y-%m-%d}" if state == "valid" else state


def _certificate(entry: Entry, now: datetime) -> dict[str, object]:
    told, revocation = entry.facts, entry.revocation
    return {
        "name": told.name,
        "kind": told.kind,
        "role": told.role,
        "spiffe": told.spiffe,
        "email": entry.email,
        "serial": told.serial_text,
        "fingerprint": told.fingerprint,
        "valid_from": told.begin.isoformat(),
        "valid_until": told.until.isoformat(),
        "renewal_due": told.renewal.isoformat(),
        "state": entry.state(now).replace(" ", "_"),
        "revoked_at": revocation.when.isoformat() if revocation else None,
        "revocation_reason": revocation.reason if revocation else None,
    }


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    shown = [[escape(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    for row in shown:
        yield "  ".join(cell.ljust(size) for cell, size in zip(row, widths, strict=True)).rstrip()
