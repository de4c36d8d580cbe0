"""The configuration file.

It has ``serverAddress``, ``serverCA``, ``clientCertificate``, ``clientKey`` and ``tokenFile``, flat or under named
``contexts``.

::

    serverCA: ca.pem                  # holds for every context that has none of its own
    currentContext: work              # the one that counts where none is chosen
    contexts:
      work:
        serverAddress: jobs.example.com:50051
        clientCertificate: ann.pem
        clientKey: ann.key

Paths are relative to the file.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path

from jobworker_cli import yaml_text
from jobworker_cli.errors import ConfigurationError
from jobworker_cli.setting import Setting

SETTINGS = {
    "serverAddress": "server",
    "serverCA": "ca",
    "clientCertificate": "cert",
    "clientKey": "key",
    "tokenFile": "token_file",
}
PATHS = ("ca", "cert", "key", "token_file")
CONTEXTS = "contexts"
CURRENT = "currentContext"


def read(path: Path, context: Setting | None) -> dict[str, Setting]:
    """Read the settings of a context, or those that stand outside of contexts where none is chosen.

    A file with nothing but one context needs no choice.

    Raises:
        ConfigurationError: the file can't be read, a key or value is wrong, or there is no such context.
    """
    content = load(path)
    contexts = _mapping(content.pop(CONTEXTS, None), path, CONTEXTS)
    current = content.pop(CURRENT, None)
    settings = _settings(content, path, "")
    by_name = {name: _context(contexts, name, path) for name in contexts}
    if context is None and current is not None:
        if not isinstance(current, str):
            raise ConfigurationError(f"{path}: {CURRENT} must be a text")
        context = Setting(current, f"{CURRENT} in {path}")
    if context is None:
        if settings or not by_name:
            return settings
        if len(by_name) > 1:
            hint = f"choose with --context, or with `jobworker-cli config use`: {_names(by_name)}"
            raise ConfigurationError(f"{path} has several contexts", hint)
        return next(iter(by_name.values()))
    if context.value not in by_name:
        hint = f"it has: {_names(by_name)}" if by_name else "it has no contexts"
        raise ConfigurationError(f"{path} has no context {context.value!r} (from {context.source})", hint)
    return settings | by_name[context.value]


def load(path: Path) -> dict[str, object]:
    """The whole file, as it stands; its keys outside of contexts are known ones.

    Raises:
        ConfigurationError: it can't be read, or is something else.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"the configuration file {path} can't be read: {error.strerror}") from None
    content = _mapping(yaml_text.parse(text, path), path, "")
    _require_known(content, [*SETTINGS, CURRENT, CONTEXTS], path, "")
    return content


def context_names(path: Path) -> list[str]:
    """The contexts of a file. ConfigurationError."""
    return list(_mapping(load(path).get(CONTEXTS), path, CONTEXTS))


def require_key(key: str, path: Path) -> None:
    """Refuse what is no key of a context. ConfigurationError."""
    _require_known([key], list(SETTINGS), path, "")


def _context(contexts: Mapping[str, object], name: str, path: Path) -> dict[str, Setting]:
    where = f"{CONTEXTS}.{name}"
    content = _mapping(contexts[name], path, where)
    _require_known(content, list(SETTINGS), path, where)
    return _settings(content, path, f"{where}.")


def _settings(content: Mapping[str, object], path: Path, prefix: str) -> dict[str, Setting]:
    settings = {}
    for key, value in content.items():
        if not isinstance(value, str) or not value:
            raise ConfigurationError(f"{path}: {prefix}{key} must be a text")
        name = SETTINGS[key]
        text = str(path.parent / Path(value).expanduser()) if name in PATHS else value
        settings[name] = Setting(text, f"{prefix}{key} in {path}")
    return settings


def _mapping(value: object, path: Path, where: str) -> dict[str, object]:
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        raise ConfigurationError(f"{path}: {where or 'the file'} must be a mapping of names to values")
    return dict(value)


def _require_known(content: Iterable[str], known: list[str], path: Path, where: str) -> None:
    by_lower_case = {key.lower(): key for key in known}
    for key in content:
        if key not in known:
            near = difflib.get_close_matches(key.lower(), by_lower_case, n=1)
            hint = f"did you mean {by_lower_case[near[0]]}?" if near else f"known keys: {', '.join(known)}"
            raise ConfigurationError(f"{path}: unknown key {key!r}{f' in {where}' if where else ''}", hint)


def _names(contexts: Iterable[str]) -> str:
    return ", ".join(sorted(contexts))
