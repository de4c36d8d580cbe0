"""Jobs, and the options of their starts that are told with them."""

from __future__ import annotations

from typing import Literal

from jobworker.v1 import job_pb2, worker_service_pb2
from jobworker_lib import (
    Attempt,
    Event,
    EventType,
    JobStatus,
    OutputLimit,
    Reason,
    RestartPolicy,
    State,
    TerminalSize,
)
from jobworker_server.convert.fence import isolation_message, limits_message
from jobworker_server.convert.scalars import duration, seconds, text, timestamp, timestamp_of_ns
from jobworker_server.convert.usages import usage_message
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

# Clients take 4 MiB by gRPC's default, and a job can have 2 MiB of arguments.
LARGEST_LIST_OF_JOBS = 3 << 20


def job_message(status: JobStatus) -> job_pb2.Job:
    """A job as the API tells of it; bytes that are not UTF-8 become U+FFFD."""
    return job_pb2.Job(
        id=status.id,
        argv=map(text, status.argv),
        cwd=text(status.cwd),
        owner=text(status.owner),
        labels={text(key): text(value) for key, value in status.labels.items()},
        limits=limits_message(status.limits),
        timeout=duration(status.timeout),
        state=STATES[status.state],
        created_at=timestamp_of_ns(status.created_ns),
        started_at=timestamp(status.started_at),
        ended_at=timestamp(status.ended_at),
        exit_code=status.exit_code,
        signal=status.signal,
        reason=REASONS[status.reason] if status.reason else job_pb2.EXIT_REASON_UNSPECIFIED,
        error=text(status.error or ""),
        output_bytes=status.output_bytes,
        stdin=status.stdin,
        tty=status.tty,
        output_dropped_bytes=status.output_dropped_bytes,
        output_limit=_output_limit_message(status.output_limit),
        priority=status.priority,
        restart=_restart_message(status.restart),
        attempts=map(_attempt_message, status.attempts),
        usage=usage_message(status.usage),
        isolation=isolation_message(status.isolation),
        user=text(status.user or ""),
        groups=map(text, status.groups or ()),
        out_of_memory_process=text(status.out_of_memory_process or ""),
        no_new_privileges=not status.new_privileges,
    )


def event_message(event: Event, job: job_pb2.Job | None) -> worker_service_pb2.Event:
    """An event as the API tells of it."""
    return worker_service_pb2.Event(
        type=EVENT_TYPES[event.type],
        time=timestamp_of_ns(event.time_ns),
        job_id=event.job_id,
        job=job,
        cursor=event.cursor,
    )


def terminal(message: worker_service_pb2.TerminalSize) -> TerminalSize:
    """The size of a terminal in a request."""
    return TerminalSize(message.rows, message.columns)


def output_limit(message: job_pb2.OutputLimit) -> OutputLimit:
    """The output limit of a request.

    Raises:
        InvalidRequestError: its action is not known.
    """
    if message.action not in _ASKED_ACTIONS:
        raise InvalidRequestError("output_limit.action", f"there is no action {message.action}")
    return OutputLimit(message.bytes, _ASKED_ACTIONS[message.action])


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
        backoff=duration(restart.backoff),
        max_backoff=duration(restart.max_backoff),
    )


def _attempt_message(attempt: Attempt) -> job_pb2.Attempt:
    return job_pb2.Attempt(
        number=attempt.number,
        started_at=timestamp_of_ns(attempt.started_ns),
        ended_at=None if attempt.ended_ns is None else timestamp_of_ns(attempt.ended_ns),
        exit_code=attempt.exit_code,
        signal=attempt.signal,
        output_offset=attempt.output_offset,
        error=text(attempt.error or ""),
    )


def _output_limit_message(limit: OutputLimit | None) -> job_pb2.OutputLimit | None:
    if limit is None:
        return None
    return job_pb2.OutputLimit(bytes=limit.bytes, action=_LIMIT_ACTIONS[limit.action])
