"""What a job has used."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What all processes of a job have used, those that have ended included; None: not accounted for on this host."""

    cpu_user: float | None = None
    """Seconds of CPU time in user mode."""
    cpu_system: float | None = None
    """Seconds of CPU time in the kernel."""
    cpu_throttled: float | None = None
    """Seconds for which the job was kept from running by its limit of cpus."""
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
    cpu_pressure: float | None = None
    memory_pressure: float | None = None
    io_pressure: float | None = None
    """Share of the last 10 seconds in which some process of the job waited, 0 to 100 (PSI, ``some avg10``)."""
