"""Checks what a job asks for in isolation, wherever it is to run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from jobworker_lib.errors import InvalidArgumentError
from jobworker_lib.isolation import capabilities, mount_plan
from jobworker_lib.isolation.mountinfo import is_below
from jobworker_lib.job.isolation import NETWORKS

if TYPE_CHECKING:
    from jobworker_lib.job.isolation import Isolation

_MOST_PATHS = 64
_LONGEST_PATH = 4095
_MOST_GROUPS = 64


def checked_isolation(isolation: Isolation, cwd: str) -> Isolation:
    """The isolation, its names and paths made canonical, where it can be used.

    Raises:
        InvalidArgumentError: something in it can't be, or contradicts something else.
    """
    if isolation.network not in NETWORKS:
        raise InvalidArgumentError("isolation.network", f"give one of {', '.join(NETWORKS)}")
    writable = _checked_paths("isolation.writable", isolation.writable)
    hidden = _checked_paths("isolation.hidden", isolation.hidden)
    if not all(map(mount_plan.may_be_writable, writable)):
        raise InvalidArgumentError("isolation.writable", "neither / nor anything in /proc, /sys and /dev can be")
    for path in (cwd, *writable):
        if any(is_below(path, directory) for directory in hidden):
            raise InvalidArgumentError("isolation.hidden", "the working directory, or a writable path, is in it")
    kept = tuple(capabilities.NAMES[number] for number in capabilities.numbers(isolation.kept_capabilities))
    if kept and not isolation.drop_capabilities:
        raise InvalidArgumentError("isolation.kept_capabilities", "they are for who sets drop_capabilities")
    if isolation.landlock and not (isolation.read_only or mount_plan.needs_mounts(isolation)):
        raise InvalidArgumentError("isolation.landlock", "there is nothing for it to hold; set read_only or hidden")
    return replace(isolation, writable=writable, hidden=hidden, kept_capabilities=kept)


def checked_groups(groups: Sequence[str] | None, user: str | None) -> tuple[str, ...] | None:
    """The groups, where there can be so many, and there is a user for them. InvalidArgumentError otherwise."""
    if groups is None:
        return None
    if user is None:
        raise InvalidArgumentError("groups", "give a user as well")
    if isinstance(groups, str) or len(groups) > _MOST_GROUPS:
        raise InvalidArgumentError("groups", f"give a list of at most {_MOST_GROUPS} groups")
    return tuple(groups)


def _checked_paths(field: str, paths: Sequence[str]) -> tuple[str, ...]:
    if isinstance(paths, str) or len(paths) > _MOST_PATHS:
        raise InvalidArgumentError(field, f"give a list of at most {_MOST_PATHS} paths")
    for path in paths:
        if not path.startswith("/") or len(path) > _LONGEST_PATH or "\0" in path:
            raise InvalidArgumentError(field, "give absolute paths")
    return tuple(dict.fromkeys(map(os.path.normpath, paths)))
