"""What a job's mount namespace is to look like, computed from what the job asks for and what the host has."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING

from jobworker_lib.isolation import mountinfo
from jobworker_lib.isolation.mountinfo import is_below

if TYPE_CHECKING:
    from jobworker_lib.job.isolation import Isolation

_TEMPORARY = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108 - they are replaced, not used
_RUN = ("/run", "/var/run")
_KERNEL_INTERNALS = (
    "/sys/firmware",
    "/sys/fs/bpf",
    "/sys/fs/pstore",
    "/sys/kernel/debug",
    "/sys/kernel/security",
    "/sys/kernel/tracing",
    "/sys/devices/virtual/powercap",
)
_NEVER_WRITABLE = ("/proc", "/sys", "/dev")
_ALWAYS_WRITABLE = ("/dev/shm",)  # noqa: S108 - asked for by who starts the job


@dataclass(frozen=True, slots=True, kw_only=True)
class MountPlan:
    """All paths are absolute, without links, and there."""

    read_only: bool
    proc: bool
    """Whether /proc is to be one of the new PID namespace."""
    devices: bool
    temporary: tuple[str, ...]
    """Directories that become empty ones of the job's own."""
    emptied: tuple[str, ...]
    """Directories that become empty, before what is kept is put back."""
    kept: tuple[str, ...]
    """What stays as it is, and writable, also where a directory above it is replaced; parents before their children."""
    hidden: tuple[str, ...]
    """Files and directories that become empty, whatever else is said of them."""
    pinned: tuple[str, ...]
    """Directories above the hidden that the job could move away, and what is hidden with them."""
    terminal: str | None
    """The device of the job's terminal, where it needs a place in a /dev of the job's own."""


def needs_mounts(isolation: Isolation) -> bool:
    """Whether a job so isolated has a mount namespace."""
    return bool(
        isolation.pid or isolation.read_only or isolation.private_tmp or isolation.private_devices or isolation.hidden
    )


def make(isolation: Isolation, cwd: str, hidden: Iterable[str], terminal: str | None) -> MountPlan:
    """Plan the mounts; ``hidden`` are paths to hide besides the job's own. No path may be, or lead through, a link."""
    mounts = mountinfo.read()
    emptied = _directories(_RUN) if isolation.private_devices else ()
    temporary = _directories(_TEMPORARY) if isolation.private_tmp else ()
    if isolation.private_devices:
        temporary = tuple(path for path in temporary if not is_below(path, "/dev"))  # it has one of its own
    masks = _directories(_KERNEL_INTERNALS) if isolation.private_devices else ()
    replaced = (*emptied, *temporary, *(("/dev",) if isolation.private_devices else ()))
    kept = _kept(isolation, cwd, replaced)
    concealed = _hidden((*isolation.hidden, *hidden), mounts)
    return MountPlan(
        read_only=isolation.read_only,
        proc=isolation.pid,
        devices=isolation.private_devices,
        temporary=temporary,
        emptied=emptied,
        kept=kept,
        hidden=(*concealed, *masks),
        pinned=_pinned(concealed, kept if isolation.read_only else ("/",)),
        terminal=terminal if isolation.private_devices else None,
    )


def may_be_writable(path: str) -> bool:
    """Whether a path can be kept writable without giving away the host: it is not / nor the kernel's own."""
    if any(is_below(path, shared) for shared in _ALWAYS_WRITABLE):
        return True
    return path != "/" and not any(is_below(path, forbidden) for forbidden in _NEVER_WRITABLE)


def _kept(isolation: Isolation, cwd: str, replaced: Sequence[str]) -> tuple[str, ...]:
    # Not resolved again: a job could have replaced a part of the path by a link, before it is executed again.
    wanted = {cwd, *isolation.writable} - set(replaced)
    if not isolation.read_only:
        wanted = {path for path in wanted if any(is_below(path, directory) for directory in replaced)}
    return _outermost(path for path in wanted if may_be_writable(path))


def _hidden(paths: Iterable[str], mounts: Sequence[mountinfo.Mount]) -> tuple[str, ...]:
    return _outermost(place for path in paths for place in (path, *mountinfo.aliases(path, mounts)))


def _pinned(hidden: Iterable[str], movable: Sequence[str]) -> tuple[str, ...]:
    """What is above the hidden, and below something in which the job can rename; parents before their children."""
    found: dict[str, None] = {}
    for path in hidden:
        for above in (os.fspath(parent) for parent in reversed(PurePath(path).parents)):
            if any(above != root and is_below(above, root) for root in movable):
                found[above] = None
    return tuple(found)


def _outermost(paths: Iterable[str]) -> tuple[str, ...]:
    """Those that are there and not below another one."""
    outermost: list[str] = []
    for path in sorted(set(paths), key=lambda path: path.split("/")):
        if not (outermost and is_below(path, outermost[-1])) and os.path.exists(path):
            outermost.append(path)
    return tuple(outermost)


def _directories(paths: Iterable[str]) -> tuple[str, ...]:
    """Those that are there, each once, links resolved."""
    return tuple(dict.fromkeys(real for path in paths if os.path.isdir(real := os.path.realpath(path))))
