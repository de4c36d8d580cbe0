"""What the commands do to a directory; each is one step that happens as a whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from jobworker_pki import names, role
from jobworker_pki.authority import Authority
from jobworker_pki.errors import AlreadyExistsError
from jobworker_pki.files import locked, publish
from jobworker_pki.issuing import Credential

CLIENT_DAYS = 30
INITIAL_ROLES = ("full", "readonly")


@dataclass(frozen=True)
class Outcome:
    """What was written, in the order in which it was made; ``orphans`` are left of a CA that was replaced.

    ``authority_by_the_way``: there was no CA, so one had to be made first.
    """

    written: tuple[Credential, ...]
    orphans: tuple[str, ...] = ()
    authority_by_the_way: bool = False


def initialise(directory: Path, extra_names: Iterable[str], *, replace: bool) -> Outcome:
    """Make a CA, a server certificate and a client certificate for each of ``INITIAL_ROLES``.

    Raises InvalidValueError, AlreadyExistsError if any of the files is there and ``replace`` is false, WriteError.
    """
    host_names = names.server_names(extra_names)
    authority = Authority.create()
    clients = [authority.issue_client(name, name, timedelta(days=CLIENT_DAYS)) for name in INITIAL_ROLES]
    written = (authority.credential(), authority.issue_server(host_names), *clients)
    with locked(directory):
        orphans = _stems(directory) - {credential.stem for credential in written}
        try:
            _publish(directory, written, replace=replace)
        except AlreadyExistsError as error:
            raise AlreadyExistsError(
                error.paths,
                "to add to the CA that is there, use the commands server and issue. "
                "--force replaces all, the CA too, and certificates of the old CA stop working",
            ) from None
    return Outcome(written, tuple(sorted(orphans)))


def issue(directory: Path, name: str, role_name: str, lifetime: timedelta, *, replace: bool) -> Outcome:
    """Make a client certificate, and the CA where there is none.

    Raises InvalidValueError, AuthorityError, AlreadyExistsError, WriteError.
    """
    role.check(role_name)
    names.check_client_name(name)
    return _add(directory, lambda authority: authority.issue_client(name, role_name, lifetime), replace=replace)


def issue_server(directory: Path, extra_names: Iterable[str], *, replace: bool) -> Outcome:
    """Make a server certificate, and the CA where there is none.

    Raises InvalidValueError, AuthorityError, AlreadyExistsError, WriteError.
    """
    host_names = names.server_names(extra_names)
    return _add(directory, lambda authority: authority.issue_server(host_names), replace=replace)


def _add(directory: Path, make: Callable[[Authority], Credential], *, replace: bool) -> Outcome:
    with locked(directory):
        present = Authority.load(directory)
        authority = present or Authority.create()
        credential = make(authority)
        written = (credential,) if present else (authority.credential(), credential)
        _publish(directory, written, replace=replace)
    return Outcome(written, authority_by_the_way=present is None)


def _publish(directory: Path, credentials: Iterable[Credential], *, replace: bool) -> None:
    publish(directory, [file for credential in credentials for file in credential.files()], replace=replace)


def _stems(directory: Path) -> set[str]:
    return {path.stem for path in directory.glob("*.pem") if path.with_suffix(".key").exists()}
