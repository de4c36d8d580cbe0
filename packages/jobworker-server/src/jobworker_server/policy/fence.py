"""Isolation that is demanded: its parts by their names, and how it is added to what a start asks for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from jobworker_lib import Isolation

_SWITCHES = {
    "pid": "pid",
    "ipc": "ipc",
    "uts": "uts",
    "read-only": "read_only",
    "private-tmp": "private_tmp",
    "private-devices": "private_devices",
    "no-new-privileges": "no_new_privileges",
    "drop-capabilities": "drop_capabilities",
    "seccomp": "seccomp",
}
NETWORK, LANDLOCK = "network", "landlock"

PARTS = (*_SWITCHES, NETWORK, LANDLOCK)
"""Their names, as the command line has them."""


def of_parts(names: list[str]) -> Isolation | None:
    """The isolation that has these parts, Landlock where the kernel has it; None: it is none."""
    if not names:
        return None
    switches: dict[str, Any] = dict.fromkeys((_SWITCHES[name] for name in names if name in _SWITCHES), True)
    return replace(
        Isolation(**switches),
        network="isolated" if NETWORK in names else "host",
        landlock=None if LANDLOCK in names else False,
    )


def parts_of(isolation: Isolation) -> list[str]:
    """The names of the parts that it has."""
    found = [name for name, field in _SWITCHES.items() if getattr(isolation, field)]
    if isolation.network != "host":
        found.append(NETWORK)
    if isolation.landlock is not False:
        found.append(LANDLOCK)
    return found


def depends_on_paths(isolation: Isolation | None) -> bool:
    """Whether a path that a start names, where it works or writes, makes a hole in it.

    Such a path stays writable where all else is not, and stays as it is on the host in a private /tmp, /dev and /run.
    """
    return isolation is not None and (isolation.read_only or isolation.private_tmp or isolation.private_devices)


def both(first: Isolation | None, second: Isolation | None) -> Isolation | None:
    """What has the parts of either, and what else the first asks for."""
    if first is None or second is None:
        return second if first is None else first
    switches: dict[str, Any] = {field: True for field in _SWITCHES.values() if getattr(second, field)}
    return replace(
        first,
        **switches,
        network=second.network if first.network == "host" else first.network,
        landlock=second.landlock if first.landlock is False else first.landlock,
    )
