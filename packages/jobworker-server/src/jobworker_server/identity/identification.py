"""Finds out who calls, in the way that the configuration says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from cryptography import x509

from jobworker_server.errors import UnauthenticatedError
from jobworker_server.identity import names, organization, role_extension, tokens
from jobworker_server.identity.caller import Identity, RoleFound
from jobworker_server.identity.tokens import Metadata
from jobworker_server.reloading import Reloadable

RoleSource = Literal["extension", "organization", "token"]
Owner = Literal["name", "publicKey"]

EXTENSION: RoleSource = "extension"
ORGANIZATION: RoleSource = "organization"
TOKEN: RoleSource = "token"  # noqa: S105 - no password

_UNREADABLE = (ValueError, x509.InvalidVersion, x509.UnsupportedGeneralNameType)


@dataclass(frozen=True, slots=True)
class TokenSettings:
    """Which tokens are accepted."""

    key: Path
    """The public keys, in PEM, that they may be signed with."""
    audience: str = "jobworker"
    """Whom they must be for."""


@dataclass(frozen=True, slots=True)
class IdentitySettings:
    """How callers are identified."""

    role_sources: tuple[RoleSource, ...] = (EXTENSION,)
    """Where a role may be from. The first of them that says anything decides."""
    owner: Owner = "name"
    """What tells whose jobs are whose."""
    tokens: TokenSettings | None = None
    """Needed where a role may be from a token."""


_name = lru_cache(1024)(names.name)
_ROLES_OF_CERTIFICATES: dict[RoleSource, Callable[[x509.Certificate], str | None]] = {
    EXTENSION: lru_cache(1024)(role_extension.role),
    ORGANIZATION: lru_cache(1024)(organization.role),
}
_OWNERS: dict[Owner, Callable[[x509.Certificate], str]] = {"name": _name, "publicKey": lru_cache(1024)(names.key_owner)}


class Identification:
    """Identifies callers.

    Raises:
        ConfigError: the key of tokens can't be used.
    """

    def __init__(self, settings: IdentitySettings | None = None) -> None:
        self._settings = settings or IdentitySettings()
        given = self._settings.tokens
        self.reloadables: tuple[Reloadable, ...] = (
            () if given is None else (Reloadable("the key of tokens", (given.key,), self._reload),)
        )
        """What is loaded again when its file changes."""
        self._tokens = None if given is None else tokens.load(given.key, given.audience)

    def identify(self, certificate: x509.Certificate, metadata: Metadata = ()) -> Identity:
        """Who makes a call with these headers. Whether the certificate is valid and trusted is not looked at here.

        Raises:
            UnauthenticatedError: it can't be read, or does not have one name and one role, or the token is refused.
        """
        try:
            name = _name(certificate)
            owner = _OWNERS[self._settings.owner](certificate)
            for source in self._settings.role_sources:
                if found := self._role(source, certificate, metadata, name):
                    return Identity(name, owner, found.role, source, certificate, found.valid_until)
        except x509.DuplicateExtension:
            raise UnauthenticatedError("BAD_CERTIFICATE", "the client's certificate has an extension twice") from None
        except _UNREADABLE:
            raise UnauthenticatedError("BAD_CERTIFICATE", "the client's certificate can't be read") from None
        raise self._no_role()

    def _role(
        self, source: RoleSource, certificate: x509.Certificate, metadata: Metadata, name: str
    ) -> RoleFound | None:
        """The role that a source tells; None: it tells none."""
        if source == TOKEN:
            keys = self._tokens
            return keys.role(metadata, certificate, name) if keys else None
        role = _ROLES_OF_CERTIFICATES[source](certificate)
        return None if role is None else RoleFound(role)

    def _reload(self) -> str:
        given = self._settings.tokens
        if given is None:
            return "there is none"
        self._tokens = found = tokens.load(given.key, given.audience)
        return f"there are {len(found.keys)}"

    def _no_role(self) -> UnauthenticatedError:
        sources = self._settings.role_sources
        if sources == (TOKEN,):
            return UnauthenticatedError(
                "NO_TOKEN", "the client sends no token, which this server takes roles from; get one, and send it"
            )
        if EXTENSION in sources:
            where = f"extension {role_extension.ROLE_OID.dotted_string}"
            return UnauthenticatedError(
                "NO_ROLE",
                f"the client's certificate names no role ({where}); issue one with jobworker-pki issue --role ROLE",
            )
        return UnauthenticatedError("NO_ROLE", "the subject of the client's certificate names no role (O)")
