"""How many jobs may run at once in a state directory, and what becomes of those that are too many."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal, get_args

from jobworker_lib.errors import InvalidArgumentError, StateDirectoryError
from jobworker_lib.job.directory import FILE_MODE
from jobworker_lib.job.record import DAMAGE, known_fields

if TYPE_CHECKING:
    from pathlib import Path

WhenFull = Literal["queue", "refuse"]

WHEN_FULL: tuple[WhenFull, ...] = get_args(WhenFull)
_FILE = "bounds.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Bounds on the jobs of a state directory, whichever engine starts them; None: no bound."""

    running: int | None = None
    """Most jobs that run at once."""
    running_per_owner: int | None = None
    """Most jobs of one owner that run at once."""
    when_full: WhenFull = "queue"
    """What becomes of a start beyond a bound: it waits for its turn, or it is refused."""
    queued: int | None = None
    """Most jobs that wait; a start beyond it is refused."""

    @property
    def exist(self) -> bool:
        """Whether there is a bound on what runs."""
        return self.running is not None or self.running_per_owner is not None


def checked_bounds(bounds: Bounds) -> Bounds:
    """Bounds that can be used. InvalidArgumentError for any other."""
    for name in ("running", "running_per_owner"):
        value = getattr(bounds, name)
        if value is not None and value < 1:
            raise InvalidArgumentError(f"bounds.{name}", "give 1 or more jobs")
    if bounds.queued is not None and bounds.queued < 0:
        raise InvalidArgumentError("bounds.queued", "give 0 or more jobs")
    if bounds.when_full not in WHEN_FULL:
        raise InvalidArgumentError("bounds.when_full", f"give one of {', '.join(WHEN_FULL)}")
    return bounds


class BoundsFile:
    """``bounds.json``, which holds for every engine of its state directory, and is kept when all are closed."""

    def __init__(self, state_dir: Path) -> None:
        self._path = state_dir / _FILE
        self._seen: tuple[int, int, int] | None = None
        self._bounds = Bounds()

    def read(self) -> Bounds:
        """The bounds that hold now. StateDirectoryError where the file is damaged."""
        try:
            about = os.stat(self._path)
        except FileNotFoundError:
            return Bounds()
        seen = (about.st_ino, about.st_mtime_ns, about.st_size)
        if seen != self._seen:
            try:
                self._bounds = checked_bounds(Bounds(**known_fields(Bounds, json.loads(self._path.read_bytes()))))
            except (*DAMAGE, InvalidArgumentError) as error:
                problem = f"{self._path} is damaged: {error}; set the bounds again, or remove it"
                raise StateDirectoryError(problem) from error
            self._seen = seen
        return self._bounds

    def write(self, bounds: Bounds) -> None:
        """Let other bounds hold. InvalidArgumentError, OSError."""
        text = json.dumps(asdict(checked_bounds(bounds)))
        temporary = self._path.with_name(f".{_FILE}.{os.getpid()}.new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, FILE_MODE)
        with open(descriptor, "w") as file:
            file.write(text)
        os.rename(temporary, self._path)
