"""How callers are identified, as the configuration file says it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

from jobworker_server.errors import ConfigError
from jobworker_server.identity import IdentitySettings, TokenSettings
from jobworker_server.identity.identification import TOKEN, Owner, RoleSource
from jobworker_server.nearest import nearest

_SOURCES: tuple[RoleSource, ...] = get_args(RoleSource)
_OWNERS: tuple[Owner, ...] = get_args(Owner)


def identity_settings(value: object, base: Path) -> IdentitySettings:
    """What ``identity`` of the configuration file says; paths in it are relative to ``base``.

    Raises:
        ConfigError: it can't be used; the message does not name the file.
    """
    fields = _mapping("identity", value, ("roleSources", "owner", "tokens"))
    default = IdentitySettings()
    sources = _role_sources(fields["roleSources"]) if "roleSources" in fields else default.role_sources
    if (TOKEN in sources) != ("tokens" in fields):
        raise ConfigError("identity: token in roleSources and tokens belong together, such as tokens: {key: token.pub}")
    return IdentitySettings(
        role_sources=sources,
        owner=_choice("identity.owner", fields["owner"], _OWNERS) if "owner" in fields else default.owner,
        tokens=_tokens(fields["tokens"], base) if "tokens" in fields else None,
    )


def _role_sources(value: object) -> tuple[RoleSource, ...]:
    if not isinstance(value, list) or not value:
        raise ConfigError(f"identity.roleSources must be a list of some of {', '.join(_SOURCES)}")
    sources = tuple(_choice("identity.roleSources", source, _SOURCES) for source in value)
    if len(set(sources)) < len(sources):
        raise ConfigError("identity.roleSources must name each source once")
    return sources


def _tokens(value: object, base: Path) -> TokenSettings:
    fields = _mapping("identity.tokens", value, ("key", "audience"))
    for key, text in fields.items():
        if not isinstance(text, str) or not text:
            raise ConfigError(f"identity.tokens.{key} must be text; put it in quotes")
    if "key" not in fields:
        raise ConfigError("identity.tokens must tell the key, such as tokens: {key: token.pub}")
    key = base / fields.pop("key")
    return TokenSettings(key, **fields)


def _mapping(place: str, value: object, known: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"{place} must hold some of {', '.join(known)}")
    for key in value:
        if key not in known:
            raise ConfigError(f"{place}: there is no setting {key!r}; {nearest(str(key), known)}")
    return dict(value)


def _choice(place: str, value: object, choices: tuple[Any, ...]) -> Any:
    if value not in choices:
        raise ConfigError(f"{place}: there is no {value!r}; {nearest(str(value), choices)}")
    return value
