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

from jobworker_lib.job import attempts, isolation, limits, restart, status, terminal, usage
from jobworker_lib.job.status import JobStatus
from jobworker_lib.output import limit

_MODULES = (attempts, isolation, limit, limits, restart, status, terminal, usage)
_NAMES = {"datetime": datetime, **{name: kind for module in _MODULES for name, kind in vars(module).items()}}
"""What the annotations of a status may name, also where they are imported for type checkers only."""

FIELDS = " ".join(field.name for field in fields(JobStatus))
"""Tells whether a status was kept by a version that knows the same things."""


def encode(value: JobStatus) -> str:
    """All of it as text."""
    return json.dumps(asdict(value), default=datetime.isoformat)


def decode(text: str) -> JobStatus:
    """The status that the text was made from."""
    decoded: JobStatus = _dataclass_decoder_of_status()(json.loads(text))
    return decoded


@cache
def _dataclass_decoder_of_status() -> Callable[[Any], Any]:
    return _dataclass_decoder(JobStatus)


@cache
def _decoder(kind: Any) -> Callable[[Any], Any] | None:
    """What makes a value of a type from what JSON made of it; None where that is the same."""
    if isinstance(kind, types.UnionType):
        inner = _decoder(next(part for part in get_args(kind) if part is not types.NoneType))
        return inner and (lambda value: None if value is None else inner(value))
    if get_origin(kind) is tuple:
        return _tuple_decoder(_decoder(get_args(kind)[0]))
    if kind is datetime:
        return datetime.fromisoformat
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind
    if is_dataclass(kind) and isinstance(kind, type):
        return _dataclass_decoder(kind)
    return None


def _tuple_decoder(inner: Callable[[Any], Any] | None) -> Callable[[Any], Any]:
    return tuple if inner is None else lambda value: tuple(map(inner, value))


def _dataclass_decoder(make: Callable[..., Any]) -> Callable[[Any], Any]:
    hints = get_type_hints(make, localns=_NAMES)
    decoders = {name: decoder for name, hint in hints.items() if (decoder := _decoder(hint))}

    def decode_fields(value: dict[str, Any]) -> Any:
        for name, decoder in decoders.items():
            value[name] = decoder(value[name])
        return make(**value)

    return decode_fields
