"""The part of the hierarchy of version 2 that is this process's to use, with its controllers enabled."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from jobworker_lib.cgroup import files
from jobworker_lib.isolation.mountinfo import is_below

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from jobworker_lib.cgroup.hierarchies import Hierarchy

ENGINE_LEAF = "jobworker-engine"
"""A cgroup beside those of jobs, for what else there is: one that has controllers enabled may hold no processes."""
APART = "jobworker-jobs"
"""A cgroup for those of jobs, in one that has others as well."""
_CONTROL = "cgroup.subtree_control"
_ATTEMPTS = 100
_ADVICE = (
    "start the engine in a delegated cgroup (systemd: Delegate=yes in its unit, or"
    " systemd-run --user --scope -p Delegate=yes COMMAND), or name one (cgroup=PATH, or --cgroup PATH of the server)"
)


def find(unified: Hierarchy, parent: str | None) -> tuple[str | None, str]:
    """The directory in which cgroups of jobs are made, or why there is none."""
    if parent is not None:
        directory = os.path.join(
            unified.mount,
            os.path.relpath(parent, unified.mount) if is_below(parent, unified.mount) else parent.lstrip("/"),
        )
        if not os.path.isdir(directory):
            return (
                None,
                f"there is no cgroup {directory}; make it, and give it to the user of the engine (mkdir, chown)",
            )
        if _is_writable(directory) and (problem := entry_problem(unified, directory)) is not None:
            return None, problem
        return _if_writable(directory)
    if unified.own is None:
        return None, f"the cgroup of this process is not below {unified.mount}; {_ADVICE}"
    for directory in _upwards(unified.own, unified.mount):
        if _is_delegated(directory) and _is_writable(directory):
            return _apart(directory, unified.own)
    if os.geteuid() == 0:
        return _apart(unified.mount, unified.own) if _is_writable(unified.mount) else _if_writable(unified.mount)
    if os.path.basename(unified.own) == ENGINE_LEAF:
        return _if_writable(os.path.dirname(unified.own))
    return _if_writable(unified.own)


def entry_problem(unified: Hierarchy, directory: str) -> str | None:
    """Why a job can't get from this process's cgroup into one below a directory of version 2; None: it can.

    That takes more than what cgroups of version 1 ask for: who moves a process must be allowed to write to
    ``cgroup.procs`` of the nearest cgroup that both are in.
    """
    if unified.own is None:
        return None
    above = os.path.commonpath((unified.own, directory))
    if os.access(os.path.join(above, "cgroup.procs"), os.W_OK):
        return None
    return (
        f"user {os.geteuid()} can't move processes from {unified.own}, where the engine is, to {directory}: the kernel"
        f" wants {above}/cgroup.procs to be writable for that, too; have root start the engine in a cgroup of its own"
        f" there, such as {directory}/{ENGINE_LEAF}"
    )


def warning(unified: Hierarchy) -> str | None:
    """What will fail later, where this process is in the very cgroup that systemd has delegated; None: nothing."""
    if unified.own is None or not _is_delegated(unified.own):
        return None
    return (
        f"the engine is in {unified.own} itself, which systemd has delegated. Jobs enable controllers there for their"
        " cgroups, and while they run the kernel lets no process enter it any more, so that a restart of the unit fails"
        f" (219/CGROUP, EBUSY). Set DelegateSubgroup={ENGINE_LEAF} in the unit (systemd 254 or newer), or name"
        " the cgroup of another unit for jobs (cgroup=PATH)"
    )


def enable(mount: str, directory: str, controllers: Iterable[str]) -> dict[str, str]:
    """Enable controllers for the cgroups in a directory, from the top down: what is wrong with each that can't be."""
    problems = {}
    shared = os.path.dirname(directory) if os.path.basename(directory) == APART else directory
    for name in controllers:
        for level in reversed(list(_upwards(directory, mount))):
            problem = _enable(level, name, may_empty=level in (directory, shared))
            if problem is not None:
                problems[name] = problem
                break
    return problems


def _enable(directory: str, controller: str, *, may_empty: bool) -> str | None:
    if controller in (files.read(directory, _CONTROL) or "").split():
        return None
    if controller not in (files.read(directory, "cgroup.controllers") or "").split():
        return (
            f"the cgroup controller {controller} is missing in {directory}/cgroup.controllers (version 2); enable it in"
            f" the kernel and in the cgroups above (systemd: Delegate={controller} in the unit)"
        )
    for attempt in range(_ATTEMPTS):
        try:
            files.write(directory, _CONTROL, f"+{controller}")
        except OSError as error:
            if error.errno == errno.EBUSY and may_empty and attempt + 1 < _ATTEMPTS:
                _empty(directory)  # again, for processes may fork meanwhile
                continue
            return (
                f"the cgroup controller {controller} can't be enabled in {directory}/{_CONTROL}: {error.strerror};"
                f" {_ADVICE}"
            )
        else:
            break
    return None


def _empty(directory: str) -> None:
    """Move the processes of a cgroup of ours to a leaf of their own."""
    leaf = os.path.join(directory, ENGINE_LEAF)
    with suppress(OSError):  # what fails here is told of by who enables the controller
        os.makedirs(leaf, exist_ok=True)
        for pid in (files.read(directory, "cgroup.procs") or "").split():
            with suppress(ProcessLookupError):
                files.write(leaf, "cgroup.procs", pid)


def _upwards(directory: str, mount: str) -> Iterator[str]:
    while is_below(directory, mount):
        yield directory
        if directory == mount:
            return
        directory = os.path.dirname(directory)


def _is_delegated(directory: str) -> bool:
    """Whether systemd has marked it so."""
    for name in ("user.delegate", "trusted.delegate"):
        with suppress(OSError):
            if os.getxattr(directory, name) == b"1":
                return True
    return False


def _is_writable(directory: str) -> bool:
    wanted = (directory, f"{directory}/cgroup.procs", f"{directory}/{_CONTROL}")
    return all(os.access(path, os.W_OK) for path in wanted)


def _apart(directory: str, own: str) -> tuple[str | None, str]:
    """Where cgroups are made in one that is not the engine's alone, such as that of a manager of services.

    systemd disables the controllers again that none of its units needs, and limits of what is there would be gone with
    them. The kernel does not let it where a cgroup there has enabled them for those below: so one is put in between.
    """
    if own in (directory, os.path.join(directory, ENGINE_LEAF)):
        return directory, ""
    between = os.path.join(directory, APART)
    try:
        os.makedirs(between, exist_ok=True)
    except OSError as error:
        return None, f"the cgroup {between} can't be made: {error.strerror}; {_ADVICE}"
    return between, ""


def _if_writable(directory: str) -> tuple[str | None, str]:
    if _is_writable(directory):
        return directory, ""
    return None, f"the cgroup {directory} is not user {os.geteuid()}'s to use; {_ADVICE}"
