"""The configuration: flags beat the environment, which beats the file, which beats the defaults."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import yaml

from jobworker_lib.queue.bounds import WHEN_FULL, Bounds, WhenFull
from jobworker_lib.store.retention import Retention
from jobworker_server import (
    audit_setting,
    identity_setting,
    limit_setting,
    proxy_setting,
    quota_setting,
    retention_setting,
)
from jobworker_server.audit import AuditSettings
from jobworker_server.credentials import CredentialFiles
from jobworker_server.errors import ConfigError
from jobworker_server.identity import IdentitySettings
from jobworker_server.limit_policy import LimitPolicy
from jobworker_server.listening import Address
from jobworker_server.nearest import nearest
from jobworker_server.proxy_socket import ProxySocket
from jobworker_server.quotas import Quotas

T = TypeVar("T")

_KEYS = {
    "listen": "listen",
    "certs": "certs",
    "ca": "ca",
    "cert": "cert",
    "key": "key",
    "crl": "crl",
    "stateDir": "state_dir",
    "maxRunning": "max_running",
    "maxRunningPerOwner": "max_running_per_owner",
    "whenFull": "when_full",
    "maxQueued": "max_queued",
    "cgroup": "cgroup",
    "policy": "policy",
}
"""The settings, by their keys in the configuration file."""

_SECTIONS: Mapping[str, Callable[[object, Path], object]] = {
    "audit": audit_setting.audit_settings,
    "proxy": proxy_setting.proxy_socket,
    "limits": lambda value, _: limit_setting.limit_policy(value),
    "quotas": lambda value, _: quota_setting.quotas(value),
    "identity": identity_setting.identity_settings,
}
"""Settings that only the file can say, by their keys: each reads what stands there, and paths in it are relative to
the directory of the file. Raises ConfigError."""

_ALL_KEYS = (*_KEYS, "retention", *_SECTIONS)
_DEFAULTS = {"listen": "localhost:50051", "certs": "certs", "when_full": "queue"}
_RETENTION = "retention"
_RETENTION_PARSERS = dict(
    zip(retention_setting.NAMES, (retention_setting.age, retention_setting.jobs, retention_setting.size), strict=True)
)
_NUMBERS = ("max_running", "max_running_per_owner", "max_queued")
_FILES_OF_CERTS = {"ca": "ca.pem", "cert": "server.pem", "key": "server.key"}
_CRL_OF_CERTS = "crl.pem"


@dataclass(frozen=True, slots=True)
class Settings:
    """What a server is run with."""

    listen: Address
    files: CredentialFiles
    state_dir: Path | None
    """Where jobs are kept; None: ``$XDG_STATE_HOME/jobworker``."""
    bounds: Bounds = field(default_factory=Bounds)
    """How many jobs may run at once."""
    retention: Retention = field(default_factory=Retention)
    """Which ended jobs are kept."""
    limits: LimitPolicy = field(default_factory=LimitPolicy)
    """What jobs may use."""
    quotas: Quotas = field(default_factory=Quotas)
    """What one client may ask."""
    cgroup: str | None = None
    """The cgroup below which jobs get theirs; None: the engine finds one."""
    identity: IdentitySettings = field(default_factory=IdentitySettings)
    """How callers are identified."""
    proxy: ProxySocket | None = None
    """Where calls come from that clients make through a proxy."""
    audit: AuditSettings = field(default_factory=AuditSettings)
    """Who is told what clients do."""
    policy: Path | None = None
    """The policy file; None: the built-in roles."""
    hidden_paths: tuple[Path, ...] = ()
    """Where certificates and keys are, the directory or else each file, the audit, and the directory of the proxy's
    socket. Isolated jobs find them empty."""


@dataclass(frozen=True, slots=True)
class _Layer:
    """Settings from one source, the more important one first."""

    values: Mapping[str, str]
    origin: str
    """Tells the source of a setting in messages, by a template for its name."""
    base: Path = Path()
    """What relative paths are relative to."""
    sections: Mapping[str, Any] = field(default_factory=dict)
    """What only the file can say, as ``_SECTIONS`` read it."""


def resolve(flags: Mapping[str, str | None], environ: Mapping[str, str], config: Path | None) -> Settings:
    """The settings that flags, environment and file add up to.

    Raises:
        ConfigError: a value, a key of the file, or the file itself can't be used.
    """
    layers = [
        _Layer({name: value for name, value in flags.items() if value is not None}, "--{flag}"),
        _Layer({name: environ[_variable(name)] for name in flags if environ.get(_variable(name))}, "{variable}"),
        *([_file_layer(config)] if config else []),
        _Layer(_DEFAULTS, "the default"),
    ]
    audit = _section(layers, "audit", AuditSettings())
    proxy: ProxySocket | None = _section(layers, "proxy", None)
    return Settings(
        listen=_listen(layers),
        files=CredentialFiles(
            **{name: _credential_file(layers, name) for name in _FILES_OF_CERTS},
            crl=_crl(layers),
            crl_is_optional=not any(_with(layers, "crl")),
        ),
        state_dir=_path(layers, "state_dir"),
        bounds=Bounds(
            running=_count(layers, "max_running", least=1),
            running_per_owner=_count(layers, "max_running_per_owner", least=1),
            when_full=_when_full(layers),
            queued=_count(layers, "max_queued", least=0),
        ),
        retention=retention_setting.retention(*(_retained(layers, name) for name in retention_setting.NAMES)),
        limits=_section(layers, "limits", LimitPolicy()),
        quotas=_section(layers, "quotas", Quotas()),
        identity=_section(layers, "identity", IdentitySettings()),
        audit=audit,
        proxy=proxy,
        cgroup=_cgroup(layers),
        policy=_path(layers, "policy"),
        hidden_paths=(
            *{_hidden_path(layers, name): None for name in _FILES_OF_CERTS},
            *([audit.file] if audit.file else []),
            *([proxy.path.parent] if proxy else []),
        ),
    )


def _section(layers: list[_Layer], key: str, default: T) -> T:
    return next((layer.sections[key] for layer in layers if key in layer.sections), default)


def _variable(name: str) -> str:
    return f"JOBWORKER_{name.upper()}"


def _with(layers: list[_Layer], *names: str) -> Iterator[_Layer]:
    return (layer for layer in layers if any(name in layer.values for name in names))


def _path(layers: list[_Layer], name: str) -> Path | None:
    return next((layer.base / layer.values[name] for layer in _with(layers, name)), None)


def _listen(layers: list[_Layer]) -> Address:
    layer = next(_with(layers, "listen"))
    try:
        return Address.parse(layer.values["listen"])
    except ConfigError as error:
        raise ConfigError(f"{_origin(layer, 'listen')}: {error}") from None


def _count(layers: list[_Layer], name: str, *, least: int) -> int | None:
    """A number of jobs; None where nobody gives one."""
    layer = next(_with(layers, name), None)
    if layer is None:
        return None
    text = layer.values[name]
    if not (text.isascii() and text.isdigit() and int(text) >= least):
        raise ConfigError(f"{_origin(layer, name)}: expected a number of jobs, {least} or more, not {text!r}")
    return int(text)


def _when_full(layers: list[_Layer]) -> WhenFull:
    layer = next(_with(layers, "when_full"))
    for choice in WHEN_FULL:
        if layer.values["when_full"] == choice:
            return choice
    raise ConfigError(f"{_origin(layer, 'when_full')}: expected {' or '.join(WHEN_FULL)}")


def _retained(layers: list[_Layer], name: str) -> str | None:
    """A bound on what is kept, as it is given; None where nobody gives one."""
    layer = next(_with(layers, name), None)
    if layer is None:
        return None
    text = layer.values[name].lower()
    try:
        _RETENTION_PARSERS[name](text)
    except ValueError as error:
        raise ConfigError(f"{_origin(layer, name)}: {error}, not {text!r}") from None
    return text


def _cgroup(layers: list[_Layer]) -> str | None:
    layer = next(_with(layers, "cgroup"), None)
    if layer is None:
        return None
    path = layer.values["cgroup"]
    if not path.startswith("/"):
        raise ConfigError(f"{_origin(layer, 'cgroup')}: expected an absolute path, not {path!r}")
    return path


def _credential_file(layers: list[_Layer], name: str) -> Path:
    """The file itself where the first layer that knows has it, otherwise the one of that name in its directory."""
    layer = next(_with(layers, name, "certs"))
    if name in layer.values:
        return layer.base / layer.values[name]
    return layer.base / layer.values["certs"] / _FILES_OF_CERTS[name]


def _crl(layers: list[_Layer]) -> Path | None:
    """The file of revocation lists; where nobody names it, that beside the CA in a directory of certificates."""
    for layer in _with(layers, "crl"):
        return layer.base / layer.values["crl"]
    layer = next(_with(layers, "ca", "certs"))
    return None if "ca" in layer.values else layer.base / layer.values["certs"] / _CRL_OF_CERTS


def _hidden_path(layers: list[_Layer], name: str) -> Path:
    layer = next(_with(layers, name, "certs"))
    return layer.base / layer.values[name if name in layer.values else "certs"]


def _origin(layer: _Layer, name: str) -> str:
    return layer.origin.format(flag=name.replace("_", "-"), variable=_variable(name), name=name)


def _file_layer(path: Path) -> _Layer:
    values: dict[str, str] = {}
    sections: dict[str, object] = {}
    for key, value in _read(path).items():
        if key in _SECTIONS:
            sections[str(key)] = _section_of_file(path, str(key), value)
            continue
        if key == _RETENTION:
            values |= _retention_of_file(path, value)
            continue
        if key not in _KEYS:
            raise ConfigError(f"{path}: there is no setting {key!r}; {nearest(str(key), _ALL_KEYS)}")
        name = _KEYS[key]
        if name in _NUMBERS and type(value) is int:
            values[name] = str(value)
        elif isinstance(value, str) and value:
            values[name] = value
        else:
            raise ConfigError(f"{path}: {key} must be {'a number' if name in _NUMBERS else 'text; put it in quotes'}")
    return _Layer(values, f"{path}".replace("{", "{{").replace("}", "}}") + ": {name}", path.parent, sections)


def _section_of_file(path: Path, key: str, value: object) -> object:
    try:
        return _SECTIONS[key](value, path.parent)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None


def _retention_of_file(path: Path, value: object) -> dict[str, str]:
    names = {name.removeprefix("retention_"): name for name in retention_setting.NAMES}
    if not isinstance(value, dict) or not value.keys() <= names.keys():
        raise ConfigError(f"{path}: {_RETENTION} must hold {', '.join(names)}, such as retention: {{age: 30d}}")
    return {names[key]: str(bound).lower() for key, bound in value.items()}


class _Loader(yaml.SafeLoader):
    """Refuses a key that a mapping has twice, of which YAML's readers take the last without a word."""

    def compose_mapping_node(self, anchor: dict[Any, yaml.Node]) -> yaml.MappingNode:  # before merges add keys
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            name = str(key.value)
            if name in seen:
                problem = f"the key {name!r} is there twice"
                raise yaml.constructor.ConstructorError(problem=problem, problem_mark=key.start_mark)
            seen.add(name)
        return node


def _read(path: Path) -> dict[object, object]:
    try:
        content = yaml.load(path.read_bytes(), Loader=_Loader)  # noqa: S506  # it is a SafeLoader
    except OSError as error:
        raise ConfigError(f"the configuration file {path} can't be read: {error.strerror}") from None
    except yaml.constructor.ConstructorError as error:
        where = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"the configuration file {path}{where}: {error.problem}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise ConfigError(f"the configuration file {path} is not YAML{where}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"the configuration file {path} must hold a setting a line, such as listen: localhost:50051")
    return content
