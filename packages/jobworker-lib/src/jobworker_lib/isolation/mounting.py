"""Gives this process, in a mount namespace of its own, the view of the host that a :class:`MountPlan` describes.

What is to be kept is copied first, as trees of mounts that are attached nowhere; then everything is made read-only and
places are replaced; then the copies are put back. So nothing has to be made writable again, and a mount that is
read-only on the host stays so.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from jobworker_lib.isolation import calls
from jobworker_lib.isolation.calls import (
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_RDONLY,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_RDONLY,
)

if TYPE_CHECKING:
    from jobworker_lib.isolation.mount_plan import MountPlan

_DEVICES = ("full", "null", "random", "tty", "urandom", "zero")
_LINKS = {
    "fd": "/proc/self/fd",
    "ptmx": "pts/ptmx",
    "stderr": "/proc/self/fd/2",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
}
_PROC_MASKED = frozenset(
    (
        "acpi",
        "asound",
        "interrupts",
        "iomem",
        "ioports",
        "kallsyms",
        "kcore",
        "key-users",
        "keys",
        "kmsg",
        "kpagecgroup",
        "kpagecount",
        "kpageflags",
        "latency_stats",
        "pagetypeinfo",
        "sched_debug",
        "scsi",
        "slabinfo",
        "timer_list",
        "timer_stats",
        "vmallocinfo",
    )
)
_WRITE_BITS = 0o222


def apply(plan: MountPlan) -> None:
    """Make it so."""
    calls.make_private()
    devices = _copy_devices(plan)
    if plan.devices:
        calls.mount_setattr("/", MOUNT_ATTR_NODEV, recursive=True)
    kept = [(path, os.path.isdir(path), calls.open_tree(path)) for path in plan.kept]
    if plan.read_only:
        calls.mount_setattr("/", MOUNT_ATTR_RDONLY, recursive=True)
    _replace(plan, devices)
    for path, is_directory, tree in kept:
        _make_place(path, is_directory=is_directory)
        calls.move_mount(tree, path)
    if plan.proc:
        _guard_proc()
    for path in plan.pinned:
        if os.path.exists(path):  # it is in nothing that was replaced
            calls.move_mount(calls.open_tree(path), path)  # a mount point can't be renamed
    for path in plan.hidden:
        _hide(path)
    if plan.read_only:
        for path in (*plan.emptied, *(("/dev",) if plan.devices else ())):
            calls.mount_setattr(path, MOUNT_ATTR_RDONLY, recursive=False)


def _replace(plan: MountPlan, devices: dict[str, int]) -> None:
    if plan.proc:
        calls.mount("proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    for path in plan.temporary:
        _mount_empty(path, 0o1777)
    for path in plan.emptied:
        _mount_empty(path, 0o755)
    if plan.devices:
        _make_devices(devices)


def _copy_devices(plan: MountPlan) -> dict[str, int]:
    if not plan.devices:
        return {}
    copies = {name: calls.open_tree(f"/dev/{name}") for name in _DEVICES}
    if plan.terminal is not None:
        copies["console"] = calls.open_tree(plan.terminal)
    return copies


def _make_devices(devices: dict[str, int]) -> None:
    calls.mount("tmpfs", "/dev", MS_NOSUID | MS_NOEXEC, "mode=0755")
    for name, tree in devices.items():
        _make_place(f"/dev/{name}", is_directory=False)
        calls.move_mount(tree, f"/dev/{name}")
    for name, target in _LINKS.items():
        os.symlink(target, f"/dev/{name}")
    os.mkdir("/dev/pts")
    calls.mount("devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620")
    os.mkdir("/dev/shm")  # noqa: S108 - a mount point in a filesystem of the job's own
    _mount_empty("/dev/shm", 0o1777)  # noqa: S108 - the same


def _mount_empty(path: str, mode: int, flags: int = 0) -> None:
    calls.mount("tmpfs", path, MS_NOSUID | MS_NODEV | flags, f"mode={mode:04o}")


def _make_place(path: str, *, is_directory: bool) -> None:
    """Have something to attach a mount to, where a directory above it was replaced."""
    if os.path.lexists(path):
        return
    os.makedirs(path if is_directory else os.path.dirname(path), 0o755, exist_ok=True)
    if not is_directory:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644))


def _guard_proc() -> None:
    """Leave nothing of /proc writable but what is of processes, and hide what tells of the kernel and its devices."""
    with os.scandir("/proc") as entries:
        for entry in entries:
            if entry.name.isdigit() or entry.is_symlink():
                continue
            if entry.name in _PROC_MASKED:
                _hide(entry.path)
            elif entry.is_dir() or stat.S_IMODE(entry.stat().st_mode) & _WRITE_BITS:
                calls.move_mount(calls.open_tree(entry.path), entry.path)
                calls.mount_setattr(entry.path, MOUNT_ATTR_RDONLY, recursive=True)


def _hide(path: str) -> None:
    if os.path.isdir(path):
        _mount_empty(path, 0o555, MS_RDONLY | MS_NOEXEC)
    elif os.path.lexists(path):  # not where a directory above it is hidden, or empty, already
        calls.move_mount(calls.open_tree(os.devnull), path)
