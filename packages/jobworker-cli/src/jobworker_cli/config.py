"""What to connect to and with which certificates: flags beat the environment, which beats the configuration file."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from jobworker_cli.address import Address
from jobworker_cli.errors import ConfigurationError
from jobworker_cli.setting import Setting

NAMES = ("server", "certs", "name", "ca", "cert", "key", "token_file", "timeout", "reconnect")
_FILE_CHOICES = ("config", "context")

DEFAULTS = {"server": "localhost:50051", "certs": "./certs", "name": "full", "timeout": "10", "reconnect": "30"}

_NEAR = 0.82
"""How like two names are where one is misspelt, of 1."""

_Layer = Mapping[str, Setting]


class Configuration(NamedTuple):
    """Where each value came from is kept for messages; the values themselves have been checked."""

    server: Setting
    ca: Setting
    cert: Setting
    key: Setting
    token_file: Setting | None
    """Where a token is; None: none is sent."""
    timeout: Setting
    reconnect: Setting

    @property
    def timeout_seconds(self) -> float:
        """The deadline of unary calls."""
        return float(self.timeout.value)

    @property
    def reconnect_seconds(self) -> float:
        """How long streams and waits try to reconnect."""
        return float(self.reconnect.value)


def resolve(
    flags: Mapping[str, str | None], environ: Mapping[str, str], *, option: str = "--{}", read_file: bool = True
) -> Configuration:
    """Find each value in the first of flags, environment, configuration file and defaults that has it.

    ``flags`` has the options' names without dashes; the environment has them as ``JOBWORKER_NAME``. ``option`` is how
    messages name a flag. Without ``read_file`` there is no configuration file.

    Raises:
        ConfigurationError: a value can't be used; its message says which source it came from.
    """
    given = [_flags_layer(flags, option), _environment_layer(environ)]
    layers = [*given, _file_layer(given, environ) if read_file else {}, _defaults_layer()]
    configuration = Configuration(
        server=_first(layers, "server"),
        ca=_certificate_file(layers, "ca"),
        cert=_certificate_file(layers, "cert"),
        key=_certificate_file(layers, "key"),
        token_file=_find(layers, "token_file"),
        timeout=_first(layers, "timeout"),
        reconnect=_first(layers, "reconnect"),
    )
    check_server(*configuration.server)
    if not _seconds(configuration.timeout) > 0:
        raise ConfigurationError(
            f"the timeout {configuration.timeout.value!r} is not a number of seconds above 0"
            f" (from {configuration.timeout.source})"
        )
    if not _seconds(configuration.reconnect) >= 0:
        raise ConfigurationError(
            f"the time to reconnect {configuration.reconnect.value!r} is not a number of seconds, 0 or more"
            f" (from {configuration.reconnect.source})"
        )
    return configuration


def misspelt(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Variables that are set and hardly anything but misspelt, each with the one that is probably meant.

    Those of jobworker's other programs are not like any of these.
    """
    known = {name.upper() for name in (*NAMES, *_FILE_CHOICES)}
    for variable, value in environ.items():
        prefix, _, name = variable.partition("_")
        if prefix == "JOBWORKER" and value and name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=_NEAR)
            yield from ((variable, f"JOBWORKER_{right}") for right in near)


def default_file(environ: Mapping[str, str]) -> Path:
    """Where the configuration file is looked for: ``$XDG_CONFIG_HOME/jobworker/config.yaml``."""
    base = environ.get("XDG_CONFIG_HOME", "")
    # The specification of XDG_CONFIG_HOME has relative paths ignored.
    directory = Path(base) if base.startswith("/") else Path("~/.config").expanduser()
    return directory / "jobworker" / "config.yaml"


def file_in_use(flags: Mapping[str, str | None], environ: Mapping[str, str]) -> Path:
    """The configuration file that counts, whether or not it is there."""
    chosen = flags.get("config") or environ.get("JOBWORKER_CONFIG")
    return Path(chosen) if chosen else default_file(environ)


def _flags_layer(flags: Mapping[str, str | None], option: str) -> _Layer:
    is_flag = option.startswith("-")
    return {
        name: Setting(value, option.format(name.replace("_", "-") if is_flag else name))
        for name, value in flags.items()
        if value is not None
    }


def _environment_layer(environ: Mapping[str, str]) -> _Layer:
    variables = {name: f"JOBWORKER_{name.upper()}" for name in (*NAMES, *_FILE_CHOICES)}
    return {name: Setting(environ[variable], variable) for name, variable in variables.items() if environ.get(variable)}


def _file_layer(given: list[_Layer], environ: Mapping[str, str]) -> _Layer:
    chosen, context = _find(given, "config"), _find(given, "context")
    path = Path(chosen.value) if chosen else default_file(environ)
    if path.exists():
        from jobworker_cli import config_file  # not before: there need not be one

        return config_file.read(path, context)
    if chosen:
        raise ConfigurationError(f"the configuration file {path} does not exist (from {chosen.source})")
    if context:
        hint = f"--config FILE says where; the default is {path}"
        raise ConfigurationError(f"there is no configuration file for {context.source} to choose from", hint)
    return {}


def _defaults_layer() -> _Layer:
    return {name: Setting(value, f"the default of --{name}") for name, value in DEFAULTS.items()}


def _find(layers: list[_Layer], name: str) -> Setting | None:
    return next((layer[name] for layer in layers if name in layer), None)


def _first(layers: list[_Layer], name: str) -> Setting:
    return next(layer[name] for layer in layers if name in layer)


def _certificate_file(layers: list[_Layer], role: str) -> Setting:
    """The file itself, or the one in the certificates' directory, whichever a stronger source gives."""
    for layer in layers:
        if role in layer:
            return layer[role]
        if "certs" in layer or ("name" in layer and role != "ca"):
            break
    certs, name = _first(layers, "certs"), _first(layers, "name")
    if role == "ca":
        return Setting(str(Path(certs.value) / "ca.pem"), certs.source)
    suffix = "pem" if role == "cert" else "key"
    return Setting(str(Path(certs.value) / f"{name.value}.{suffix}"), f"{certs.source} and {name.source}")


def check_server(value: str, source: str) -> None:
    """Refuse what is no address of a server. ConfigurationError."""
    try:
        Address.parse(value)
    except ValueError as error:
        raise ConfigurationError(f"the server's address {error} (from {source})") from None


def _seconds(setting: Setting) -> float:
    """A number of seconds; NaN, which no comparison holds of, for what is none."""
    try:
        seconds = float(setting.value)
    except ValueError:
        return math.nan
    return seconds if math.isfinite(seconds) else math.nan
