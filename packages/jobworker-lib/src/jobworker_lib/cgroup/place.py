"""Where the cgroups of jobs are made on this host, and which controllers serve there."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Literal

from jobworker_lib.cgroup import delegation, hierarchies
from jobworker_lib.cgroup.hierarchies import V1_CONTROLLERS, Hierarchies, Hierarchy

V2_CONTROLLERS = ("memory", "cpu", "pids", "io")
UNIFIED = "unified"
"""Stands as a controller for an empty hierarchy of version 2 on a host that has the controllers in version 1."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where jobs get their cgroups."""

    version: Literal[1, 2]
    parents: dict[str, str] = field(default_factory=dict)
    """The directory to make a job's cgroup in, by controller; those of version 2 have all the same."""
    problems: dict[str, str] = field(default_factory=dict)
    """Why a controller is of no use here, by its name: where it was looked for, and what would fix it."""


def find(parent: str | None = None) -> Place:
    """Where this process can make cgroups; controllers are enabled on the way where that is needed.

    ``parent`` is the path of a cgroup, such as ``/jobs``, in each hierarchy; None: found from where this process is.
    """
    found = hierarchies.read()
    if found.unified is not None and _has_controllers(found.unified):
        return _in_version_2(found, found.unified, parent)
    return _in_version_1(found, parent)


def _has_controllers(unified: Hierarchy) -> bool:
    with open(os.path.join(unified.mount, "cgroup.controllers")) as file:
        return bool(set(file.read().split()) & set(V2_CONTROLLERS))


def _in_version_2(found: Hierarchies, unified: Hierarchy, parent: str | None) -> Place:
    directory, problem = delegation.find(unified, parent)
    if directory is None:
        return Place(2, {}, dict.fromkeys(V2_CONTROLLERS, problem))
    problems = delegation.enable(unified.mount, directory, V2_CONTROLLERS)
    for name in problems:
        if (other := found.controllers.get("blkio" if name == "io" else name)) is not None:
            problems[name] = (
                f"the cgroup controller {name} is mounted at {other.mount} in version 1, and others at {unified.mount}"
                " in version 2, where a job's must be all; boot the host with cgroup_no_v1=all"
            )
    parents = {name: directory for name in V2_CONTROLLERS if name not in problems}
    return Place(2, parents, problems)


def _in_version_1(found: Hierarchies, parent: str | None) -> Place:
    place = Place(1)
    for name in V1_CONTROLLERS:
        hierarchy = found.controllers.get(name)
        if hierarchy is None:
            place.problems[name] = (
                f"the cgroup controller {name} is missing: it is mounted neither in version 1 nor in version 2"
                " (/proc/self/mountinfo); enable it in the kernel (/proc/cgroups lists what it has), and mount it"
            )
            continue
        directory = _v1_parent(hierarchy, parent)
        if (problem := _v1_problem(name, hierarchy, directory)) is not None:
            place.problems[name] = problem
        elif directory is not None:
            place.parents[name] = directory
    if found.unified is not None:
        directory = _v1_parent(found.unified, parent)
        if directory is not None and _is_usable(found.unified, directory):
            place.parents[UNIFIED] = directory
    return place


def _is_usable(unified: Hierarchy, directory: str) -> bool:
    return os.access(directory, os.W_OK) and delegation.entry_problem(unified, directory) is None


def _v1_parent(hierarchy: Hierarchy, parent: str | None) -> str | None:
    return hierarchy.own if parent is None else os.path.join(hierarchy.mount, parent.lstrip("/"))


def _v1_problem(name: str, hierarchy: Hierarchy, directory: str | None) -> str | None:
    """Why no cgroup can be made in a hierarchy of version 1; None where one can."""
    if directory is None:
        return (
            f"the cgroup of this process is not below {hierarchy.mount}, where the controller {name} is mounted;"
            " give the engine a cgroup of its own (cgroup=PATH, or --cgroup PATH of the server)"
        )
    if not os.path.isdir(directory):
        return f"there is no cgroup {directory}; make it, and give it to the user of the engine (mkdir, chown)"
    if not os.access(directory, os.W_OK):
        return (
            f"the cgroup controller {name} is mounted at {hierarchy.mount} (version 1), but no cgroup can be made in"
            f" {directory} as user {os.geteuid()}; run the engine as root, or make a cgroup for it, give it to that"
            " user (mkdir, chown -R) and name it (cgroup=PATH, or --cgroup PATH of the server)"
        )
    return None
