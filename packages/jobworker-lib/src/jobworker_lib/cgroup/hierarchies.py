"""The cgroup hierarchies that are mounted here, and this process's place in them (cgroups(7))."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

from jobworker_lib.isolation.mountinfo import is_below

V1_CONTROLLERS = ("memory", "cpu", "cpuacct", "pids", "blkio", "freezer")


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """A mounted hierarchy."""

    mount: str
    own: str | None
    """The directory of this process's cgroup; None: it is not below what is mounted."""


@dataclass(frozen=True, slots=True)
class Hierarchies:
    """All that are mounted."""

    unified: Hierarchy | None = None
    """That of version 2."""
    controllers: dict[str, Hierarchy] = field(default_factory=dict)
    """Those of version 1, by controller."""


def read() -> Hierarchies:
    """The hierarchies as this process sees them."""
    with open("/proc/self/mountinfo") as mounts, open("/proc/self/cgroup") as membership:
        return parse(mounts.read(), membership.read())


def parse(mounts: str, membership: str) -> Hierarchies:
    """The hierarchies that these two files in /proc tell of."""
    own = _membership(membership)
    unified: Hierarchy | None = None
    controllers: dict[str, Hierarchy] = {}
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        root, point = before.split(" ")[3:5]
        kind, _, options = after.split(" ", 2)
        if kind == "cgroup2" and unified is None:
            unified = Hierarchy(point, _own_directory(root, point, own.get("")))
        elif kind == "cgroup":
            for name in set(options.split(",")) & set(V1_CONTROLLERS):
                controllers.setdefault(name, Hierarchy(point, _own_directory(root, point, own.get(name))))
    return Hierarchies(unified, controllers)


def _membership(text: str) -> dict[str, str]:
    """This process's cgroups by controller; that of version 2 by the empty name."""
    found = {}
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        found.update(dict.fromkeys(controllers.split(","), path))
    return found


def _own_directory(root: str, point: str, own: str | None) -> str | None:
    """Where a cgroup is seen when ``root`` of its hierarchy is mounted at ``point``."""
    if own is None or not is_below(own, root) or ".." in own.split("/"):  # outside this process's cgroup namespace
        return None
    return os.path.normpath(os.path.join(point, os.path.relpath(own, root)))
