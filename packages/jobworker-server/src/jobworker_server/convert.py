"""The engine's objects as messages of the API."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Literal

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from jobworker.v1 import job_pb2, output_pb2, worker_service_pb2
from jobworker_lib import (
    Attempt,
    Chunk,
    Event,
    EventType,
    JobStatus,
    Limits,
    OutputLimit,
    Reason,
    RestartPolicy,
    State,
    TerminalSize,
)
from jobworker_server.errors import InvalidRequestError

STATES = {
    State.QUEUED: job_pb2.JOB_STATE_QUEUED,
    State.STARTING: job_pb2.JOB_STATE_STARTING,
    State.RUNNING: job_pb2.JOB_STATE_RUNNING,
    State.EXITED: job_pb2.JOB_STATE_EXITED,
    State.STOPPED: job_pb2.JOB_STATE_STOPPED,
    State.FAILED: job_pb2.JOB_STATE_FAILED,
    State.LOST: job_pb2.JOB_STATE_LOST,
}
REASONS = {
    Reason.EXITED: job_pb2.EXIT_REASON_EXITED,
    Reason.STOPPED: job_pb2.EXIT_REASON_STOPPED,
    Reason.TIMED_OUT: job_pb2.EXIT_REASON_TIMED_OUT,
    Reason.OUT_OF_MEMORY: job_pb2.EXIT_REASON_OUT_OF_MEMORY,
    Reason.OUTPUT_LIMIT: job_pb2.EXIT_REASON_OUTPUT_LIMIT,
    Reason.FAILED_TO_START: job_pb2.EXIT_REASON_FAILED_TO_START,
    Reason.LOST: job_pb2.EXIT_REASON_LOST,
}
_LIMIT_ACTIONS = {
    "stop": job_pb2.OUTPUT_LIMIT_ACTION_STOP,
    "drop_oldest": job_pb2.OUTPUT_LIMIT_ACTION_DROP_OLDEST,
}
_ASKED_ACTIONS: dict[int, Literal["stop", "drop_oldest"]] = {
    job_pb2.OUTPUT_LIMIT_ACTION_UNSPECIFIED: "stop",
    job_pb2.OUTPUT_LIMIT_ACTION_STOP: "stop",
    job_pb2.OUTPUT_LIMIT_ACTION_DROP_OLDEST: "drop_oldest",
}
EVENT_TYPES = {
    EventType.CREATED: worker_service_pb2.EVENT_TYPE_CREATED,
    EventType.STARTED: worker_service_pb2.EVENT_TYPE_STARTED,
    EventType.OUTPUT_TRUNCATED: worker_service_pb2.EVENT_TYPE_OUTPUT_TRUNCATED,
    EventType.ENDED: worker_service_pb2.EVENT_TYPE_ENDED,
    EventType.DELETED: worker_service_pb2.EVENT_TYPE_DELETED,
}
STREAMS = {"stdout": output_pb2.OUTPUT_STREAM_STDOUT, "stderr": output_pb2.OUTPUT_STREAM_STDERR}

# Clients take 4 MiB by gRPC's default, and a job can have 2 MiB of arguments.
LARGEST_LIST_OF_JOBS = 3 << 20

# A message holds at most about this much, so that clients with gRPC's default bound of 4 MiB can take it. A chunk
# weighs more than its data: a job may write a byte at a time.
_LARGEST_OUTPUT_MESSAGE = 2 << 20
_WEIGHT_OF_CHUNK = 48


def job_message(status: JobStatus) -> job_pb2.Job:
    """A job as the API tells of it; bytes that are not UTF-8 become U+FFFD."""
    return job_pb2.Job(
        id=status.id,
        argv=map(_text, status.argv),
        cwd=_text(status.cwd),
        owner=_text(status.owner),
        labels={_text(key): _text(value) for key, value in status.labels.items()},
        limits=_limits_message(status.limits),
        timeout=None if status.timeout is None else _duration(status.timeout),
        state=STATES[status.state],
        created_at=_timestamp(status.created_ns),
        started_at=_moment(status.started_at),
        ended_at=_moment(status.ended_at),
        exit_code=status.exit_code,
        signal=status.signal,
        reason=REASONS[status.reason] if status.reason else job_pb2.EXIT_REASON_UNSPECIFIED,
        error=_text(status.error or ""),
        output_bytes=status.output_bytes,
        stdin=status.stdin,
        tty=status.tty,
        output_dropped_bytes=status.output_dropped_bytes,
        output_limit=_output_limit_message(status.output_limit),
        priority=status.priority,
        restart=_restart_message(status.restart),
        attempts=map(_attempt_message, status.attempts),
    )


def event_message(event: Event, job: job_pb2.Job | None) -> worker_service_pb2.Event:
    """An event as the API tells of it."""
    return worker_service_pb2.Event(
        type=EVENT_TYPES[event.type], time=_timestamp(event.time_ns), job_id=event.job_id, job=job, cursor=event.cursor
    )


def output_messages(batch: Iterable[Chunk]) -> Iterator[worker_service_pb2.GetOutputResponse]:
    """A batch of output, in as few messages as can be sent."""
    for chunks in output_chunks(batch):
        yield worker_service_pb2.GetOutputResponse(chunks=chunks)


def output_chunks(batch: Iterable[Chunk]) -> Iterator[list[output_pb2.OutputChunk]]:
    """A batch of output, each part of it small enough for a message."""
    chunks: list[output_pb2.OutputChunk] = []
    weight = 0
    for chunk in batch:
        weight += len(chunk.data) + _WEIGHT_OF_CHUNK
        if chunks and weight > _LARGEST_OUTPUT_MESSAGE:
            yield chunks
            chunks, weight = [], len(chunk.data) + _WEIGHT_OF_CHUNK
        chunks.append(_chunk_message(chunk))
    if chunks:
        yield chunks


def seconds(field: str, duration: Duration) -> float:
    """The seconds of a duration in a request.

    Raises:
        InvalidRequestError: it is negative, or not a well-formed duration.
    """
    if duration.seconds < 0 or not 0 <= duration.nanos < 1_000_000_000:
        raise InvalidRequestError(field, "give a duration of 0 or more")
    return duration.seconds + duration.nanos / 1e9


def terminal(message: worker_service_pb2.TerminalSize) -> TerminalSize:
    """The size of a terminal in a request."""
    return TerminalSize(message.rows, message.columns)


def moment(field: str, timestamp: Timestamp) -> datetime:
    """The moment of a timestamp in a request.

    Raises:
        InvalidRequestError: it is not a well-formed timestamp, of the years 1 to 9999.
    """
    try:
        return timestamp.ToDatetime(tzinfo=UTC)
    except ValueError:
        raise InvalidRequestError(field, "give a moment of the years 1 to 9999") from None


def output_limit(message: job_pb2.OutputLimit) -> OutputLimit:
    """The output limit of a request.

    Raises:
        InvalidRequestError: its action is not known.
    """
    if message.action not in _ASKED_ACTIONS:
        raise InvalidRequestError("output_limit.action", f"there is no action {message.action}")
    return OutputLimit(message.bytes, _ASKED_ACTIONS[message.action])


def limits(message: job_pb2.Limits) -> Limits:
    """The limits of a request."""
    return Limits(
        memory_bytes=message.memory_bytes if message.HasField("memory_bytes") else None,
        cpus=message.cpus if message.HasField("cpus") else None,
        pids=message.pids if message.HasField("pids") else None,
    )


def restart(message: job_pb2.RestartPolicy) -> RestartPolicy:
    """The restart policy of a request."""
    default = RestartPolicy(max_restarts=message.max_restarts)
    return RestartPolicy(
        max_restarts=message.max_restarts,
        backoff=seconds("restart.backoff", message.backoff) if message.HasField("backoff") else default.backoff,
        max_backoff=(
            seconds("restart.max_backoff", message.max_backoff)
            if message.HasField("max_backoff")
            else default.max_backoff
        ),
    )


def _restart_message(restart: RestartPolicy | None) -> job_pb2.RestartPolicy | None:
    if restart is None:
        return None
    return job_pb2.RestartPolicy(
        max_restarts=restart.max_restarts,
        backoff=_duration(restart.backoff),
        max_backoff=_duration(restart.max_backoff),
    )


def _attempt_message(attempt: Attempt) -> job_pb2.Attempt:
    return job_pb2.Attempt(
        number=attempt.number,
        started_at=_timestamp(attempt.started_ns),
        ended_at=None if attempt.ended_ns is None else _timestamp(attempt.ended_ns),
        exit_code=attempt.exit_code,
        signal=attempt.signal,
        output_offset=attempt.output_offset,
        error=_text(attempt.error or ""),
    )


def _limits_message(limits: Limits) -> job_pb2.Limits | None:
    if limits == Limits():
        return None
    return job_pb2.Limits(memory_bytes=limits.memory_bytes, cpus=limits.cpus, pids=limits.pids)


def _output_limit_message(limit: OutputLimit | None) -> job_pb2.OutputLimit | None:
    if limit is None:
        return None
    return job_pb2.OutputLimit(bytes=limit.bytes, action=_LIMIT_ACTIONS[limit.action])


def _chunk_message(chunk: Chunk) -> output_pb2.OutputChunk:
    message = output_pb2.OutputChunk(
        data=chunk.data, stream=STREAMS[chunk.stream], offset=chunk.offset, time=_timestamp(chunk.time_ns)
    )
    if chunk.gap:
        message.gap.begin, message.gap.end = chunk.gap.begin, chunk.gap.end
    return message


def _timestamp(ns: int) -> Timestamp:
    seconds, nanos = divmod(ns, 1_000_000_000)
    return Timestamp(seconds=seconds, nanos=nanos)


def _moment(time: datetime | None) -> Timestamp | None:
    if time is None:
        return None
    moment = Timestamp()
    moment.FromDatetime(time)
    return moment


def _duration(value: float) -> Duration:
    fraction, whole = math.modf(value)
    return Duration(seconds=int(whole), nanos=int(fraction * 1e9))


def _text(text: str) -> str:
    return text if text.isascii() else text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
