"""Finishing what a killed writer had begun.

Before the first of several files is put in place, a journal says what goes where. Whoever locks the directory next
finds it and puts the rest in place, so that even ``kill -9`` or a power failure leaves all of the files or none.
"""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from jobworker_pki.errors import DamagedError

NAME = ".unfinished"
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")


@dataclass(frozen=True)
class Step:
    """A file that is staged under the name ``temporary``, and its place; ``replace``: also where something is there."""

    temporary: str
    final: str
    replace: bool


def temporary(path: Path) -> Path:
    """Return a new hidden name beside ``path``; one that stays behind is removed by :func:`recover`."""
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")


def write(directory: Path, steps: Sequence[Step], removed: Sequence[str]) -> Path:
    """Say, safely on the disk, what is about to be done. Returns the journal's path. Raises OSError."""
    path = directory / NAME
    staged = temporary(path)
    descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "w", encoding="utf-8") as stream:
            json.dump({"steps": [asdict(step) for step in steps], "removed": list(removed)}, stream)
            stream.flush()
            os.fsync(descriptor)
        os.replace(staged, path)
        sync(directory)
    except BaseException:
        staged.unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        raise
    return path


def recover(directory: Path) -> None:
    """Finish what a journal says, and remove what was staged without one. Needs the lock.

    Raises OSError, DamagedError.
    """
    path = directory / NAME
    if path.exists():
        steps, removed = _read(path)
        for step in steps:
            _finish(directory, step)
        for name in removed:
            (directory / name).unlink(missing_ok=True)
        sync(directory)
        path.unlink()
    for name in os.listdir(directory):
        if _TEMPORARY.fullmatch(name):
            (directory / name).unlink(missing_ok=True)


def sync(directory: Path) -> None:
    """Bring the directory's names to the disk. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path) -> tuple[list[Step], list[str]]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        steps = [Step(**step) for step in content["steps"]]
        names = [name for step in steps for name in (step.temporary, step.final)]
        removed = [str(name) for name in content["removed"]]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise DamagedError(path) from None
    if any(os.path.basename(name) != name for name in (*names, *removed)):
        raise DamagedError(path)
    return steps, removed


def _finish(directory: Path, step: Step) -> None:
    staged, final = directory / step.temporary, directory / step.final
    if not staged.exists():
        return  # it had come that far
    if step.replace or not os.path.lexists(final):
        os.replace(staged, final)
