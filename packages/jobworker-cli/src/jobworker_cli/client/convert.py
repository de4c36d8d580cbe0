"""Between the API's messages and the values of ``models.py``."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from jobworker.v1 import job_pb2, output_pb2, worker_service_pb2
from jobworker_cli.client import convert_fence
from jobworker_cli.errors import InvalidRequestError, ServerError
from jobworker_cli.fence import Sample
from jobworker_cli.models import (
    Attempt,
    Chunk,
    Event,
    EventType,
    Gap,
    Job,
    JobState,
    OutputLimit,
    OutputLimitAction,
    Reason,
    RestartPolicy,
    Stream,
    TerminalSize,
)

_STATES = {job_pb2.JobState.Value(f"JOB_STATE_{state.name}"): state for state in JobState}
_REASONS = {job_pb2.ExitReason.Value(f"EXIT_REASON_{reason.name}"): reason for reason in Reason}
_LIMIT_ACTIONS = {
    job_pb2.OutputLimitAction.Value(f"OUTPUT_LIMIT_ACTION_{action.name}"): action for action in OutputLimitAction
}
_EVENT_TYPES = {worker_service_pb2.EventType.Value(f"EVENT_TYPE_{kind.name}"): kind for kind in EventType}
_STREAMS = {output_pb2.OutputStream.Value(f"OUTPUT_STREAM_{stream.name}"): stream for stream in Stream}

_MAX_DURATION_SECONDS = 315_576_000_000
"""What google.protobuf.Duration can hold: 10,000 years."""


def job(message: job_pb2.Job) -> Job:
    """Read a job.

    Raises:
        ServerError: it is in a state that this version does not know.
    """
    if message.state not in _STATES:
        raise ServerError(
            f"job {message.id} is in a state that this version of jobworker-cli does not know", "update jobworker-cli"
        )
    return Job(
        id=message.id,
        argv=tuple(message.argv),
        owner=message.owner,
        labels=dict(message.labels),
        limits=convert_fence.limits(message.limits),
        timeout=message.timeout.ToNanoseconds() / 1e9 if message.HasField("timeout") else None,
        state=_STATES[message.state],
        created_at=_time(message.created_at),
        started_at=_time(message.started_at) if message.HasField("started_at") else None,
        ended_at=_time(message.ended_at) if message.HasField("ended_at") else None,
        exit_code=message.exit_code if message.HasField("exit_code") else None,
        signal=message.signal if message.HasField("signal") else None,
        reason=_REASONS.get(message.reason),
        stdin=message.stdin,
        tty=message.tty,
        error=message.error,
        priority=message.priority,
        output_bytes=message.output_bytes,
        output_dropped_bytes=message.output_dropped_bytes,
        output_limit=_output_limit(message.output_limit) if message.HasField("output_limit") else None,
        attempts=tuple(map(_attempt, message.attempts)),
        usage=convert_fence.usage(message.usage) if message.HasField("usage") else None,
        isolation=convert_fence.isolation(message.isolation) if message.HasField("isolation") else None,
        user=message.user,
        groups=tuple(message.groups),
        out_of_memory_process=message.out_of_memory_process,
        no_new_privileges=message.no_new_privileges,
    )


def sample(message: worker_service_pb2.GetStatsResponse) -> Sample:
    """Read what a job had used at a moment."""
    return Sample(_time(message.time), convert_fence.usage(message.usage) if message.HasField("usage") else None)


def restart_value(policy: RestartPolicy) -> job_pb2.RestartPolicy:
    """The API's value of a restart policy.

    Raises:
        InvalidRequestError: it can't be sent.
    """
    if not 0 <= policy.max_restarts < 1 << 32:
        raise InvalidRequestError(f"restart: {policy.max_restarts} is not a number of restarts")
    return job_pb2.RestartPolicy(
        max_restarts=policy.max_restarts,
        backoff=duration("restart.backoff", policy.backoff),
        max_backoff=duration("restart.max_backoff", policy.max_backoff),
    )


def output_limit_value(limit: OutputLimit) -> job_pb2.OutputLimit:
    """The API's value of an output limit.

    Raises:
        InvalidRequestError: it can't be sent.
    """
    action = job_pb2.OutputLimitAction.Value(f"OUTPUT_LIMIT_ACTION_{limit.action.name}")
    return job_pb2.OutputLimit(bytes=unsigned("output_limit", limit.bytes), action=action)


def unsigned(field: str, number: int) -> int:
    """A number that an unsigned field of 64 bits can hold.

    Raises:
        InvalidRequestError: it can't hold this one.
    """
    if not 0 <= number < 1 << 64:
        raise InvalidRequestError(f"{field}: it must be from 0 to 2**64 - 1")
    return number


def moment(field: str, time: datetime) -> Timestamp:
    """The API's value of a moment.

    Raises:
        InvalidRequestError: it has no time zone.
    """
    if time.tzinfo is None:
        raise InvalidRequestError(f"{field}: the time has no time zone")
    value = Timestamp()
    value.FromDatetime(time)
    return value


def chunk(message: output_pb2.OutputChunk) -> Chunk:
    """Read a chunk of output."""
    gap = Gap(message.gap.begin, message.gap.end) if message.HasField("gap") else None
    return Chunk(message.data, _STREAMS[message.stream], message.offset, _time(message.time), gap)


def event(message: worker_service_pb2.Event) -> Event:
    """Read an event."""
    return Event(
        type=_EVENT_TYPES.get(message.type),
        time=_time(message.time),
        job_id=message.job_id,
        job=job(message.job) if message.HasField("job") else None,
        cursor=message.cursor,
    )


def state_value(state: JobState) -> job_pb2.JobState.ValueType:
    """The API's value of a state."""
    return job_pb2.JobState.Value(f"JOB_STATE_{state.name}")


def stream_value(stream: Stream | None) -> output_pb2.OutputStream.ValueType:
    """The API's value of a stream; None stands for both."""
    return output_pb2.OutputStream.Value(f"OUTPUT_STREAM_{stream.name if stream else 'UNSPECIFIED'}")


def int32(field: str, number: int) -> int:
    """A number that the API can carry.

    Raises:
        InvalidRequestError: it can't.
    """
    if not -(1 << 31) <= number < 1 << 31:
        raise InvalidRequestError(f"{field}: {number} is too large")
    return number


def terminal_value(size: TerminalSize) -> worker_service_pb2.TerminalSize:
    """The API's value of a terminal's size.

    Raises:
        InvalidRequestError: it can't be a size.
    """
    if not all(0 <= length < 1 << 32 for length in (size.rows, size.columns)):
        raise InvalidRequestError("terminal: a size has 1 to 65535 rows and columns")
    return worker_service_pb2.TerminalSize(rows=size.rows, columns=size.columns)


def attach_start(job_id: str, *, watch_only: bool, offset: int, tail: int | None) -> worker_service_pb2.AttachStart:
    """The first request of an attached client.

    Raises:
        InvalidRequestError: the offset or the number of lines is negative or too large.
    """
    if not all(0 <= number < 1 << 64 for number in (offset, tail or 0)):
        raise InvalidRequestError("offset and tail: they must be from 0 to 2**64 - 1")
    start = worker_service_pb2.AttachStart(job_id=job_id, input=not watch_only, half_closes=True)
    if tail is None:
        start.offset = offset
    else:
        start.tail_lines = tail
    return start


def duration(field: str, seconds: float) -> Duration:
    """The API's value of a time span.

    Raises:
        InvalidRequestError: ``seconds`` is negative, not a number, or more than 10,000 years.
    """
    if not 0 <= seconds <= _MAX_DURATION_SECONDS:
        raise InvalidRequestError(f"{field}: {seconds} is not a number of seconds")
    value = Duration()
    value.FromNanoseconds(round(seconds * 1e9))
    return value


def _attempt(message: job_pb2.Attempt) -> Attempt:
    return Attempt(
        number=message.number,
        started_at=_time(message.started_at),
        ended_at=_time(message.ended_at) if message.HasField("ended_at") else None,
        exit_code=message.exit_code if message.HasField("exit_code") else None,
        signal=message.signal if message.HasField("signal") else None,
        output_offset=message.output_offset,
        error=message.error,
    )


def _output_limit(message: job_pb2.OutputLimit) -> OutputLimit:
    return OutputLimit(message.bytes, _LIMIT_ACTIONS.get(message.action, OutputLimitAction.STOP))


def _time(value: Timestamp) -> datetime:
    return _EPOCH + timedelta(seconds=value.seconds, microseconds=value.nanos // 1000)


_EPOCH = datetime.fromtimestamp(0, UTC)
