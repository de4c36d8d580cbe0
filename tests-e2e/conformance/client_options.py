"""The library's options of a start, as the client takes them."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, cast

import jobworker_lib as lib
from jobworker_cli.client import IoLimit, Isolation, Limits, Network, OutputLimit, RestartPolicy, TerminalSize
from jobworker_cli.models import OutputLimitAction

if TYPE_CHECKING:
    from jobworker_cli.starting import StartOptions


def client_options(options: dict[str, Any]) -> StartOptions:
    """The same options; those that are None stand for the default."""
    given = {name: value for name, value in options.items() if value is not None}
    converted = {name: _CONVERTERS[name](value) if name in _CONVERTERS else value for name, value in given.items()}
    return cast("StartOptions", converted)  # they are named alike


def _limits(limits: lib.Limits) -> Limits:
    return Limits(**{**asdict(limits), "io": tuple(IoLimit(**asdict(limit)) for limit in limits.io)})


def _isolation(isolation: lib.Isolation) -> Isolation:
    return Isolation(**{**asdict(isolation), "network": Network(isolation.network)})


_CONVERTERS: dict[str, Any] = {
    "terminal": lambda size: TerminalSize(size.rows, size.columns),
    "restart": lambda policy: RestartPolicy(**asdict(policy)),
    "output_limit": lambda limit: OutputLimit(limit.bytes, OutputLimitAction(limit.action)),
    "limits": _limits,
    "isolation": _isolation,
}
