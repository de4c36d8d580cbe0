"""The record of what a CA has done: a JSON line for each certificate issued or revoked and each request rejected."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from jobworker_pki import facts, issuing, layout
from jobworker_pki.errors import LedgerError
from jobworker_pki.facts import Facts
from jobworker_pki.files import PRIVATE, NewFile

_TIME = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True)
class Issued:
    """A certificate that was issued; ``request`` is the fingerprint of the request that it answers."""

    facts: Facts
    email: str | None = None
    request: str | None = None


@dataclass(frozen=True)
class Revocation:
    """A certificate that is not to be accepted any more, named as in a CRL: ``authority`` is the issuer's key."""

    serial: int
    authority: str
    when: datetime
    reason: str


@dataclass(frozen=True)
class Rejection:
    """A request that was turned down."""

    request: str
    name: str
    reason: str
    when: datetime


class Ledger:
    """What the record of a directory says, and what is to be added to it."""

    def __init__(self, lines: Iterable[str] = ()) -> None:
        self._lines = list(lines)
        self.issued: list[Issued] = []
        self.revoked: list[Revocation] = []
        self.rejected: list[Rejection] = []
        for number, line in enumerate(self._lines, 1):
            try:
                self._take(json.loads(line))
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                raise LedgerError(
                    f"{layout.LEDGER}, line {number}, is damaged; put a copy of the file back, or remove that line: "
                    "what is revoked also stands in crl.pem"
                ) from error

    @classmethod
    def load(cls, directory: Path) -> Ledger:
        """Return the ledger of ``directory``, an empty one where there is none. Raises LedgerError."""
        path = directory / layout.LEDGER
        try:
            return cls(path.read_text(encoding="utf-8").splitlines())
        except FileNotFoundError:
            return cls()
        except (OSError, UnicodeDecodeError) as error:
            raise LedgerError(f"{path} can't be read: {error}") from error

    def file(self) -> NewFile:
        """Return the ledger as a file that takes the place of what is there."""
        content = "".join(f"{line}\n" for line in self._lines).encode()
        return NewFile(layout.LEDGER, content, PRIVATE, replace=True)

    def add_issued(
        self, certificates: Iterable[x509.Certificate], *, email: str | None = None, request: str | None = None
    ) -> None:
        """Record what has just been issued."""
        for certificate in certificates:
            told = asdict(facts.of(certificate))
            told["serial"] = f"{certificate.serial_number:X}"
            told |= {"begin": _text(certificate.not_valid_before_utc), "until": _text(certificate.not_valid_after_utc)}
            self._add("issued", **told, email=email, request=request)

    def add_revoked(self, revocation: Revocation) -> None:
        """Record a revocation."""
        told = asdict(revocation) | {"serial": f"{revocation.serial:X}", "when": _text(revocation.when)}
        self._add("revoked", **told)

    def add_rejected(self, rejection: Rejection) -> None:
        """Record that a request was rejected."""
        self._add("rejected", **asdict(rejection) | {"when": _text(rejection.when)})

    def _add(self, event: str, **told: object) -> None:
        entry = {"event": event, "at": _text(issuing.now())} | {key: v for key, v in told.items() if v is not None}
        self._lines.append(json.dumps(entry, ensure_ascii=True))
        self._take(entry)

    def _take(self, entry: Mapping[str, object]) -> None:
        text = {key: str(value) for key, value in entry.items()}
        match text.pop("event"):
            case "issued":
                self.issued.append(Issued(_facts(text), text.get("email"), text.get("request")))
            case "revoked":
                when, serial = _time(text["when"]), int(text["serial"], 16)
                self.revoked.append(Revocation(serial, text["authority"], when, text["reason"]))
            case "rejected":
                self.rejected.append(Rejection(text["request"], text["name"], text["reason"], _time(text["when"])))
            case _:
                pass  # of a later version


def _facts(text: Mapping[str, str]) -> Facts:
    return Facts(
        serial=int(text["serial"], 16),
        name=text["name"],
        role=text.get("role"),
        kind=text["kind"],
        spiffe=text.get("spiffe"),
        begin=_time(text["begin"]),
        until=_time(text["until"]),
        authority=text["authority"],
        key=text["key"],
        fingerprint=text["fingerprint"],
    )


def _text(moment: datetime) -> str:
    return moment.strftime(_TIME)


def _time(text: str) -> datetime:
    return datetime.strptime(text, _TIME).replace(tzinfo=UTC)
