"""What is missing where a part of the isolation fails, and what would help."""

from __future__ import annotations

import errno
import os

_USER_NAMESPACE = (
    "run the engine as root, or allow user namespaces: /proc/sys/user/max_user_namespaces and, where they are there, "
    "kernel.unprivileged_userns_clone=1 and kernel.apparmor_restrict_unprivileged_userns=0"
)
_MOUNTS = (
    "Linux 5.12 or newer is needed, and in a container one that lets mounts be made and does not mask its /proc: for "
    "Docker, --privileged or --security-opt systempaths=unconfined with seccomp and AppArmor profiles that allow it"
)
_FIXES = {
    "user_namespace": _USER_NAMESPACE,
    "namespaces": _USER_NAMESPACE,
    "network": "the kernel needs CONFIG_NET_NS, and IPv4",
    "mounts": _MOUNTS,
    "capabilities": "a capability that is to be kept must be one that the engine has",
    "user": "run the engine as root",
    "seccomp": "the kernel needs CONFIG_SECCOMP_FILTER",
}


def explain(part: str, number: int) -> str:
    """A message for people about a part that failed with an error number."""
    reason = os.strerror(number or errno.EIO)
    return f"{reason}; {_FIXES[part]}" if part in _FIXES else reason
