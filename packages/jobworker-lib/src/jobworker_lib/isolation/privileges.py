"""Lets go of privileges, in a process that is about to execute a job's command."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from jobworker_lib.isolation import calls

if TYPE_CHECKING:
    from jobworker_lib.isolation.users import Account


def become(account: Account, kept: Sequence[int] | None) -> None:
    """Run as another user from now on; ``kept`` are the capabilities to keep then, None where none are kept."""
    for descriptor in (0, 1, 2):
        _hand_over(descriptor, account)
    if kept:
        calls.keep_capabilities()
    os.setgroups(account.groups)
    os.setresgid(account.gid, account.gid, account.gid)
    os.setresuid(account.uid, account.uid, account.uid)


def _hand_over(descriptor: int, account: Account) -> None:
    """Let the job open its own standard streams again, as /dev/stdout does; what is anyone's stays so."""
    with suppress(OSError):  # a filesystem without owners
        if os.fstat(descriptor).st_rdev != os.stat(os.devnull).st_rdev:
            os.fchown(descriptor, account.uid, -1)


def bound_capabilities(kept: Sequence[int], last: int) -> None:
    """Let no program gain any capability but ``kept``, of those up to ``last``. Before the user changes."""
    for capability in range(last + 1):
        if capability not in kept:
            calls.drop_from_bounding_set(capability)


def drop_capabilities(kept: Sequence[int]) -> None:
    """Have no capability but ``kept``, over execve(2) too. After the user has changed."""
    calls.set_capabilities(kept)
    calls.set_ambient(kept)


def map_own_user(uid: int, gid: int) -> None:
    """In a new user namespace: be who we were outside of it, and nobody else (user_namespaces(7))."""
    for name, line in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        descriptor = os.open(f"/proc/self/{name}", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)
