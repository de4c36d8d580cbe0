"""What jobs use."""

from __future__ import annotations

import time

from jobworker.v1 import job_pb2, worker_service_pb2
from jobworker_lib import JobStatus, Usage
from jobworker_server.convert.scalars import duration, timestamp, timestamp_of_ns


def usage_message(usage: Usage | None) -> job_pb2.Usage | None:
    """What a job has used; None: nothing is known of that."""
    if usage is None:
        return None
    return job_pb2.Usage(
        cpu_user=duration(usage.cpu_user),
        cpu_system=duration(usage.cpu_system),
        cpu_throttled=duration(usage.cpu_throttled),
        memory_bytes=usage.memory_bytes,
        memory_peak_bytes=usage.memory_peak_bytes,
        io_read_bytes=usage.io_read_bytes,
        io_write_bytes=usage.io_write_bytes,
        pids=usage.pids,
        pids_peak=usage.pids_peak,
        cpu_pressure=usage.cpu_pressure,
        memory_pressure=usage.memory_pressure,
        io_pressure=usage.io_pressure,
    )


def stats_message(status: JobStatus) -> worker_service_pb2.GetStatsResponse:
    """What a job has used until now, or until it ended."""
    moment = timestamp(status.ended_at) or timestamp_of_ns(time.time_ns())
    return worker_service_pb2.GetStatsResponse(time=moment, usage=usage_message(status.usage))
