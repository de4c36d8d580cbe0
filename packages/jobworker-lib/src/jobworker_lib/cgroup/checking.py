"""Refuses limits that this host can't enforce, before a job is made for them."""

from __future__ import annotations

import os
import resource
from typing import TYPE_CHECKING

from jobworker_lib.cgroup import devices, place
from jobworker_lib.errors import LimitNotEnforceableError

if TYPE_CHECKING:
    from jobworker_lib.cgroup.place import Place
    from jobworker_lib.job.limits import Limits

_CONTROLLERS = {
    "memory_bytes": "memory",
    "memory_high_bytes": "memory",
    "swap_bytes": "memory",
    "cpus": "cpu",
    "cpu_weight": "cpu",
    "pids": "pids",
    "io": "io",
}
_HARD_RLIMITS = {
    "open_files": resource.RLIMIT_NOFILE,
    "file_size_bytes": resource.RLIMIT_FSIZE,
    "core_size_bytes": resource.RLIMIT_CORE,
}


def require_enforceable(limits: Limits, cwd: str, parent: str | None = None) -> None:
    """Refuse what can't be enforced here, rather than ignore it; ``parent`` is as in :func:`place.find`.

    Raises:
        LimitNotEnforceableError: with what is missing, where it was looked for, and what would help.
    """
    _require_rlimits(limits)
    needed = controllers(limits)
    if not needed:
        return
    here = place.find(parent)
    if here.version == 1:
        _require_not_beyond_version_1(limits)  # first: what helps against the other problems does not help here
    for limit, name in needed.items():
        controller = name_in(here, name)
        if controller not in here.parents:
            raise LimitNotEnforceableError(limit, here.problems.get(controller, f"there is no controller {controller}"))
    _require_swap(limits, here)
    for io in limits.io:
        devices.resolve(io.device, cwd)


def controllers(limits: Limits) -> dict[str, str]:
    """The controllers of version 2 that limits need, by limit; none where they need no cgroup."""
    return {limit: name for limit, name in _CONTROLLERS.items() if getattr(limits, limit) not in (None, ())}


def name_in(here: Place, controller: str) -> str:
    """What a controller is called in the version that this host has."""
    return "blkio" if here.version == 1 and controller == "io" else controller


def _require_not_beyond_version_1(limits: Limits) -> None:
    if limits.memory_high_bytes is not None:
        raise LimitNotEnforceableError(
            "memory_high_bytes", "cgroups of version 1, which this host has, know no such bound; give memory_bytes"
        )
    for io in limits.io:
        if io.write_bytes_per_second is not None or io.write_operations_per_second is not None:
            raise LimitNotEnforceableError(
                "io",
                "cgroups of version 1, which this host has, do not count what is written through the page cache, so"
                " writes can't be bounded; boot the host with version 2 (systemd.unified_cgroup_hierarchy=1), or limit"
                " reads only",
            )


def _require_swap(limits: Limits, here: Place) -> None:
    """Refuse a limit of memory that swap would get around."""
    if limits.memory_bytes is None and limits.swap_bytes is None:
        return
    if here.version == 1 and limits.memory_bytes is None:
        raise LimitNotEnforceableError(
            "swap_bytes",
            "cgroups of version 1, which this host has, bound memory and swap together; give memory_bytes as well",
        )
    file = "memory.memsw.limit_in_bytes" if here.version == 1 else "memory.swap.max"
    parent = here.parents["memory"]
    if os.path.exists(os.path.join(parent, file)) or (here.version == 2 and _is_root(parent)):
        return
    if limits.swap_bytes is not None or _host_swaps():
        raise LimitNotEnforceableError(
            "memory_bytes" if limits.swap_bytes is None else "swap_bytes",
            f"the kernel does not account for swap: there is no {parent}/{file}; boot it with swapaccount=1"
            + ("" if limits.swap_bytes is not None else ", or switch swap off (swapoff -a)"),
        )


def _is_root(directory: str) -> bool:
    return not os.path.exists(os.path.join(directory, "cgroup.type"))


def _host_swaps() -> bool:
    with open("/proc/swaps") as file:
        return len(file.readlines()) > 1


def _require_rlimits(limits: Limits) -> None:
    if os.geteuid() == 0:
        return
    for name, number in _HARD_RLIMITS.items():
        value, most = getattr(limits, name), resource.getrlimit(number)[1]
        if value is not None and most != resource.RLIM_INFINITY and value > most:
            raise LimitNotEnforceableError(
                name,
                f"the most that user {os.geteuid()} may have is {most}; raise it (limits.conf, LimitNOFILE= and so on)",
            )
    _require_nice(limits.nice)


def _require_nice(nice: int | None) -> None:
    least = 20 - resource.getrlimit(resource.RLIMIT_NICE)[0]
    own = os.getpriority(os.PRIO_PROCESS, 0)
    if nice is not None and nice < min(own, least):
        raise LimitNotEnforceableError(
            "nice",
            f"user {os.geteuid()} may go no lower than {min(own, least)}; run the engine as root, or set LimitNICE=",
        )
