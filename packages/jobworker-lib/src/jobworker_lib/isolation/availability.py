"""Refuses isolation that can't be had here, before a job is accepted; and settles what is to be had where it can be."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from jobworker_lib.errors import InvalidArgumentError, IsolationError
from jobworker_lib.isolation import calls, capabilities, mount_plan, probe, seccomp, users
from jobworker_lib.isolation.checking import checked_isolation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobworker_lib.job.isolation import Isolation
    from jobworker_lib.job.spec import JobSpec

_NO_LANDLOCK = (
    "this kernel has no Landlock; it needs Linux 5.13 or newer with CONFIG_SECURITY_LANDLOCK, and landlock in the list "
    "of the boot option lsm="
)


def settled(spec: JobSpec, hidden_paths: Sequence[str]) -> JobSpec:
    """The job with its isolation as this host can do it.

    Raises:
        InvalidArgumentError: a path is not there, or the job is to run in one that is hidden.
        IsolationError: this host, or this user, can't isolate it as was asked for.
    """
    if spec.user is not None:
        _require_user(spec.user, spec.groups)
    if spec.isolation is None:
        return spec
    isolation = checked_isolation(_settled(spec.isolation), os.path.realpath(spec.cwd))
    for field, paths in (("hidden", isolation.hidden), ("writable", isolation.writable)):
        if not all(map(os.path.exists, paths)):
            raise InvalidArgumentError(f"isolation.{field}", "a path does not exist on this host")
    _require(isolation)
    if spec.user is not None and probe.needs_user_namespace(isolation):
        raise IsolationError("user", "a job in a user namespace can only have the user of the engine; run that as root")
    cwd = os.path.realpath(spec.cwd) if mount_plan.needs_mounts(isolation) else spec.cwd
    return replace(spec, isolation=isolation, hidden_paths=tuple(hidden_paths), cwd=cwd)


def _settled(isolation: Isolation) -> Isolation:
    has_landlock = calls.landlock_version() > 0 if isolation.landlock is None else isolation.landlock
    return replace(
        isolation,
        writable=tuple(map(os.path.realpath, isolation.writable)),
        hidden=tuple(map(os.path.realpath, isolation.hidden)),
        landlock=has_landlock,
        no_new_privileges=isolation.no_new_privileges or isolation.seccomp or has_landlock,
    )


def _require_user(user: str, groups: Sequence[str] | None) -> None:
    users.account(user, groups)
    needed = {capabilities.SETUID, capabilities.SETGID}
    if not needed <= capabilities.executed():
        raise IsolationError(
            "user",
            f"only root can start jobs of a user; this engine runs as the user {os.geteuid()} without CAP_SETUID and "
            "CAP_SETGID. Run it as root, or leave the user out",
        )


def _require(isolation: Isolation) -> None:
    if isolation.landlock and not calls.landlock_version():
        raise IsolationError("landlock", _NO_LANDLOCK)
    if isolation.seccomp and os.uname().machine not in seccomp.ARCHITECTURES:
        raise IsolationError(
            "seccomp", f"there is no filter for {os.uname().machine}, only for {', '.join(seccomp.ARCHITECTURES)}"
        )
    probe.require(replace(isolation, writable=(), hidden=()))
