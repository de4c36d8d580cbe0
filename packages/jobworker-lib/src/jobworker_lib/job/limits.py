"""What a job may use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from jobworker_lib.job.record import known_fields


@dataclass(frozen=True, slots=True, kw_only=True)
class IoLimit:
    """What a job may do with one block device, all its processes together; None: no limit."""

    device: str = ""
    """A block device such as ``/dev/sda``, or any path on its filesystem; empty: the device of the job's working
    directory."""
    read_bytes_per_second: int | None = None
    write_bytes_per_second: int | None = None
    read_operations_per_second: int | None = None
    write_operations_per_second: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a job may use; None: no limit. Those of the whole job, all its processes together, are a cgroup's."""

    memory_bytes: int | None = None
    """Most memory of the whole job, in bytes; one that needs more ends with the reason ``out_of_memory``. Without
    ``swap_bytes`` it gets no swap."""
    cpus: float | None = None
    """CPU time a second of the whole job, in processors: 0.5 is half of one."""
    pids: int | None = None
    """Most processes and threads of the whole job."""
    memory_high_bytes: int | None = None
    """Memory above which the whole job is slowed down and its memory is taken back, in bytes."""
    swap_bytes: int | None = None
    """Most swap of the whole job, in bytes; 0: none."""
    cpu_weight: int | None = None
    """The job's share of the processors when they are busy, beside other cgroups: 1 to 10000, by default 100."""
    io: tuple[IoLimit, ...] = ()
    """What the whole job may read from and write to disks."""
    open_files: int | None = None
    """Most open files of each process (``RLIMIT_NOFILE``)."""
    file_size_bytes: int | None = None
    """The largest file that a process may write, in bytes (``RLIMIT_FSIZE``)."""
    core_size_bytes: int | None = None
    """The largest core dump, in bytes; 0: none (``RLIMIT_CORE``)."""
    nice: int | None = None
    """Niceness of the job's processes, -20 (most favourable) to 19."""

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """The limits that their JSON was made from."""
        devices = tuple(IoLimit(**known_fields(IoLimit, limit)) for limit in value.get("io", ()))
        return cls(**{**known_fields(cls, value), "io": devices})
