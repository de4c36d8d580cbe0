"""The engine's objects as messages of the API, and what requests say as the engine's objects."""

from __future__ import annotations

from jobworker_server.convert.chunks import STREAMS, output_chunks, output_messages
from jobworker_server.convert.fence import isolation, isolation_message, limits, limits_message
from jobworker_server.convert.jobs import (
    EVENT_TYPES,
    LARGEST_LIST_OF_JOBS,
    REASONS,
    STATES,
    event_message,
    job_message,
    output_limit,
    restart,
    terminal,
)
from jobworker_server.convert.scalars import moment, seconds
from jobworker_server.convert.usages import stats_message, usage_message

__all__ = [
    "EVENT_TYPES",
    "LARGEST_LIST_OF_JOBS",
    "REASONS",
    "STATES",
    "STREAMS",
    "event_message",
    "isolation",
    "isolation_message",
    "job_message",
    "limits",
    "limits_message",
    "moment",
    "output_chunks",
    "output_limit",
    "output_messages",
    "restart",
    "seconds",
    "stats_message",
    "terminal",
    "usage_message",
]
