"""A job's cgroup in version 2 of the kernel's interface (Documentation/admin-guide/cgroup-v2.rst)."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

from jobworker_lib.cgroup import clone, devices, files
from jobworker_lib.cgroup.group import Group, Setting, join_step, kill_all
from jobworker_lib.job.usage import Usage

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack

    from jobworker_lib.job.limits import IoLimit, Limits
    from jobworker_lib.shim.enter import Step

_IO_KEYS = {
    "read_bytes_per_second": "rbps",
    "write_bytes_per_second": "wbps",
    "read_operations_per_second": "riops",
    "write_operations_per_second": "wiops",
}


class GroupV2(Group):
    """One directory for all controllers."""

    version = 2

    @property
    def directory(self) -> str:
        """Where it is."""
        return next(iter(self.directories.values()))

    @property
    def unified(self) -> str:
        """See :attr:`Group.unified`."""
        return self.directory

    def settings(self, limits: Limits, cwd: str) -> list[Setting]:
        """See :meth:`Group.settings`."""
        found = []
        if limits.memory_bytes is not None:
            found.append(Setting("memory_bytes", "memory", "memory.max", str(limits.memory_bytes)))
        if self._has("memory.oom.group"):
            found.append(Setting("memory_bytes", "memory", "memory.oom.group", "1"))
        if limits.memory_high_bytes is not None:
            found.append(Setting("memory_high_bytes", "memory", "memory.high", str(limits.memory_high_bytes)))
        swap = 0 if limits.memory_bytes is not None and limits.swap_bytes is None else limits.swap_bytes
        if swap is not None and (limits.swap_bytes is not None or self._has("memory.swap.max")):
            found.append(Setting("swap_bytes", "memory", "memory.swap.max", str(swap)))
        if limits.cpus is not None:
            period, quota = quota_of(limits.cpus)
            found.append(Setting("cpus", "cpu", "cpu.max", f"{quota} {period}"))
        if limits.cpu_weight is not None:
            found.append(Setting("cpu_weight", "cpu", "cpu.weight", str(limits.cpu_weight)))
        if limits.pids is not None:
            found.append(Setting("pids", "pids", "pids.max", str(limits.pids)))
        return found + [Setting("io", "io", "io.max", _io_max(limit, cwd)) for limit in limits.io]

    def entry(self, opened: ExitStack) -> tuple[Callable[[], int], list[Step]]:
        """A process that is forked is in it from its beginning, where the kernel can do that."""
        if clone.into_cgroup_is_known():
            directory = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            opened.callback(os.close, directory)
            return partial(clone.fork_into, directory), []
        return os.fork, [join_step([self.directory], opened)]

    def usage(self) -> Usage:
        """See :meth:`Group.usage`."""
        cpu = files.read_counts(self.directory, "cpu.stat")
        read, written = self._io_bytes()
        return Usage(
            cpu_user=_seconds(cpu.get("user_usec")),
            cpu_system=_seconds(cpu.get("system_usec")),
            cpu_throttled=_seconds(cpu.get("throttled_usec")),
            memory_bytes=files.read_number(self.directory, "memory.current"),
            memory_peak_bytes=files.read_number(self.directory, "memory.peak"),
            io_read_bytes=read,
            io_write_bytes=written,
            pids=files.read_number(self.directory, "pids.current"),
            pids_peak=files.read_number(self.directory, "pids.peak"),
            cpu_pressure=self.pressure("cpu"),
            memory_pressure=self.pressure("memory"),
            io_pressure=self.pressure("io"),
        )

    def out_of_memory_kills(self) -> int:
        """See :meth:`Group.out_of_memory_kills`."""
        return files.read_counts(self.directory, "memory.events").get("oom_kill", 0)

    def _kill(self, processes: Callable[[], list[int]]) -> None:
        if self._has("cgroup.kill"):
            files.write(self.directory, "cgroup.kill", "1")
        elif self._has("cgroup.freeze"):  # before Linux 5.14; since 5.2
            self._kill_frozen(self.directory, "cgroup.freeze", ("1", "0"))
        else:
            kill_all(processes)

    def _has(self, name: str) -> bool:
        return os.path.exists(os.path.join(self.directory, name))

    def _io_bytes(self) -> tuple[int | None, int | None]:
        text = files.read(self.directory, "io.stat")
        if text is None:
            return None, None
        pairs = [word.partition("=") for line in text.splitlines() for word in line.split()[1:]]
        read, written = (sum(int(value) for key, _, value in pairs if key == wanted) for wanted in ("rbytes", "wbytes"))
        return read, written


def quota_of(cpus: float) -> tuple[int, int]:
    """The period and the quota of it, in microseconds; the kernel takes no quota below a millisecond."""
    period = 100_000 if cpus >= 0.01 else 1_000_000
    return period, round(cpus * period)


def _io_max(limit: IoLimit, cwd: str) -> str:
    rates = [f"{key}={value}" for name, key in _IO_KEYS.items() if (value := getattr(limit, name)) is not None]
    return " ".join([devices.resolve(limit.device, cwd), *rates])


def _seconds(microseconds: int | None) -> float | None:
    return None if microseconds is None else microseconds / 1e6
