"""The side of whoever holds the CA: looking at a request, granting it or turning it down."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from jobworker_pki import authority_files, facts, issuing, keys, names, provisioning, requests, revoking
from jobworker_pki.authority import Authority
from jobworker_pki.errors import InvalidValueError, RefusedError
from jobworker_pki.files import PUBLIC, locked, publish
from jobworker_pki.inventory import Inventory
from jobworker_pki.issuing import Credential
from jobworker_pki.ledger import Ledger, Rejection
from jobworker_pki.passphrase import Passphrase
from jobworker_pki.profile import Profile, RoleIn, place_of_role
from jobworker_pki.requesting import kept
from jobworker_pki.requests import Request

MAX_REASON_BYTES = 500


@dataclass(frozen=True)
class Grant:
    """What a request is granted; None is what it asks for itself, and the place where the role was before."""

    role: str | None = None
    role_in: RoleIn | None = None
    days: int | None = None

    def profile(self, request: Request) -> Profile:
        """Return what the certificate will say. Raises InvalidValueError where nobody named a role."""
        asked, place = request.registration, self._place(request)
        role_name = None if place is RoleIn.TOKEN else self.role or asked.role
        profile = Profile(asked.name, role_name, place, asked.spiffe)
        profile.check()
        return profile

    def lifetime(self, request: Request) -> timedelta:
        """Return how long the certificate will be valid."""
        return timedelta(days=self.days or request.registration.days or provisioning.CLIENT_DAYS)

    def _place(self, request: Request) -> RoleIn:
        if self.role_in is not None:
            return self.role_in
        return RoleIn.EXTENSION if request.renews is None or self.role else place_of_role(request.renews)


def find(directory: Path, wanted: str) -> Path:
    """Return the file of a request, given as such or by the name of whom it is for. Raises InvalidValueError."""
    if "/" in wanted or wanted.endswith(requests.SUFFIX):
        return Path(wanted)
    try:
        return directory / f"{names.check_client_name(wanted)}{requests.SUFFIX}"
    except InvalidValueError as error:
        raise RefusedError(f"{wanted!r} is neither a file nor a name: it {error.problem}") from error


def doubts(inventory: Inventory, request: Request, grant: Grant) -> list[str]:
    """Return what speaks against granting ``request``, in words; whoever holds the CA decides.

    Raises InvalidValueError where nobody named a role.
    """
    profile, old = grant.profile(request), request.renews
    found = [*_history(inventory, request), *_others(inventory, request)]
    if old is not None:
        told = facts.of(old)
        if told.until <= issuing.now():
            found.append(f"the certificate that it renews expired on {told.until:%Y-%m-%d}")
        before = _identity(told.name, told.role, told.spiffe)
        after = _identity(profile.name, profile.role, profile.spiffe)
        if before != after:
            found.append(f"the certificate that it renews says {before}; the new one would say {after}")
    return found


def approve(
    directory: Path,
    path: Path,
    request: Request,
    grant: Grant,
    passphrase: Passphrase,
    *,
    known_doubts: list[str],
    force: bool = False,
) -> Credential:
    """Issue what ``request``, read from ``path``, is granted: ``NAME.pem``, to be sent back.

    ``known_doubts`` are those that were decided on; there must not be others by now. The renewed certificate is kept as
    ``NAME.pem.old``; the request is removed if it is in ``directory``.

    Raises RefusedError where the CA does not know or accept what is to be renewed, InvalidValueError, AuthorityError,
    PassphraseError, AlreadyExistsError, LedgerError, WriteError.
    """
    profile = grant.profile(request)
    with locked(directory):
        authority = Authority.load(directory, passphrase)
        if authority is None:
            raise RefusedError(f"there is no CA in {directory} that could issue; --dir says where it is")
        inventory = Inventory.load(directory)
        if doubts(inventory, request, grant) != known_doubts:
            raise RefusedError("something changed while you decided; nothing was done, so look again")
        _require_renewable(inventory, request)
        _require_own_key(directory, request, force=force)
        certificate = authority.certify_client(profile, request.key, grant.lifetime(request))
        credential = Credential(profile.name, certificate, None, authority.chain)
        inventory.ledger.add_issued([certificate], email=address(inventory, request), request=request.fingerprint)
        old = [] if request.renews is None else kept(directory, f"{profile.name}.pem", PUBLIC)
        files = [*credential.files(renewed=request.renews is not None), *old, inventory.ledger.file()]
        files += revoking.missing_lists(inventory, passphrase)
        publish(directory, files, replace=force, remove=_answered(directory, path))
    return credential


def address(inventory: Inventory, request: Request) -> str | None:
    """Return where to send the certificate: a renewal goes where the one before went."""
    if request.renews is None:
        return request.registration.email
    return inventory.email_of(request.renews)


def reject(directory: Path, path: Path, request: Request, reason: str) -> None:
    """Turn ``request`` down: it is recorded, and removed if it is in ``directory``.

    Raises InvalidValueError, LedgerError, WriteError.
    """
    if not reason.isprintable() or len(reason.encode()) > MAX_REASON_BYTES:
        raise InvalidValueError("reason", f"has to be printable text of at most {MAX_REASON_BYTES} bytes")
    with locked(directory):
        ledger = Ledger.load(directory)
        ledger.add_rejected(Rejection(request.fingerprint, request.registration.name, reason, issuing.now()))
        publish(directory, [ledger.file()], replace=True, remove=_answered(directory, path))


def _history(inventory: Inventory, request: Request) -> list[str]:
    approved = [
        f"it was approved already: certificate {entry.facts.serial_text}"
        for entry in inventory.ledger.issued
        if entry.request == request.fingerprint
    ]
    rejected = [
        f"it was rejected on {entry.when:%Y-%m-%d}{f' ({entry.reason})' if entry.reason else ''}"
        for entry in inventory.ledger.rejected
        if entry.request == request.fingerprint
    ]
    return approved + rejected


def _others(inventory: Inventory, request: Request) -> list[str]:
    """Who goes by the same name already, and did not sign this request."""
    asked = request.registration
    own = {facts.key_hash(request.csr)}
    if request.renews is not None:
        own.add(facts.key_hash(request.renews))
    others = [entry.facts for entry in inventory.entries if entry.is_accepted and entry.facts.key not in own]
    return [
        f"somebody else is called {told.spiffe or told.name} already: certificate {told.serial_text}, of another key, "
        f"valid until {told.until:%Y-%m-%d}"
        for told in others
        if told.name == asked.name or (told.spiffe is not None and told.spiffe == asked.spiffe)
    ]


def _identity(name: str, role_name: str | None, spiffe: str | None) -> str:
    return f"{spiffe or name} with the role {role_name or 'none'}"


def _require_renewable(inventory: Inventory, request: Request) -> None:
    old = request.renews
    if old is None:
        return
    issued_here = any(authority_files.is_issued_by(old, authority) for authority in inventory.authorities)
    if not issued_here or facts.of(old).kind != "client":
        raise RefusedError("what the request renews is not a client certificate of this CA")
    revocation = inventory.revocation_of(old)
    if revocation is not None:
        raise RefusedError(
            f"the certificate that the request renews was revoked on {revocation.when:%Y-%m-%d} ({revocation.reason}); "
            "whoever may come back makes a new request"
        )


def _require_own_key(directory: Path, request: Request, *, force: bool) -> None:
    path = directory / f"{request.registration.name}.key"
    if force or not path.exists() or keys.is_encrypted(path):
        return
    if keys.load(path, Passphrase()).public_key() != request.key:
        raise RefusedError(
            f"{path} is there and is not the key of this request; --force issues the certificate all the same"
        )


def _answered(directory: Path, path: Path) -> list[str]:
    return [path.name] if path.exists() and path.resolve().parent == directory.resolve() else []
