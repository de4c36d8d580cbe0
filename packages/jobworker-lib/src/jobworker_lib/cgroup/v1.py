"""A job's cgroup in version 1 of the kernel's interface: one directory in each controller's hierarchy (cgroups(7))."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from jobworker_lib.cgroup import devices, files
from jobworker_lib.cgroup.group import Group, Setting, join_step, kill_all
from jobworker_lib.cgroup.place import UNIFIED
from jobworker_lib.cgroup.v2 import quota_of
from jobworker_lib.job.usage import Usage

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack

    from jobworker_lib.job.limits import Limits
    from jobworker_lib.shim.enter import Step

_SHARES_OF_WEIGHT_100 = 1024
_LEAST_SHARES = 2
_READ_FILES = {
    "read_bytes_per_second": "blkio.throttle.read_bps_device",
    "read_operations_per_second": "blkio.throttle.read_iops_device",
}


class GroupV1(Group):
    """A directory for each controller, and one in the empty hierarchy of version 2, where there is one."""

    version = 1

    @property
    def unified(self) -> str | None:
        """See :attr:`Group.unified`."""
        return self.directories.get(UNIFIED)

    def settings(self, limits: Limits, cwd: str) -> list[Setting]:
        """See :meth:`Group.settings`."""
        found = []
        if limits.memory_bytes is not None:
            found.append(Setting("memory_bytes", "memory", "memory.limit_in_bytes", str(limits.memory_bytes)))
            most = str(limits.memory_bytes + (limits.swap_bytes or 0))
            if limits.swap_bytes is not None or self._has("memory", "memory.memsw.limit_in_bytes"):
                found.append(Setting("swap_bytes", "memory", "memory.memsw.limit_in_bytes", most))
        if limits.cpus is not None:
            period, quota = quota_of(limits.cpus)
            found.append(Setting("cpus", "cpu", "cpu.cfs_period_us", str(period)))
            found.append(Setting("cpus", "cpu", "cpu.cfs_quota_us", str(quota)))
        if limits.cpu_weight is not None:
            shares = max(_LEAST_SHARES, limits.cpu_weight * _SHARES_OF_WEIGHT_100 // 100)
            found.append(Setting("cpu_weight", "cpu", "cpu.shares", str(shares)))
        if limits.pids is not None:
            found.append(Setting("pids", "pids", "pids.max", str(limits.pids)))
        for limit in limits.io:
            disk = devices.resolve(limit.device, cwd)
            for name, file in _READ_FILES.items():
                if (value := getattr(limit, name)) is not None:
                    found.append(Setting("io", "blkio", file, f"{disk} {value}"))
        return found

    def entry(self, opened: ExitStack) -> tuple[Callable[[], int], list[Step]]:
        """A process enters each by itself, which is the first that it does."""
        return os.fork, [join_step(dict.fromkeys(self.directories.values()), opened)]

    def usage(self) -> Usage:
        """See :meth:`Group.usage`; of disks, what its processes say tells more: blkio counts where it limits only."""
        throttled = files.read_counts(self._of("cpu"), "cpu.stat").get("throttled_time")
        return Usage(
            cpu_user=_seconds(files.read_number(self._of("cpuacct"), "cpuacct.usage_user")),
            cpu_system=_seconds(files.read_number(self._of("cpuacct"), "cpuacct.usage_sys")),
            cpu_throttled=_seconds(throttled),
            memory_bytes=files.read_number(self._of("memory"), "memory.usage_in_bytes"),
            memory_peak_bytes=files.read_number(self._of("memory"), "memory.max_usage_in_bytes"),
            pids=files.read_number(self._of("pids"), "pids.current"),
            pids_peak=files.read_number(self._of("pids"), "pids.peak"),
            cpu_pressure=self.pressure("cpu"),
            memory_pressure=self.pressure("memory"),
            io_pressure=self.pressure("io"),
        )

    def out_of_memory_kills(self) -> int:
        """See :meth:`Group.out_of_memory_kills`."""
        return files.read_counts(self._of("memory"), "memory.oom_control").get("oom_kill", 0)

    def watch_out_of_memory(self) -> int | None:
        """The kernel kills one process of a job that is out of memory; this tells, so that the others follow."""
        descriptor = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        try:
            control = os.open(os.path.join(self._of("memory"), "memory.oom_control"), os.O_RDONLY | os.O_CLOEXEC)
            try:
                files.write(self._of("memory"), "cgroup.event_control", f"{descriptor} {control}")
            finally:
                os.close(control)
        except OSError:  # no such limit, or a kernel without these events: the end of the main process tells
            os.close(descriptor)
            return None
        return descriptor

    def _kill(self, processes: Callable[[], list[int]]) -> None:
        if self._has(UNIFIED, "cgroup.kill"):
            files.write(self._of(UNIFIED), "cgroup.kill", "1")
        elif self._has("freezer", "freezer.state"):  # what is frozen dies when it thaws
            self._kill_frozen(self._of("freezer"), "freezer.state", ("FROZEN", "THAWED"))
        else:
            kill_all(processes)

    def _of(self, controller: str) -> str:
        """The controller's directory; where there is none, one in which nothing is ever found."""
        return self.directories.get(controller, "/dev/null")

    def _has(self, controller: str, name: str) -> bool:
        return os.path.exists(os.path.join(self._of(controller), name))


def _seconds(nanoseconds: int | None) -> float | None:
    return None if nanoseconds is None else nanoseconds / 1e9
