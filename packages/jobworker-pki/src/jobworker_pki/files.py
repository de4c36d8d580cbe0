"""Writing certificates and keys: all of them or none, one writer at a time, keys private from their first byte on."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from jobworker_pki.errors import AlreadyExistsError, WriteError

PRIVATE = 0o600
PUBLIC = 0o644


@dataclass(frozen=True)
class NewFile:
    """A file to be written: its name in the directory, its bytes, and the mode it is created with."""

    name: str
    content: bytes = field(repr=False)
    mode: int


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Keep other writers out of ``directory``; it is made, with mode 0700, where it is missing. Raises WriteError."""
    with ExitStack() as stack:
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = stack.enter_context(_opened(directory))
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError as error:
            raise WriteError(directory, error) from error
        yield


def publish(directory: Path, files: Sequence[NewFile], *, replace: bool) -> None:
    """Put all ``files`` in place, or leave the directory as it was.

    Raises AlreadyExistsError when any is there and ``replace`` is false, WriteError when the system refuses.
    """
    existing = [directory / file.name for file in files if os.path.lexists(directory / file.name)]
    if existing and not replace:
        raise AlreadyExistsError(existing)
    try:
        _publish(directory, files)
    except FileExistsError as error:
        raise AlreadyExistsError([Path(error.filename2 or error.filename)]) from error
    except OSError as error:
        raise WriteError(directory, error) from error


def _publish(directory: Path, files: Sequence[NewFile]) -> None:
    with ExitStack() as clean_up, ExitStack() as undo:
        staged = [(_stage(directory, file, clean_up), directory / file.name) for file in files]
        for temporary, final in staged:
            _place(temporary, final, undo, clean_up)
        with _opened(directory) as descriptor:
            os.fsync(descriptor)
        undo.pop_all()


def _stage(directory: Path, file: NewFile, clean_up: ExitStack) -> Path:
    path = _hidden(directory / file.name)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, file.mode)
    clean_up.callback(path.unlink, missing_ok=True)
    with open(descriptor, "wb") as stream:
        stream.write(file.content)
        stream.flush()
        os.fsync(descriptor)
    return path


def _place(temporary: Path, final: Path, undo: ExitStack, clean_up: ExitStack) -> None:
    if os.path.lexists(final):
        backup = _hidden(final)
        os.link(final, backup, follow_symlinks=False)
        clean_up.callback(backup.unlink, missing_ok=True)
        os.replace(temporary, final)
        undo.callback(os.replace, backup, final)
    else:
        # link(2), unlike rename(2), never replaces: not even what a program that ignores our lock has just made.
        os.link(temporary, final)
        undo.callback(final.unlink)


def _hidden(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}")


@contextmanager
def _opened(directory: Path) -> Iterator[int]:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
