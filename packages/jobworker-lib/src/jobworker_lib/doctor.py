"""Tells what this host can enforce, for who runs the engine as now, and how to get the rest."""

from __future__ import annotations

import os
import textwrap
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from jobworker_lib.cgroup import delegation, devices, hierarchies, place
from jobworker_lib.cgroup.checking import require_enforceable
from jobworker_lib.errors import IsolationError, LimitNotEnforceableError
from jobworker_lib.isolation.availability import settled
from jobworker_lib.job.isolation import Isolation
from jobworker_lib.job.limits import IoLimit, Limits
from jobworker_lib.job.spec import JobSpec

if TYPE_CHECKING:
    from collections.abc import Iterable

_READS = IoLimit(read_bytes_per_second=1 << 20, read_operations_per_second=100)
_WRITES = IoLimit(write_bytes_per_second=1 << 20, write_operations_per_second=100)
_LIMITS = {
    "memory_bytes": Limits(memory_bytes=1 << 30),
    "memory_high_bytes": Limits(memory_high_bytes=1 << 30),
    "swap_bytes": Limits(swap_bytes=1 << 30, memory_bytes=1 << 30),
    "cpus": Limits(cpus=0.5),
    "cpu_weight": Limits(cpu_weight=200),
    "pids": Limits(pids=100),
    "io: reads": Limits(io=(_READS,)),
    "io: writes": Limits(io=(_WRITES,)),
    "open_files": Limits(open_files=64),
    "file_size_bytes": Limits(file_size_bytes=1 << 20),
    "core_size_bytes": Limits(core_size_bytes=0),
    "nice: less favourable": Limits(nice=19),
    "nice: more favourable": Limits(nice=-20),
}
_ISOLATION: dict[str, dict[str, Any]] = {
    "pid": {"isolation": Isolation(pid=True)},
    "ipc": {"isolation": Isolation(ipc=True)},
    "uts": {"isolation": Isolation(uts=True)},
    "network": {"isolation": Isolation(network="isolated")},
    "read_only": {"isolation": Isolation(read_only=True)},
    "private_tmp": {"isolation": Isolation(private_tmp=True)},
    "private_devices": {"isolation": Isolation(private_devices=True)},
    "hidden": {"isolation": Isolation(hidden=("/usr",))},
    "no_new_privileges": {"isolation": Isolation(no_new_privileges=True)},
    "drop_capabilities": {"isolation": Isolation(drop_capabilities=True)},
    "seccomp": {"isolation": Isolation(seccomp=True)},
    "landlock": {"isolation": Isolation(read_only=True, landlock=True)},
    "all, as --isolate does": {"isolation": Isolation.full()},
    "user, groups": {"user": "0", "groups": ["0"]},
}
_WIDTH = 118


@dataclass(frozen=True, slots=True)
class Finding:
    """Whether this host can do one thing."""

    kind: Literal["limit", "isolation"]
    name: str
    problem: str | None
    """Why it can't, and what would help; None where it can."""


def examine(cgroup: str | None = None) -> list[Finding]:
    """Find out what can be enforced here, by trying it; takes a few seconds.

    Nothing of that is left but the controllers that were enabled for the cgroups of jobs. ``cgroup`` is as that of
    :class:`jobworker_lib.Engine`.
    """
    isolation = [Finding("isolation", name, _isolation_problem(options)) for name, options in _ISOLATION.items()]
    return examine_limits(cgroup) + isolation


def examine_limits(cgroup: str | None = None) -> list[Finding]:
    """The part of it that is about limits, which takes no time."""
    return [Finding("limit", name, _limit_problem(limits, cgroup)) for name, limits in _LIMITS.items()]


def report(cgroup: str | None = None) -> str:
    """All of it as text for people."""
    caution = _caution(cgroup)  # first: to examine may move this process
    findings = examine(cgroup)
    lines = [_about(cgroup)]
    for kind, title in (("limit", "Limits"), ("isolation", "Isolation")):
        own = [finding for finding in findings if finding.kind == kind]
        lines += ["", f"{title}:", *(f"  {'NO ' if one.problem else 'yes'}  {one.name}" for one in own)]
    if problems := _by_problem(findings):
        lines += ["", "What is missing, and what would help:"]
    for problem, names in problems.items():
        lines.append(
            textwrap.fill(f"{'; '.join(names)}: {problem}", _WIDTH, initial_indent="  - ", subsequent_indent="    ")
        )
    if caution:
        lines += ["", textwrap.fill(f"Beware: {caution}", _WIDTH)]
    return "\n".join(lines)


def _caution(cgroup: str | None) -> str | None:
    unified = hierarchies.read().unified
    return delegation.warning(unified) if unified is not None and cgroup is None else None


def _about(cgroup: str | None) -> str:
    here = place.find(cgroup)
    places = ", ".join(sorted(set(here.parents.values()))) or "nowhere"
    return (
        f"Linux {os.uname().release}, user {os.geteuid()}, cgroups of version {here.version};"
        f" those of jobs are made in {places}"
    )


def _by_problem(findings: Iterable[Finding]) -> dict[str, list[str]]:
    problems: dict[str, list[str]] = {}
    for finding in findings:
        if finding.problem:
            problems.setdefault(finding.problem, []).append(finding.name)
    return problems


def _limit_problem(limits: Limits, cgroup: str | None) -> str | None:
    disk = _some_disk()
    limits = replace(limits, io=tuple(replace(limit, device=disk) for limit in limits.io))
    try:
        require_enforceable(limits, os.getcwd(), cgroup)
    except LimitNotEnforceableError as error:
        return error.problem
    return None


def _some_disk() -> str:
    """A disk to ask for limits of: that of the working directory, if there is one."""
    with suppress(LimitNotEnforceableError):
        devices.resolve("", os.getcwd())
        return ""
    return next((f"/dev/{name}" for name in sorted(os.listdir("/sys/block"))), "")


def _isolation_problem(options: dict[str, Any]) -> str | None:
    try:
        settled(JobSpec.make(["true"], cwd="/", **options), ())
    except IsolationError as error:
        return error.problem
    return None
