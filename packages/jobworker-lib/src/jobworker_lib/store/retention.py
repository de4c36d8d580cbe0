"""Which ended jobs are kept: the newest, within bounds of age, number and bytes."""

from __future__ import annotations

import enum
import json
import math
import os
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

from jobworker_lib.errors import EngineError, InvalidArgumentError
from jobworker_lib.job.directory import FILE_MODE
from jobworker_lib.job.record import DAMAGE, known_fields

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_FILE = "retention.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """Bounds on the ended jobs of a state directory. Those that ended first are removed first; None: no such bound.

    A job that runs, waits or is being read is never removed. The defaults are more than a person looks back at, and
    less than fills a disk.
    """

    age: float | None = 30 * 86400.0
    """Seconds since the end."""
    jobs: int | None = 10_000
    """Most ended jobs."""
    bytes: int | None = 10 << 30
    """Most bytes on the disk that the directories of ended jobs take together."""
    share: float | None = 0.1
    """Most of the filesystem that they take, 0 to 1; the smaller of this and ``bytes`` counts."""

    def most_bytes(self, state_dir: Path) -> int | None:
        """The bound on bytes on the filesystem of a state directory."""
        if self.share is None:
            return self.bytes
        about = os.statvfs(state_dir)
        of_disk = int(about.f_blocks * about.f_frsize * self.share)
        return of_disk if self.bytes is None else min(self.bytes, of_disk)


KEEP_ALL = Retention(age=None, jobs=None, bytes=None, share=None)


class _AsBefore(enum.Enum):
    AS_BEFORE = enum.auto()


AS_BEFORE: Literal[_AsBefore.AS_BEFORE] = _AsBefore.AS_BEFORE
"""What was last said for the state directory holds on: the default."""
GivenRetention = Retention | Literal[_AsBefore.AS_BEFORE] | None


@dataclass(frozen=True, slots=True)
class EndedJob:
    """What tells whether a job is kept."""

    id: str
    ended_ns: int
    bytes: int


def superfluous(
    jobs: Iterable[EndedJob], count: int, total: int, retention: Retention, most_bytes: int | None
) -> Iterator[EndedJob]:
    """Those to be removed of ``jobs``, the first to end first; they are ``count`` and take ``total`` bytes together."""
    oldest_ns = -math.inf if retention.age is None else time.time_ns() - retention.age * 1e9
    most_jobs = math.inf if retention.jobs is None else retention.jobs
    bytes_kept = math.inf if most_bytes is None else most_bytes
    for job in jobs:
        if job.ended_ns >= oldest_ns and count <= most_jobs and total <= bytes_kept:
            return
        yield job
        count, total = count - 1, total - job.bytes


def checked_retention(retention: Retention) -> Retention:
    """A retention that can be used. InvalidArgumentError for any other."""
    if retention.age is not None and not (math.isfinite(retention.age) and retention.age >= 0):
        raise InvalidArgumentError("retention.age", "give 0 or more seconds")
    if retention.jobs is not None and retention.jobs < 0:
        raise InvalidArgumentError("retention.jobs", "give 0 or more jobs")
    if retention.bytes is not None and retention.bytes < 0:
        raise InvalidArgumentError("retention.bytes", "give 0 or more bytes")
    if retention.share is not None and not 0 <= retention.share <= 1:
        raise InvalidArgumentError("retention.share", "give 0 to 1")
    return retention


def read_retention(state_dir: Path) -> Retention:
    """What holds for a state directory: what was last said there, or the default. EngineError where it is damaged."""
    try:
        return checked_retention(Retention(**known_fields(Retention, json.loads((state_dir / _FILE).read_bytes()))))
    except FileNotFoundError:
        return Retention()
    except (*DAMAGE, InvalidArgumentError) as error:
        raise EngineError(f"{state_dir / _FILE} is damaged: {error}; set the retention again, or remove it") from error


def write_retention(state_dir: Path, retention: Retention) -> None:
    """Let another hold, for every engine of the directory, until another is said. InvalidArgumentError, OSError."""
    text = json.dumps(asdict(checked_retention(retention)))
    temporary = state_dir / f".{_FILE}.{os.getpid()}.new"
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, FILE_MODE)
    with open(descriptor, "w") as file:
        file.write(text)
    os.rename(temporary, state_dir / _FILE)
