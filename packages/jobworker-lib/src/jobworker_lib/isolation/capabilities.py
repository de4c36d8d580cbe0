"""Capabilities (capabilities(7)): their names, and what this process has of them."""

from __future__ import annotations

import os
from collections.abc import Iterable

from jobworker_lib.errors import InvalidArgumentError

NAMES = (
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETPCAP",
    "CAP_LINUX_IMMUTABLE",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_ADMIN",
    "CAP_NET_RAW",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_SYS_MODULE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_CHROOT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_PACCT",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_NICE",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_MKNOD",
    "CAP_LEASE",
    "CAP_AUDIT_WRITE",
    "CAP_AUDIT_CONTROL",
    "CAP_SETFCAP",
    "CAP_MAC_OVERRIDE",
    "CAP_MAC_ADMIN",
    "CAP_SYSLOG",
    "CAP_WAKE_ALARM",
    "CAP_BLOCK_SUSPEND",
    "CAP_AUDIT_READ",
    "CAP_PERFMON",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
)
"""Each at the place of its number."""

SETGID = NAMES.index("CAP_SETGID")
SETUID = NAMES.index("CAP_SETUID")
SYS_ADMIN = NAMES.index("CAP_SYS_ADMIN")


def numbers(names: Iterable[str]) -> tuple[int, ...]:
    """The numbers of capabilities given by name, in any case, with or without ``CAP_``.

    Raises:
        InvalidArgumentError: there is no such capability.
    """
    found = []
    for name in names:
        full = name.upper() if name.upper().startswith("CAP_") else f"CAP_{name.upper()}"
        if full not in NAMES:
            raise InvalidArgumentError(
                "isolation.kept_capabilities", "give names of capabilities, such as CAP_NET_BIND_SERVICE"
            )
        found.append(NAMES.index(full))
    return tuple(sorted(set(found)))


def last() -> int:
    """The highest number that this kernel knows."""
    with open("/proc/sys/kernel/cap_last_cap") as file:
        return int(file.read())


def executed() -> frozenset[int]:
    """Those that a process of the engine has, which this process executes, or is.

    They are not always its own: root may have let go of some, and gets them again by execve(2), up to the bounding set;
    other users hand on none but ambient ones.
    """
    status = _status()
    if os.geteuid() != 0:
        return _set(status["CapAmb"])
    return _set(status["CapPrm" if int(status["NoNewPrivs"]) else "CapBnd"])


def permitted() -> frozenset[int]:
    """Those that this process may use."""
    return _set(_status()["CapPrm"])


def _status() -> dict[str, str]:
    with open("/proc/thread-self/status") as file:
        return dict(line.split(":\t", 1) for line in file if ":\t" in line)


def _set(mask: str) -> frozenset[int]:
    bits = int(mask, 16)
    return frozenset(number for number in range(64) if bits >> number & 1)
