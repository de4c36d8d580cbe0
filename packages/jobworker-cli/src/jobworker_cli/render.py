"""Jobs and output as JSON, with the keys that scripts rely on."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jobworker_cli.fence import Limits, Sample
    from jobworker_cli.models import Attempt, Chunk, Event, Job


def job_json(job: Job) -> str:
    """One job as an object."""
    return json.dumps(job_object(job), indent=2)


def jobs_json(jobs: Iterable[Job]) -> str:
    """Jobs as an array of objects."""
    return json.dumps([job_object(job) for job in jobs], indent=2)


def chunk_lines(chunks: Iterable[Chunk]) -> Iterator[str]:
    """Chunks of output as objects, each on a line, and the gaps before them, in ASCII alone: safe on a terminal."""
    for chunk in chunks:
        if chunk.gap:
            yield json.dumps({"gap": {"begin": chunk.gap.begin, "end": chunk.gap.end}})
        if chunk.data:
            yield _chunk_json(chunk)


def _chunk_json(chunk: Chunk) -> str:
    try:
        log = {"log": chunk.data.decode()}
    except UnicodeDecodeError:
        log = {"log_base64": base64.b64encode(chunk.data).decode("ascii")}
    return json.dumps({**log, "stream": chunk.stream, "time": utc(chunk.time), "offset": chunk.offset})


def event_json(event: Event | str) -> str:
    """An event, or the cursor where there is none, as an object on one line."""
    if isinstance(event, str):
        return json.dumps({"cursor": event})
    return json.dumps(
        {
            "event": event.type,
            "time": utc(event.time),
            "id": event.job_id,
            "cursor": event.cursor,
            "job": job_object(event.job) if event.job else None,
        }
    )


def sample_json(sample: Sample) -> str:
    """What a job had used at a moment, as an object on one line."""
    return json.dumps({"time": utc(sample.time), "usage": asdict(sample.usage) if sample.usage else None})


def utc(time: datetime) -> str:
    """ISO 8601 with microseconds and ``Z``."""
    return time.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def job_object(job: Job) -> dict[str, Any]:
    """A job as the plain values of its JSON."""
    return {
        "id": job.id,
        "command": list(job.argv),
        "owner": job.owner,
        "state": job.state,
        "exit_code": job.exit_code,
        "signal": job.signal,
        "reason": job.reason,
        "created_at": utc(job.created_at),
        "started_at": utc(job.started_at) if job.started_at else None,
        "ended_at": utc(job.ended_at) if job.ended_at else None,
        "labels": dict(job.labels),
        "limits": _limits_object(job.limits),
        "usage": asdict(job.usage) if job.usage else None,
        "timeout": job.timeout,
        "stdin": job.stdin,
        "tty": job.tty,
        "priority": job.priority,
        "output_bytes": job.output_bytes,
        "output_dropped_bytes": job.output_dropped_bytes,
        "output_limit": (
            {"bytes": job.output_limit.bytes, "action": job.output_limit.action} if job.output_limit else None
        ),
        "attempts": [_attempt_object(attempt) for attempt in job.attempts],
        "isolation": asdict(job.isolation) if job.isolation else None,
        "user": job.user or None,
        "groups": list(job.groups),
        "out_of_memory_process": job.out_of_memory_process or None,
        "no_new_privileges": job.no_new_privileges,
    }


def _limits_object(limits: Limits) -> dict[str, Any]:
    """Those that are set."""
    found = _set_values(asdict(limits))
    io = [_set_values(asdict(limit)) for limit in limits.io]
    return {**found, "io": io} if io else found


def _set_values(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value not in (None, "", ())}


def _attempt_object(attempt: Attempt) -> dict[str, Any]:
    return {
        "number": attempt.number,
        "started_at": utc(attempt.started_at),
        "ended_at": utc(attempt.ended_at) if attempt.ended_at else None,
        "exit_code": attempt.exit_code,
        "signal": attempt.signal,
        "output_offset": attempt.output_offset,
        "error": attempt.error or None,
    }
