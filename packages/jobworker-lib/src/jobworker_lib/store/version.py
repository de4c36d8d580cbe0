"""The version of the layout on disk, kept in a state directory's file ``version``.

``docs/state-directory.md`` tells what changes need a new one. Older formats are read as they stand, job by job, so
nothing is rewritten but the number: from then on, code that knows only the older format refuses the directory.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from jobworker_lib.errors import StateDirectoryError

if TYPE_CHECKING:
    from pathlib import Path

FORMAT = 4

_FILE = "version"
_NEW_FILE = ".version.new"
_FILE_MODE = 0o600


def check_version(state_dir: Path) -> None:
    """Note the format in a new directory, and raise the number in an older one.

    Raises:
        StateDirectoryError: the directory is of a newer version.
        OSError: the file can't be read or written.
    """
    with suppress(FileExistsError):
        _write(state_dir / _FILE, os.O_EXCL)
    text = (state_dir / _FILE).read_text(errors="replace").strip() or "0"  # empty: its writer is not done, or died
    if not (text.isascii() and text.isdigit()):
        raise StateDirectoryError(f"{state_dir} is no state directory: its file {_FILE} holds {text[:20]!r}, no number")
    if int(text) > FORMAT:
        raise StateDirectoryError(
            f"{state_dir} was used by a newer version of jobworker (its format is {text[:20]}, this version knows "
            f"{FORMAT}): use that version, or another directory"
        )
    if int(text) < FORMAT:
        _write(state_dir / _NEW_FILE, os.O_TRUNC)
        with suppress(FileNotFoundError):  # another engine has just renamed it, and it said the same
            os.rename(state_dir / _NEW_FILE, state_dir / _FILE)


def is_newer(state_dir: Path) -> bool:
    """Whether a newer version has taken the directory over since it was opened."""
    with suppress(OSError, ValueError):
        return int((state_dir / _FILE).read_text()) > FORMAT
    return False


def _write(path: Path, how: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | how | os.O_CLOEXEC, _FILE_MODE)
    with open(descriptor, "w") as file:
        file.write(f"{FORMAT}\n")
