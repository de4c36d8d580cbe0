"""How a job is kept apart from the host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Self, get_args

from jobworker_lib.job.record import known_fields

Network = Literal["host", "isolated", "none"]
NETWORKS: tuple[str, ...] = get_args(Network)

_TUPLES = ("writable", "hidden", "kept_capabilities")


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
    """Has a ``/dev`` with nothing but null, zero, full, random, urandom, tty and terminals of its own, an empty
    ``/run``, and nothing of the kernel's internals under ``/sys``."""
    hidden: tuple[str, ...] = ()
    """Paths that it finds empty. In a mount namespace the engine's state directory always is."""
    no_new_privileges: bool = False
    """Gains no privilege by executing a program (``PR_SET_NO_NEW_PRIVS``)."""
    drop_capabilities: bool = False
    """Keeps none of the capabilities but ``kept_capabilities``."""
    kept_capabilities: tuple[str, ...] = ()
    """Such as ``CAP_NET_BIND_SERVICE``."""
    seccomp: bool = False
    """Dangerous system calls fail: ``docs/isolation.md`` lists them. Comes with ``no_new_privileges``."""
    landlock: bool | None = False
    """Landlock holds ``read_only`` and ``hidden`` as a second lock; None: where the kernel has it, which is decided
    when the job is accepted. Comes with ``no_new_privileges``."""

    @classmethod
    def full(cls, *, landlock: bool | None = None) -> Self:
        """All of it, Landlock where the kernel has it."""
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

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """The isolation that its JSON was made from."""
        return cls(**{**known_fields(cls, value), **{name: tuple(value.get(name, ())) for name in _TUPLES}})
