"""What the processes of the engine take, over time."""

from __future__ import annotations

import os
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

_EVERY_SECONDS = 0.5
_WARM_UP_SECONDS = 120.0
"""Until then a server fills what is bounded: SQLite's cache, and the C library's heaps of its threads."""
_SHORTEST_TREND_SECONDS = 60.0


@dataclass(frozen=True)
class Sample:
    """A process at one moment."""

    at: float
    rss_kib: int
    pss_kib: int
    descriptors: int


@dataclass
class Figures:
    """Samples of every process, by role and pid."""

    samples: dict[tuple[str, int], list[Sample]] = field(default_factory=lambda: defaultdict(list))
    processes: list[int] = field(default_factory=list)
    """How many there were, each time."""

    def take(self, processes: Iterable[tuple[str, int]]) -> None:
        """Look at each of these processes."""
        count = 0
        for role, pid in processes:
            with suppress(OSError):
                sample = _sample(pid)
                self.samples[role, pid].append(sample)
                count += 1
        self.processes.append(count)

    def rows(self) -> list[tuple[str, ...]]:
        """For a table: a line for each role."""
        return [self._row(role) for role in sorted({role for role, _ in self.samples})]

    def growth_kib_a_minute(self, role: str) -> float | None:
        """Of the process of a role that was watched longest, after its warm-up; None where that is too short."""
        warm = self._warm(role)
        if not warm or warm[-1].at - warm[0].at < _SHORTEST_TREND_SECONDS:
            return None
        return _slope([(sample.at, sample.rss_kib) for sample in warm]) * 60

    def _row(self, role: str) -> tuple[str, ...]:
        lives = self._lives(role)
        everything = [sample for life in lives for sample in life]
        warm = [sample.descriptors for sample in self._warm(role)]
        growth = self.growth_kib_a_minute(role)
        return (
            role,
            str(len(lives)),
            f"{max(life[-1].at - life[0].at for life in lives):.0f}",
            f"{max(sample.rss_kib for sample in everything) / 1024:.1f}",
            f"{max(sample.pss_kib for sample in everything) / 1024:.1f}",
            "" if growth is None else f"{growth:+.0f}",
            f"{min(warm)} to {max(warm)}" if warm else "",
        )

    def _warm(self, role: str) -> list[Sample]:
        """The samples of the longest life, after its warm-up."""
        longest = max(self._lives(role), key=lambda life: life[-1].at - life[0].at)
        return [sample for sample in longest if sample.at - longest[0].at > _WARM_UP_SECONDS]

    def _lives(self, role: str) -> list[list[Sample]]:
        return [life for (of, _), life in self.samples.items() if of == role]


HEADINGS = (
    "", "processes", "longest, s", "RSS, peak MiB", "PSS, peak MiB", "growth of the longest, KiB/min", "descriptors",
)  # fmt: skip


class Sampler(threading.Thread):
    """Takes figures until it is told to stop."""

    def __init__(self, processes: Callable[[], list[tuple[str, int]]]) -> None:
        super().__init__(daemon=True)
        self._processes = processes
        self._over = threading.Event()
        self.figures = Figures()

    def run(self) -> None:
        while not self._over.wait(_EVERY_SECONDS):
            self.figures.take(self._processes())

    def stop(self) -> Figures:
        self._over.set()
        self.join()
        return self.figures


def _sample(pid: int) -> Sample:
    if not os.access(f"/proc/{pid}/fd", os.R_OK):  # the server, which only root may look into
        rss = _memory(pid, "status")["VmRSS:"]
        return Sample(time.monotonic(), rss, rss, 0)
    memory = _memory(pid, "smaps_rollup")
    return Sample(time.monotonic(), memory["Rss:"], memory["Pss:"], len(os.listdir(f"/proc/{pid}/fd")))


def _memory(pid: int, file: str) -> dict[str, int]:
    """What a file of a process tells in KiB."""
    lines = Path(f"/proc/{pid}/{file}").read_text().splitlines()
    return {line.split()[0]: int(line.split()[1]) for line in lines if line.endswith(" kB")}


def _slope(points: list[tuple[float, int]]) -> float:
    """Of the line through the points, by least squares."""
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread
