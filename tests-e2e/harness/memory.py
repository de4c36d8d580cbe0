"""How much memory processes take, as proc(5) tells it."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Self

_PAUSE_SECONDS = 0.01


def memory_of(pid: int, field: str) -> int | None:
    """Bytes: ``VmRSS`` (now) or ``VmHWM`` (the most until now); None where the process has ended."""
    try:
        match = re.search(rf"^{field}:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    except (FileNotFoundError, ProcessLookupError):
        return None
    return int(match[1]) * 1024 if match else None


class PeakMemory:
    """Looks at a process again and again within the block.

    What wait4(2) tells of a child counts the memory of whoever forked it, too.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.bytes = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        while (now := memory_of(self._pid, "VmHWM")) is not None and not self._done.wait(_PAUSE_SECONDS):
            self.bytes = max(self.bytes, now)
