"""A status as JSON and back, whatever its fields are."""

from __future__ import annotations

import json
import types
from collections.abc import Callable
from dataclasses import asdict, fields, is_dataclass
from datetime import datetime
from enum import Enum
from functools import cache
from typing import Any, get_args, get_origin, get_type_hints

from jobworker_lib import attempts, restart, status, terminal
from jobworker_lib.output import limit
from jobworker_lib.status import JobStatus

_MODULES = (attempts, limit, restart, status, terminal)
_NAMES = {"datetime": datetime, **{name: kind for module in _MODULES for name, kind in vars(module).items()}}
"""What the annotations of a status may name, also where they are imported for type checkers only."""

FIELDS = " ".join(field.name for field in fields(JobStatus))
"""Tells whether a status was kept by a version that knows the same things."""


def encode(value: JobStatus) -> str:
    """All of it as text."""
    return json.dumps(asdict(value), default=datetime.isoformat)


def decode(text: str) -> JobStatus:
    """The status that the text was made from."""
    decoded: JobStatus = _decoder(JobStatus)(json.loads(text))
    return decoded


@cache
def _decoder(kind: Any) -> Callable[[Any], Any]:
    """What makes a value of a type from what JSON made of it."""
    if isinstance(kind, types.UnionType):
        inner = _decoder(next(part for part in get_args(kind) if part is not types.NoneType))
        return lambda value: None if value is None else inner(value)
    if get_origin(kind) is tuple:
        inner = _decoder(get_args(kind)[0])
        return lambda value: tuple(map(inner, value))
    if kind is datetime:
        return datetime.fromisoformat
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind
    if is_dataclass(kind) and isinstance(kind, type):
        make: Callable[..., Any] = kind
        decoders = {name: _decoder(hint) for name, hint in get_type_hints(kind, localns=_NAMES).items()}
        return lambda value: make(**{name: decoders[name](part) for name, part in value.items()})
    return lambda value: value
