"""What is kept on disk as a JSON object and read by other versions of this package."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import fields
from functools import cache
from typing import Any

DAMAGE = (ValueError, KeyError, TypeError, AttributeError)
"""What reading a damaged record raises: a crash of the host may leave it empty, or with other bytes."""

_READ_BYTES = 64 << 10
_HOW = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
"""A pipe in a record's place is not waited for, nor a link followed: a job of the same user may have put it there."""
NO_FILE = (errno.ELOOP, errno.EISDIR, errno.EAGAIN, errno.ENXIO)
"""What opening a record so fails with where something else is in its place."""


def known_fields(kind: Any, value: dict[str, Any]) -> dict[str, Any]:
    """What of a JSON object this version knows: a key that a later one has added is none of its business."""
    return {name: value[name] for name in _names(kind) if name in value}


def to_bytes(record: Any) -> bytes:
    """A record, which may be a dataclass and hold others, as JSON."""
    return _ENCODER.encode(record).encode()


def read(path: str) -> Any:
    """What a file holds. FileNotFoundError where there is none, ValueError where it is damaged, or no file."""
    try:
        return _decode(_content(path).decode())
    except RecursionError:
        raise ValueError(f"{path} is nested too deeply") from None
    except OSError as error:
        if error.errno in NO_FILE:
            raise ValueError(f"{path} is no file") from None
        raise


def _content(path: str) -> bytes:
    descriptor = os.open(path, _HOW)  # records are small and many: open() takes twice as long
    try:
        data = os.read(descriptor, _READ_BYTES)
        while len(data) >= _READ_BYTES and (more := os.read(descriptor, len(data))):
            data += more
    finally:
        os.close(descriptor)
    return data


def _fields_of(record: Any) -> dict[str, Any]:
    """Not asdict(), which copies all that is in it, deeply: a job is started in less time than that adds up to."""
    return {name: getattr(record, name) for name in _names(record.__class__)}


@cache
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


_ENCODER = json.JSONEncoder(default=_fields_of)
"""Made once: json.dumps() makes one at each call."""
_decode = json.JSONDecoder().decode
