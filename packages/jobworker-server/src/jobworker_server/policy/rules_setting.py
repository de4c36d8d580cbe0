"""Bounds on what may be started, as the policy file says them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from jobworker_lib import Isolation
from jobworker_lib.job.spec import HIGHEST_PRIORITY
from jobworker_server import limit_setting
from jobworker_server.errors import ConfigError
from jobworker_server.limit_policy import LimitPolicy
from jobworker_server.policy import fence
from jobworker_server.policy.entry import Entry
from jobworker_server.policy.rules import EVERYTHING, Rules

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\*?|\*")
_FULL = "full"


def rules(fields: Mapping[str, Entry], begin: Rules) -> Rules:
    """What these entries say, by their keys, and ``begin`` where they say nothing.

    Raises:
        ConfigError: one of them can't be used.
    """
    found = replace(begin, **{_READERS[key][0]: _READERS[key][1](entry) for key, entry in fields.items()})
    if "commands" in fields and "environment" not in fields:
        # Many a variable, such as LD_PRELOAD or BASH_ENV, makes any command into any other.
        found = replace(found, environment=())
    is_bounded = fence.depends_on_paths(found.isolation)
    if "writable" in fields and not is_bounded:
        raise fields["writable"].error("it is for isolation that has read-only, private-tmp or private-devices")
    if is_bounded != (found.writable is not None):
        found = replace(found, writable=() if is_bounded else None)
    return found


def _queued(entry: Entry) -> int:
    return entry.number(least=0)


def _priority(entry: Entry) -> int:
    return entry.number(-HIGHEST_PRIORITY, HIGHEST_PRIORITY)


def _paths(entry: Entry) -> tuple[str, ...]:
    for item in entry.texts():
        path = item.text()
        if not path.startswith("/") or path != os.path.normpath(path) or path.startswith("//"):
            raise item.error(f"expected an absolute path without '.', '..' and double slashes, not {path!r}")
    return tuple(item.text() for item in entry.texts())


def _environment(entry: Entry) -> tuple[str, ...]:
    for item in entry.texts():
        if not _VARIABLE.fullmatch(item.text()):
            raise item.error(
                f"expected the name of a variable, or its beginning such as APP_{EVERYTHING}, not {item.text()!r}"
            )
    return tuple(item.text() for item in entry.texts())


def _users(entry: Entry) -> tuple[str, ...]:
    for item in entry.texts():
        if item.text() != item.text().strip() or not item.text().isprintable():
            raise item.error(f"expected the name of a user, not {item.text()!r}")
    return tuple(item.text() for item in entry.texts())


def _limits(entry: Entry) -> LimitPolicy:
    try:
        return limit_setting.limit_policy(entry.value())
    except ConfigError as error:
        raise ConfigError(str(entry.error(str(error)))) from None


def _isolation(entry: Entry) -> Isolation | None:
    if entry.value() == _FULL:
        return Isolation.full()
    if not isinstance(entry.value(), list):
        raise entry.error(f"expected {_FULL}, or a list such as [pid, network]")
    names = entry.texts()
    for name in names:
        name.known(fence.PARTS, "part of isolation")
    return fence.of_parts([name.text() for name in names])


_READERS: Mapping[str, tuple[str, Callable[[Entry], Any]]] = {
    "running": ("running", Entry.number),
    "queued": ("queued", _queued),
    "priority": ("priority", _priority),
    "commands": ("commands", _paths),
    "environment": ("environment", _environment),
    "users": ("users", _users),
    "limits": ("limits", _limits),
    "isolation": ("isolation", _isolation),
    "writable": ("writable", _paths),
    "newPrivileges": ("new_privileges", Entry.flag),
}

KEYS = tuple(_READERS)
"""The keys of bounds, in the order in which they are shown."""
