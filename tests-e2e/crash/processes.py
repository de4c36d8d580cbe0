"""The processes of an engine, found by their names."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from conformance.processes import holders, wait_until

FORK_SERVER = "jobworker-fork"
SHIM = "jobworker-shim"
KEEPER = "jobworker-queue"


def named(name: str, state_dir: Path) -> int:
    """The one process of an engine with this name."""
    found: list[int] = []

    def is_there() -> bool:
        found[:] = [pid for pid in holders(state_dir) if _name(pid) == name]
        return len(found) == 1

    wait_until(is_there, f"one {name}")
    return found[0]


def _name(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""
