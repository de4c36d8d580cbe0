"""A status as JSON and back, whatever its fields are."""

from __future__ import annotations

import json
import types
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import Enum
from functools import cache
from typing import Any, get_args, get_origin, get_type_hints

from jobworker_lib.job import attempts, isolation, limits, restart, status, terminal, usage
from jobworker_lib.job.attempts import Attempt
from jobworker_lib.job.limits import Limits
from jobworker_lib.job.record import known_fields
from jobworker_lib.job.status import JobStatus, Reason, State
from jobworker_lib.job.timestamps import utc_from_ns
from jobworker_lib.job.usage import Usage
from jobworker_lib.output import limit
from jobworker_lib.output.limit import OutputLimit

_MODULES = (attempts, isolation, limit, limits, restart, status, terminal, usage)
_NAMES = {"datetime": datetime, **{name: kind for module in _MODULES for name, kind in vars(module).items()}}
"""What the annotations of a status may name, also where they are imported for type checkers only."""

FIELDS = " ".join(field.name for field in fields(JobStatus))
"""Tells whether a status was kept by a version that knows the same things."""


_OF_SPEC = (
    "id", "argv", "cwd", "owner", "labels", "limits", "created_ns", "stdin", "terminal", "output_limit", "priority",
    "new_privileges",
)  # fmt: skip

_RARE = ("restart", "isolation", "user")
"""What of a spec is not worth a quick way."""


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return {field.name: getattr(value, field.name) for field in fields(value)}  # asdict() would copy all of it


_encode = json.JSONEncoder(default=_plain, separators=(",", ":")).encode
"""Made once: json.dumps() makes an encoder at each call."""


def encode(value: JobStatus) -> str:
    """All of it as text."""
    return _encode(value)


def encode_records(spec: dict[str, Any], ended: dict[str, Any]) -> str | None:
    """The status of an ended job from the JSON of its records, with little work; None where they don't tell all of it.

    KeyError where one of them is of an older version.
    """
    if ended.get("output_bytes") is None or any(map(spec.get, _RARE)):
        return None
    return _encode([{name: spec[name] for name in _OF_SPEC}, ended])


def decode(text: str) -> JobStatus:
    """The status that the text was made from."""
    value = json.loads(text)
    if isinstance(value, list):
        return _status_of_records(*value)
    decoded: JobStatus = _dataclass_decoder_of_status()(value)
    return decoded


def _status_of_records(spec: dict[str, Any], ended: dict[str, Any]) -> JobStatus:
    started_ns, output_limit, used = ended["started_ns"], spec["output_limit"], ended.get("usage")
    return JobStatus(
        id=spec["id"],
        argv=tuple(spec["argv"]),
        cwd=spec["cwd"],
        owner=spec["owner"],
        labels=spec["labels"],
        limits=Limits.from_json(spec["limits"]),
        timeout=ended["timeout"],
        state=State(ended["state"]),
        created_ns=spec["created_ns"],
        started_at=None if started_ns is None else utc_from_ns(started_ns),
        ended_at=utc_from_ns(ended["ended_ns"]),
        exit_code=ended["exit_code"],
        signal=ended["signal"],
        reason=Reason(ended["reason"]),
        error=ended["error"],
        stdin=spec["stdin"],
        tty=spec["terminal"] is not None,
        output_bytes=ended["output_bytes"],
        output_limit=output_limit and OutputLimit(**known_fields(OutputLimit, output_limit)),
        output_dropped_bytes=ended["output_dropped_bytes"],
        priority=spec["priority"],
        new_privileges=spec["new_privileges"],
        attempts=() if started_ns is None else (_only_attempt(ended),),
        usage=used and Usage(**known_fields(Usage, used)),
        out_of_memory_process=ended.get("out_of_memory_process"),
    )


def _only_attempt(ended: dict[str, Any]) -> Attempt:
    return Attempt(
        number=1,
        started_ns=ended["started_ns"],
        ended_ns=ended["ended_ns"],
        exit_code=ended["exit_code"],
        signal=ended["signal"],
        error=ended["error"],
    )


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
