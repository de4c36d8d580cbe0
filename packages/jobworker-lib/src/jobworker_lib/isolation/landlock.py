"""Landlock (landlock(7)): the second lock on what the mounts of a job keep it from."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobworker_lib.isolation import calls
from jobworker_lib.isolation.mountinfo import is_below

if TYPE_CHECKING:
    from jobworker_lib.isolation.mount_plan import MountPlan

_EXECUTE = 1 << 0
_WRITE_FILE = 1 << 1
_READ_FILE = 1 << 2
_READ_DIRECTORY = 1 << 3
_TRUNCATE = 1 << 14

_NEW_IN_VERSION = {1: range(13), 2: (13,), 3: (14,), 5: (15,)}
"""Which kinds of access, by their bits, each version of Landlock added."""
_READING = _EXECUTE | _READ_FILE | _READ_DIRECTORY
_IOCTL_OF_DEVICES = 1 << 15
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE
"""What can be allowed for what is no directory."""
_VERSION_WITH_SCOPES = 6
_SCOPES = 0b11
"""Abstract Unix sockets, and signals, of processes outside."""
_NOT_WRITTEN_TO = ("/dev", "/proc")
"""Filesystems in which the kernel itself minds what may be written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What to refuse, and where to allow it all the same."""

    handled: int
    scoped: int
    everywhere: tuple[str, ...]
    """Directories in which everything is allowed."""
    hidden: tuple[str, ...]
    """Files and directories that must not be read, unless they are in one of ``everywhere``."""


def rules(plan: MountPlan, version: int) -> Rules:
    """The rules that repeat a plan of mounts, in the words of a version of Landlock."""
    known = sum(1 << bit for least, bits in _NEW_IN_VERSION.items() if least <= version for bit in bits)
    writing = known & ~_READING & ~_IOCTL_OF_DEVICES if plan.read_only else 0
    hidden = tuple(path for path in plan.hidden if not is_below(path, "/sys"))
    return Rules(
        handled=writing | (_READ_FILE if hidden else 0),
        scoped=_SCOPES if version >= _VERSION_WITH_SCOPES else 0,
        everywhere=(*plan.kept, *plan.temporary, *(_NOT_WRITTEN_TO if plan.read_only else ())),
        hidden=hidden,
    )


def apply(chosen: Rules) -> None:
    """Hold this process, and all that it executes, to the rules."""
    ruleset = calls.landlock_create_ruleset(chosen.handled, chosen.scoped)
    try:
        for path in chosen.everywhere:
            _allow(ruleset, path, chosen.handled)
        if chosen.handled & _READ_FILE:
            for path in _visible("/", chosen.hidden):
                _allow(ruleset, path, _READ_FILE)
        calls.landlock_restrict_self(ruleset)
    finally:
        os.close(ruleset)


def _visible(directory: str, hidden: Iterable[str]) -> Iterator[str]:
    """What there is besides the hidden: rules only allow, so all the rest must be named."""
    inside = [path for path in hidden if is_below(path, directory)]
    if directory in inside:
        return
    if not inside:
        yield directory
        return
    with suppress(PermissionError), os.scandir(directory) as entries:
        for entry in entries:
            if not entry.is_symlink():
                yield from _visible(entry.path, inside)


def _allow(ruleset: int, path: str, access: int) -> None:
    with suppress(FileNotFoundError, PermissionError):  # what can't be reached needs no permission
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            if not os.path.isdir(path):
                access &= _OF_FILES
            if access:
                calls.landlock_allow(ruleset, access, handle)
        finally:
            os.close(handle)
