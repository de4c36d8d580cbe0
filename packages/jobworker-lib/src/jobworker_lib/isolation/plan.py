"""All that isolates one execution of a job's command, read and computed before anything is forked for it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobworker_lib.isolation import calls, capabilities, landlock, loopback, mount_plan, mounting, privileges, seccomp
from jobworker_lib.isolation.users import account
from jobworker_lib.job.start_errors import WORKING_DIRECTORY

if TYPE_CHECKING:
    from jobworker_lib.isolation.landlock import Rules
    from jobworker_lib.isolation.mount_plan import MountPlan
    from jobworker_lib.isolation.users import Account
    from jobworker_lib.job.isolation import Isolation
    from jobworker_lib.shim.enter import Step

_HOST_NAME = "jobworker"


@dataclass(frozen=True, slots=True, kw_only=True)
class IsolationPlan:
    """What to do in the process that was forked for a job."""

    has_init: bool
    """Whether the job gets a PID namespace, and so a process that is the first in it."""
    own_user: tuple[int, int] | None
    """The user and group to be in a new user namespace; None: there is none."""
    unshared: int
    """The namespaces to make, besides those of processes and users."""
    mounts: MountPlan | None
    loopback: bool
    account: Account | None
    kept: tuple[int, ...] | None
    """The capabilities to keep; None: all."""
    last_capability: int
    no_new_privileges: bool
    landlock: Rules | None
    seccomp: bytes | None
    cwd: str

    @property
    def clone_flags(self) -> int:
        """The namespaces in which the init process is made."""
        return calls.CLONE_NEWPID | (calls.CLONE_NEWUSER if self.own_user else 0)


def make(
    isolation: Isolation,
    *,
    cwd: str,
    hidden: Sequence[str] = (),
    user: str | None = None,
    groups: Sequence[str] | None = None,
    terminal: str | None = None,
) -> IsolationPlan:
    """Plan what a job asks for; ``hidden`` are the paths to hide from every job that has a mount namespace.

    No path of a job with one is, or leads through, a symbolic link: they were resolved when it was accepted.

    Raises:
        InvalidArgumentError: there is no such user, group or capability.
        KeyError: seccomp is asked for on an architecture that there is no filter for.
    """
    needs_user = needs_user_namespace(isolation)
    mounts = mount_plan.make(isolation, cwd, hidden, terminal) if mount_plan.needs_mounts(isolation) else None
    rules = None
    if isolation.landlock and mounts is not None:
        rules = landlock.rules(mounts, calls.landlock_version())
    return IsolationPlan(
        has_init=isolation.pid,
        own_user=(os.geteuid(), os.getegid()) if needs_user else None,
        unshared=_unshared(isolation, mounts),
        mounts=mounts,
        loopback=isolation.network == "isolated",
        account=account(user, groups) if user is not None else None,
        kept=capabilities.numbers(isolation.kept_capabilities) if isolation.drop_capabilities else None,
        last_capability=capabilities.last(),
        no_new_privileges=isolation.no_new_privileges,
        landlock=rules,
        seccomp=seccomp.program() if isolation.seccomp else None,
        cwd=cwd,
    )


def needs_user_namespace(isolation: Isolation) -> bool:
    """Whether a job so isolated needs a user namespace here, for this process may not do it all by itself."""
    wants_privileges = (
        isolation.ipc
        or isolation.uts
        or isolation.network != "host"
        or isolation.drop_capabilities
        or mount_plan.needs_mounts(isolation)
    )
    return bool(wants_privileges) and capabilities.SYS_ADMIN not in capabilities.executed()


def namespace_steps(plan: IsolationPlan) -> list[Step]:
    """What makes the job's view of the host: in its init process, or else in its main process."""
    steps: list[Step] = []
    if plan.own_user is not None:
        uid, gid = plan.own_user
        if not plan.has_init:
            steps.append(("user_namespace", lambda: calls.unshare(calls.CLONE_NEWUSER)))
        steps.append(("user_namespace", lambda: privileges.map_own_user(uid, gid)))
    if plan.unshared:
        steps.append(("namespaces", lambda: calls.unshare(plan.unshared)))
    if plan.unshared & calls.CLONE_NEWUTS:
        steps.append(("uts", lambda: calls.sethostname(_HOST_NAME)))
    if plan.loopback:
        steps.append(("network", loopback.bring_up))
    if (mounts := plan.mounts) is not None:
        steps.append(("mounts", lambda: mounting.apply(mounts)))
    return steps


def command_steps(plan: IsolationPlan) -> list[Step]:
    """What lets go of privileges, in the job's main process, just before its command is executed."""
    steps: list[Step] = []
    kept, user, rules, program = plan.kept, plan.account, plan.landlock, plan.seccomp
    if kept is not None:
        steps.append(("capabilities", lambda: privileges.bound_capabilities(kept, plan.last_capability)))
    if user is not None:
        steps.append(("user", lambda: privileges.become(user, kept)))
    if kept is not None:
        steps.append(("capabilities", lambda: privileges.drop_capabilities(kept)))
    if plan.no_new_privileges:
        steps.append(("no_new_privileges", calls.set_no_new_privileges))
    steps.append((WORKING_DIRECTORY, lambda: os.chdir(plan.cwd)))
    if rules is not None:
        steps.append(("landlock", lambda: landlock.apply(rules)))
    if program is not None:
        steps.append(("seccomp", lambda: calls.set_seccomp_filter(program)))
    return steps


def farewell_steps(plan: IsolationPlan) -> list[Step]:
    """What lets go of the init process's privileges, when the main process is there."""
    return [
        ("capabilities", lambda: privileges.bound_capabilities((), plan.last_capability)),
        ("capabilities", lambda: privileges.drop_capabilities(())),
        ("no_new_privileges", calls.set_no_new_privileges),
    ]


def _unshared(isolation: Isolation, mounts: MountPlan | None) -> int:
    wanted = {
        calls.CLONE_NEWNS: mounts is not None,
        calls.CLONE_NEWIPC: isolation.ipc,
        calls.CLONE_NEWUTS: isolation.uts,
        calls.CLONE_NEWNET: isolation.network != "host",
    }
    return sum(flag for flag, is_wanted in wanted.items() if is_wanted)
