"""A file of lines that others can't have planted, and that begins anew before it is too long."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from jobworker_server.audit.line import Line
from jobworker_server.errors import AuditError


class AuditFile:
    """Appends to a file; a file that was renamed or removed, as logrotate does, is made anew.

    Raises:
        AuditError: it can't be opened, or is not safe to write to.
    """

    def __init__(self, path: Path, max_bytes: int, keep: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._keep = keep
        self._descriptor = -1
        self._is_torn = False
        try:
            self._open()
        except OSError as error:
            raise AuditError(f"the audit can't be written to {path}: {error.strerror}") from None

    def write(self, line: Line) -> None:
        """Append a line.

        Raises:
            OSError: it was not written, or not all of it; what there is of it is taken back, if that can be done.
            AuditError: the file that stands there now is not safe to write to.
        """
        size = self._prepare(len(line.data))
        data = b"\n" + line.data if self._is_torn else line.data
        written = 0
        try:
            while written < len(data):
                written += os.write(self._descriptor, data[written:])
            self._is_torn = False
        except OSError:
            self._take_back(size, written)
            raise

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _prepare(self, more: int) -> int:
        """Have the right file open, with room for ``more`` bytes; tell its size."""
        if not self._is_in_place():
            self._open()
        size = os.fstat(self._descriptor).st_size
        if size and size + more > self._max_bytes:
            self._rotate()
            self._open()
            size = os.fstat(self._descriptor).st_size
        return size

    def _is_in_place(self) -> bool:
        if self._descriptor < 0:
            return False
        try:
            return os.path.samestat(os.lstat(self._path), os.fstat(self._descriptor))
        except FileNotFoundError:
            return False

    def _open(self) -> None:
        self.close()
        # Without O_NONBLOCK a pipe that stands there would be waited for.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(self._path, flags, 0o600)
        try:
            _require_safe(self._path, os.fstat(descriptor))
        except AuditError:
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def _rotate(self) -> None:
        for number in range(self._keep, 0, -1):
            source = self._numbered(number - 1) if number > 1 else self._path
            with suppress(FileNotFoundError):
                source.rename(self._numbered(number))

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")

    def _take_back(self, size: int, written: int) -> None:
        if written:
            self._is_torn = True
            with suppress(OSError):
                os.ftruncate(self._descriptor, size)
                self._is_torn = False


def _require_safe(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise AuditError(f"the audit can't be written to {path}: it is not a regular file")
    if found.st_uid != os.geteuid() or found.st_nlink > 1:
        raise AuditError(f"the audit is not written to {path}: it is another user's, or has another name; remove it")
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise AuditError(f"the audit is not written to {path}: others may write to it; close it with chmod go-w {path}")
