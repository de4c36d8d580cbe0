"""Writing certificates and keys: all of them or none, one writer at a time, keys private from their first byte on."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from jobworker_pki import journal
from jobworker_pki.errors import AlreadyExistsError, WriteError

PRIVATE = 0o600
PUBLIC = 0o644


@dataclass(frozen=True)
class NewFile:
    """A file to be written: its name in the directory, its bytes, and the mode it is created with."""

    name: str
    content: bytes = field(repr=False)
    mode: int
    replace: bool = False
    """It takes the place of what is there, whether or not the user asked for replacing."""


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Keep other writers out of ``directory``; it is made, with mode 0700, where it is missing. Raises WriteError.

    What a killed writer had begun is finished first.
    """
    with ExitStack() as stack:
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = stack.enter_context(_opened(directory))
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            journal.recover(directory)
        except OSError as error:
            raise WriteError(directory, error) from error
        yield


def publish(directory: Path, files: Sequence[NewFile], *, replace: bool, remove: Sequence[str] = ()) -> None:
    """Put all ``files`` in place and remove those named in ``remove``, or leave the directory as it was.

    Raises AlreadyExistsError when any is there that is not to be replaced, WriteError when the system refuses.
    """
    existing = [
        directory / file.name
        for file in files
        if not (replace or file.replace) and os.path.lexists(directory / file.name)
    ]
    if existing:
        raise AlreadyExistsError(existing)
    try:
        _publish(directory, files, replace=replace, remove=remove)
    except FileExistsError as error:
        raise AlreadyExistsError([Path(error.filename2 or error.filename)]) from error
    except OSError as error:
        raise WriteError(directory, error) from error


def _publish(directory: Path, files: Sequence[NewFile], *, replace: bool, remove: Sequence[str]) -> None:
    with ExitStack() as clean_up, ExitStack() as undo:
        staged = [(_stage(directory, file, clean_up), file) for file in files]
        steps = [journal.Step(path.name, file.name, replace or file.replace) for path, file in staged]
        written = journal.write(directory, steps, remove)
        clean_up.callback(written.unlink, missing_ok=True)
        try:
            for step in steps:
                _place(directory / step.temporary, directory / step.final, undo, clean_up, replace=step.replace)
            for name in remove:
                _remove(directory / name, undo, clean_up)
            journal.sync(directory)
        except BaseException:
            written.unlink(missing_ok=True)  # before anything is undone: it must not be done again
            raise
        undo.pop_all()


def _stage(directory: Path, file: NewFile, clean_up: ExitStack) -> Path:
    path = journal.temporary(directory / file.name)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, file.mode)
    clean_up.callback(path.unlink, missing_ok=True)
    with open(descriptor, "wb") as stream:
        stream.write(file.content)
        stream.flush()
        os.fsync(descriptor)
    return path


def _place(temporary: Path, final: Path, undo: ExitStack, clean_up: ExitStack, *, replace: bool) -> None:
    if replace and os.path.lexists(final):
        backup = _back_up(final, clean_up)
        os.replace(temporary, final)
        undo.callback(os.replace, backup, final)
    else:
        # link(2), unlike rename(2), never replaces: not even what a program that ignores our lock has just made.
        os.link(temporary, final)
        undo.callback(final.unlink)


def _remove(path: Path, undo: ExitStack, clean_up: ExitStack) -> None:
    if os.path.lexists(path):
        backup = _back_up(path, clean_up)
        path.unlink()
        undo.callback(os.replace, backup, path)


def _back_up(path: Path, clean_up: ExitStack) -> Path:
    backup = journal.temporary(path)
    os.link(path, backup, follow_symlinks=False)
    clean_up.callback(backup.unlink, missing_ok=True)
    return backup


@contextmanager
def _opened(directory: Path) -> Iterator[int]:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
