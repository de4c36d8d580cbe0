"""The options that say what a job may use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from jobworker_cli import options, quantities
from jobworker_cli.fence import IoLimit, Limits

PANEL = "Limits"


def _size(name: str, text: str) -> object:
    return typer.Option(name, metavar="SIZE", help=text, rich_help_panel=PANEL)


def _number(name: str, text: str, *, least: int = 1, most: int | None = None) -> object:
    return typer.Option(name, metavar="N", min=least, max=most, help=text, rich_help_panel=PANEL)


def _rates(name: str, text: str, metavar: str = "[DEVICE=]SIZE") -> object:
    return typer.Option(name, metavar=metavar, help=text, rich_help_panel=PANEL)


Memory = Annotated[str | None, _size("--memory", "Most memory, such as 64M; a job that needs more is killed.")]
MemoryHigh = Annotated[str | None, _size("--memory-high", "Memory above which the job is slowed down.")]
Swap = Annotated[str | None, _size("--swap", "Most swap; 0: none.")]
Cpus = Annotated[
    float | None,
    typer.Option("--cpus", metavar="N", help="Processors, such as 0.5.", rich_help_panel=PANEL),
]
CpuWeight = Annotated[int | None, _number("--cpu-weight", "Share of busy processors; 100: as without.", most=10_000)]
Pids = Annotated[int | None, _number("--pids", "Most processes and threads.")]
IoRead = Annotated[
    list[str] | None,
    _rates("--io-read", "Bytes read a second, such as 10M or /dev/sda=10M; DEVICE is a path, else that of --cwd."),
]
IoWrite = Annotated[list[str] | None, _rates("--io-write", "Bytes written a second.")]
IoReadOps = Annotated[list[str] | None, _rates("--io-read-ops", "Reads a second.", "[DEVICE=]N")]
IoWriteOps = Annotated[list[str] | None, _rates("--io-write-ops", "Writes a second.", "[DEVICE=]N")]
OpenFiles = Annotated[int | None, _number("--open-files", "Most open files of each process.")]
FileSize = Annotated[str | None, _size("--file-size", "Largest file that a process may write.")]
CoreSize = Annotated[str | None, _size("--core-size", "Largest core dump; 0: none.")]
Nice = Annotated[int | None, _number("--nice", "Niceness, -20 to 19.", least=-20, most=19)]


def read(
    *,
    memory: Memory = None,
    memory_high: MemoryHigh = None,
    swap: Swap = None,
    cpus: Cpus = None,
    cpu_weight: CpuWeight = None,
    pids: Pids = None,
    io_read: IoRead = None,
    io_write: IoWrite = None,
    io_read_ops: IoReadOps = None,
    io_write_ops: IoWriteOps = None,
    open_files: OpenFiles = None,
    file_size: FileSize = None,
    core_size: CoreSize = None,
    nice: Nice = None,
) -> Limits | None:
    """What the options ask for; None: nothing."""
    if cpus is not None and not 0 < cpus < float("inf"):
        raise typer.BadParameter("expected a number of processors, such as 0.5", param_hint="--cpus")
    found = Limits(
        memory_bytes=_bytes("--memory", memory),
        memory_high_bytes=_bytes("--memory-high", memory_high),
        swap_bytes=_bytes("--swap", swap),
        cpus=cpus,
        cpu_weight=cpu_weight,
        pids=pids,
        io=_devices(
            read_bytes_per_second=_by_device("--io-read", io_read, quantities.size),
            write_bytes_per_second=_by_device("--io-write", io_write, quantities.size),
            read_operations_per_second=_by_device("--io-read-ops", io_read_ops, quantities.count),
            write_operations_per_second=_by_device("--io-write-ops", io_write_ops, quantities.count),
        ),
        open_files=open_files,
        file_size_bytes=_bytes("--file-size", file_size),
        core_size_bytes=_bytes("--core-size", core_size),
        nice=nice,
    )
    return None if found == Limits() else found


def _bytes(option: str, text: str | None) -> int | None:
    return None if text is None else options.parsed(option, quantities.size, text)


def _by_device(option: str, texts: Sequence[str] | None, parse: Callable[[str], int]) -> dict[str, int]:
    """Rates by their devices; the device is empty where none is named."""
    rates = {}
    for text in texts or ():
        device, equals, rate = text.rpartition("=")
        if equals and not device.startswith("/"):
            raise typer.BadParameter("expected an absolute path as DEVICE", param_hint=option)
        rates[device] = options.parsed(option, parse, rate)
    return rates


def _devices(**rates: dict[str, int]) -> tuple[IoLimit, ...]:
    devices = dict.fromkeys(device for by_device in rates.values() for device in by_device)
    return tuple(
        IoLimit(device=device, **{name: by_device[device] for name, by_device in rates.items() if device in by_device})
        for device in devices
    )
