"""What holds a job in, and what it uses: limits, isolation and usage, as plain Python values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class IoLimit:
    """What a job may do with one block device, all its processes together; None: no limit."""

    device: str = ""
    """A block device such as ``/dev/sda``, or any path on its filesystem; empty: that of the working directory."""
    read_bytes_per_second: int | None = None
    write_bytes_per_second: int | None = None
    read_operations_per_second: int | None = None
    write_operations_per_second: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a job may use; None: no limit. What the server's host can't enforce refuses the start."""

    memory_bytes: int | None = None
    """Most memory of the whole job; one that needs more ends with the reason ``out_of_memory``."""
    cpus: float | None = None
    """CPU time a second of the whole job, in processors: 0.5 is half of one."""
    pids: int | None = None
    """Most processes and threads of the whole job."""
    memory_high_bytes: int | None = None
    """Memory above which the whole job is slowed down and its memory is taken back."""
    swap_bytes: int | None = None
    """Most swap of the whole job; 0: none."""
    cpu_weight: int | None = None
    """The job's share of the processors when they are busy, 1 to 10000; 100 is that of a job without one."""
    io: tuple[IoLimit, ...] = ()
    """What the whole job may read from and write to disks."""
    open_files: int | None = None
    """Most open files of each process."""
    file_size_bytes: int | None = None
    """The largest file that a process may write."""
    core_size_bytes: int | None = None
    """The largest core dump; 0: none."""
    nice: int | None = None
    """Niceness of the job's processes, -20 (most favourable) to 19."""


class Network(StrEnum):
    """Which network a job sees."""

    HOST = "host"
    """The host's."""
    ISOLATED = "isolated"
    """One of its own with nothing but a loopback interface, which is up."""
    NONE = "none"
    """One of its own in which nothing works."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Isolation:
    """What a job may see and do of the host. What the host can't do refuses the start; nothing is skipped."""

    pid: bool = False
    """Sees, signals and traces no other process."""
    ipc: bool = False
    """Shares no System V IPC and POSIX message queues."""
    uts: bool = False
    """Has a host name of its own."""
    network: Network = Network.HOST
    read_only: bool = False
    """Can write nothing but its working directory, the ``writable`` paths and a private ``/tmp``."""
    writable: tuple[str, ...] = ()
    private_tmp: bool = False
    """Has empty directories of its own as ``/tmp``, ``/var/tmp`` and ``/dev/shm``."""
    private_devices: bool = False
    """Has a ``/dev`` with the harmless devices alone, and an empty ``/run``."""
    hidden: tuple[str, ...] = ()
    """Paths that it finds empty."""
    no_new_privileges: bool = False
    """Gains no privilege by executing a program."""
    drop_capabilities: bool = False
    """Keeps none of the capabilities but ``kept_capabilities``."""
    kept_capabilities: tuple[str, ...] = ()
    """Such as ``CAP_NET_BIND_SERVICE``."""
    seccomp: bool = False
    """Dangerous system calls fail."""
    landlock: bool | None = False
    """Landlock holds ``read_only`` and ``hidden`` as a second lock; None: where the server's kernel has it."""

    @classmethod
    def full(cls) -> Isolation:
        """All of it, Landlock where the server's kernel has it."""
        return cls(
            pid=True,
            ipc=True,
            uts=True,
            network=Network.ISOLATED,
            read_only=True,
            private_tmp=True,
            private_devices=True,
            no_new_privileges=True,
            drop_capabilities=True,
            seccomp=True,
            landlock=None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What all processes of a job have used, those that have ended included; None: the server's host can't tell."""

    cpu_user: float | None = None
    """Seconds of CPU time in user mode."""
    cpu_system: float | None = None
    """Seconds of CPU time in the kernel."""
    cpu_throttled: float | None = None
    """Seconds for which it was kept from running by its limit of cpus."""
    memory_bytes: int | None = None
    """Memory now; None for a job that has ended."""
    memory_peak_bytes: int | None = None
    """The most memory at any time."""
    io_read_bytes: int | None = None
    io_write_bytes: int | None = None
    """Read from and written to disks."""
    pids: int | None = None
    """Processes and threads now; None for a job that has ended."""
    pids_peak: int | None = None
    """The most processes and threads at any time."""
    cpu_pressure: float | None = None
    memory_pressure: float | None = None
    io_pressure: float | None = None
    """Share of the last 10 seconds in which some process of the job waited, 0 to 100."""

    @property
    def cpu(self) -> float | None:
        """Seconds of CPU time in all."""
        if self.cpu_user is None or self.cpu_system is None:
            return None
        return self.cpu_user + self.cpu_system


@dataclass(frozen=True, slots=True)
class Sample:
    """What a job had used at a moment."""

    time: datetime
    """Now, or when the job ended."""
    usage: Usage | None
    """None: nothing is known of that, for example of a job that is queued."""
