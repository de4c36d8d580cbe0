"""How a job is kept apart from the host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

Network = Literal["host", "isolated", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolation:
    """What a job may see and do of the host. What the host cannot do refuses the start; nothing is skipped."""

    pid: bool = False
    """Sees, signals and traces no other process: a PID namespace, with a ``/proc`` of its own."""
    ipc: bool = False
    """Shares no System V IPC and POSIX message queues: an IPC namespace."""
    uts: bool = False
    """Has a host name of its own: a UTS namespace."""
    network: Network = "host"
    """The host's, one of its own with a loopback interface that is up, or one in which nothing works."""
    read_only: bool = False
    """Can write nothing but its working directory, the ``writable`` paths and a private ``/tmp``."""
    writable: tuple[str, ...] = ()
    private_tmp: bool = False
    """Has empty directories of its own as ``/tmp``, ``/var/tmp`` and ``/dev/shm``."""
    private_devices: bool = False
    """Has a ``/dev`` with nothing but null, zero, full, random, urandom, tty and terminals of its own, and an empty ``/run``."""
    hidden: tuple[str, ...] = ()
    """Paths that it finds empty. In a mount namespace the engine's state directory always is."""
    no_new_privileges: bool = False
    """Gains no privilege by executing a program (``PR_SET_NO_NEW_PRIVS``)."""
    drop_capabilities: bool = False
    """Keeps none of the capabilities but ``kept_capabilities``."""
    kept_capabilities: tuple[str, ...] = ()
    """Such as ``CAP_NET_BIND_SERVICE``."""
    seccomp: bool = False
    """Dangerous system calls fail."""
    landlock: bool = False
    """Landlock holds ``read_only`` and ``hidden`` as a second lock."""

    @classmethod
    def full(cls, *, landlock: bool = False) -> Self:
        """All of it; Landlock where the caller knows that the kernel has it."""
        return cls(
            pid=True,
            ipc=True,
            uts=True,
            network="isolated",
            read_only=True,
            private_tmp=True,
            private_devices=True,
            no_new_privileges=True,
            drop_capabilities=True,
            seccomp=True,
            landlock=landlock,
        )
