"""What of limits and isolation can be had on this host, by this user, and what would help where it can't."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from jobworker_lib.cgroup import place
from jobworker_lib.cgroup.checking import require_enforceable
from jobworker_lib.errors import InvalidArgumentError, IsolationError, LimitNotEnforceableError
from jobworker_lib.isolation.availability import settled
from jobworker_lib.job.isolation import Isolation
from jobworker_lib.job.limits import IoLimit, Limits
from jobworker_lib.job.spec import JobSpec

_CWD = "/"
"""That of the job that is tried; limits of disks are tried with the one that it is on."""

_LIMITS = {
    "memory_bytes": Limits(memory_bytes=1 << 26),
    "memory_high_bytes": Limits(memory_high_bytes=1 << 26),
    "swap_bytes": Limits(memory_bytes=1 << 26, swap_bytes=1 << 26),
    "cpus": Limits(cpus=0.5),
    "cpu_weight": Limits(cpu_weight=50),
    "pids": Limits(pids=50),
    "io (reads)": Limits(io=(IoLimit(read_bytes_per_second=1 << 20),)),
    "io (writes)": Limits(io=(IoLimit(write_bytes_per_second=1 << 20),)),
    "open_files": Limits(open_files=64),
    "file_size_bytes": Limits(file_size_bytes=1 << 20),
    "core_size_bytes": Limits(core_size_bytes=0),
    "nice (above 0)": Limits(nice=10),
    "nice (below 0)": Limits(nice=-10),
}
_ISOLATION = {
    "pid": Isolation(pid=True),
    "ipc": Isolation(ipc=True),
    "uts": Isolation(uts=True),
    "network (isolated)": Isolation(network="isolated"),
    "network (none)": Isolation(network="none"),
    "read_only": Isolation(read_only=True),
    "private_tmp": Isolation(private_tmp=True),
    "private_devices": Isolation(private_devices=True),
    "no_new_privileges": Isolation(no_new_privileges=True),
    "drop_capabilities": Isolation(drop_capabilities=True),
    "seccomp": Isolation(seccomp=True),
    "landlock": Isolation(read_only=True, landlock=True),
    "all of it": Isolation.full(),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """Whether one thing can be had."""

    kind: str
    """``limits`` or ``isolation``."""
    name: str
    problem: str | None
    """What is missing, and what would help; None: it can be had."""


def examine(cgroup: str | None = None) -> Iterator[Finding]:
    """Try each limit and each part of the isolation; ``cgroup`` is that of the engine."""
    for name, limits in _LIMITS.items():
        yield Finding("limits", name, _problem_of_limits(limits, cgroup))
    for name, isolation in _ISOLATION.items():
        yield Finding("isolation", name, _problem_of_isolation(isolation))
    yield Finding("isolation", "user", _problem_of_isolation(None, user="0"))


def report(cgroup: str | None = None) -> Iterator[str]:
    """Lines for people."""
    here = place.find(cgroup)
    yield f"cgroups: version {here.version}"
    for name, directory in sorted(here.parents.items()):
        yield f"  {name:<20}{directory}"
    kind = ""
    told: dict[str, str] = {}
    for finding in examine(cgroup):
        if finding.kind != kind:
            kind = finding.kind
            yield f"{kind}:"
        yield f"  {finding.name:<20}{_answer(finding, told)}"


def _answer(finding: Finding, told: dict[str, str]) -> str:
    """In words; a problem that was told before is not told again."""
    if finding.problem is None:
        return "yes"
    first = told.setdefault(finding.problem, finding.name)
    return f"no: {finding.problem}" if first == finding.name else f"no, as {first}"


def _problem_of_limits(limits: Limits, cgroup: str | None) -> str | None:
    try:
        require_enforceable(limits, _CWD, cgroup)
    except LimitNotEnforceableError as error:
        return error.problem
    return None


def _problem_of_isolation(isolation: Isolation | None, user: str | None = None) -> str | None:
    try:
        settled(JobSpec.make(["true"], cwd=_CWD, isolation=isolation, user=user), ())
    except (IsolationError, InvalidArgumentError) as error:
        return error.problem
    return None
