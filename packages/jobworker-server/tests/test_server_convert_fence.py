"""Limits, isolation and usage between the engine's objects and the messages of the API."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from jobworker.v1 import job_pb2
from jobworker_lib import IoLimit, Isolation, JobStatus, Limits, Reason, State, Usage
from jobworker_server import convert
from jobworker_server.errors import InvalidRequestError

MOMENT = datetime(2026, 5, 4, 3, 2, 1, 123456, tzinfo=UTC)
EACH_LIMIT: dict[str, Any] = {
    "memory_bytes": 1 << 40,
    "cpus": 0.5,
    "pids": 7,
    "memory_high_bytes": 1 << 39,
    "swap_bytes": 0,
    "cpu_weight": 200,
    "io": (
        IoLimit(device="/dev/sda", read_bytes_per_second=1, write_bytes_per_second=2),
        IoLimit(read_operations_per_second=3, write_operations_per_second=4),
    ),
    "open_files": 64,
    "file_size_bytes": 0,
    "core_size_bytes": 0,
    "nice": -20,
}
EACH_PART: dict[str, Any] = {
    "pid": True,
    "ipc": True,
    "uts": True,
    "network": "isolated",
    "read_only": True,
    "writable": ("/a", "/b"),
    "private_tmp": True,
    "private_devices": True,
    "hidden": ("/c",),
    "no_new_privileges": True,
    "drop_capabilities": True,
    "kept_capabilities": ("CAP_CHOWN",),
    "seccomp": True,
    "landlock": True,
}


def status(**given: Any) -> JobStatus:
    return JobStatus(id="id", argv=("true",), cwd="/", owner="ann", state=State.RUNNING, created_ns=0, **given)


def later(message: Any) -> Any:
    """The same with a field that only a later version knows."""
    return type(message).FromString(message.SerializeToString() + b"\xf8\x7f\x01")


def test_samples_hold_all_that_the_engine_knows() -> None:
    assert EACH_LIMIT.keys() == {field.name for field in fields(Limits)}
    assert EACH_PART.keys() == {field.name for field in fields(Isolation)}


@pytest.mark.parametrize("name", EACH_LIMIT)
def test_a_limit_comes_through_both_ways(name: str) -> None:
    limits = Limits(**{name: EACH_LIMIT[name]})
    message = convert.job_message(status(limits=limits)).limits
    assert [field.name for field, _ in message.ListFields()] == [name]
    assert convert.limits(message) == limits


def test_all_limits_come_through_both_ways() -> None:
    limits = Limits(**EACH_LIMIT)
    assert convert.limits(convert.job_message(status(limits=limits)).limits) == limits


def test_limits_are_taken_over_where_they_are_set() -> None:
    assert convert.limits(job_pb2.Limits(memory_bytes=0, cpus=0.5)) == Limits(memory_bytes=0, cpus=0.5)
    assert convert.limits(job_pb2.Limits()) == Limits()


@pytest.mark.parametrize("name", EACH_PART)
def test_a_part_of_the_isolation_comes_through_both_ways(name: str) -> None:
    isolation = Isolation(**{name: EACH_PART[name]})
    assert convert.isolation(convert.job_message(status(isolation=isolation)).isolation) == isolation


@pytest.mark.parametrize("network", ["host", "isolated", "none"])
def test_networks(network: Any) -> None:
    isolation = Isolation(network=network)
    assert convert.isolation(convert.job_message(status(isolation=isolation)).isolation) == isolation
    assert convert.isolation(job_pb2.Isolation()).network == "host"


def test_landlock_may_be_left_to_the_host() -> None:
    assert convert.isolation(job_pb2.Isolation(landlock_where_available=True)).landlock is None
    assert convert.isolation(job_pb2.Isolation(landlock_where_available=True, landlock=True)).landlock is True
    assert convert.job_message(status(isolation=Isolation(landlock=None))).isolation.landlock_where_available


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ("limits.io[1].device", job_pb2.Limits(io=[job_pb2.IoLimit(device="/"), job_pb2.IoLimit(device="sda")])),
        ("limits", later(job_pb2.Limits(pids=1))),
        ("limits.io[0]", job_pb2.Limits(io=[later(job_pb2.IoLimit(device="/"))])),
        ("isolation", later(job_pb2.Isolation(pid=True))),
        ("isolation.network", job_pb2.Isolation.FromString(b"\x20\x09")),
    ],
    ids=["relative device", "later limit", "later io limit", "later isolation", "later network"],
)
def test_what_can_not_be_done_is_refused_rather_than_ignored(
    field: str, message: job_pb2.Limits | job_pb2.Isolation
) -> None:
    read: Any = convert.limits if isinstance(message, job_pb2.Limits) else convert.isolation
    with pytest.raises(InvalidRequestError) as caught:
        read(message)
    assert caught.value.field == field


def test_a_job_tells_its_user_and_what_was_killed() -> None:
    job = convert.job_message(
        status(user="ann", groups=("video", "7"), reason=Reason.OUT_OF_MEMORY, out_of_memory_process="caf\udce9 (7)")
    )
    assert (job.user, list(job.groups), job.out_of_memory_process) == ("ann", ["video", "7"], "caf\ufffd (7)")
    assert job.reason == job_pb2.EXIT_REASON_OUT_OF_MEMORY


@pytest.mark.parametrize("may", [True, False])
def test_a_job_tells_whether_it_gains_privileges(may: bool) -> None:
    assert convert.job_message(status(new_privileges=may)).no_new_privileges is not may


def test_usage() -> None:
    numbers: dict[str, Any] = {field.name: index for index, field in enumerate(fields(Usage), start=2)}
    times = {"cpu_user": 1.25, "cpu_system": 0.0, "cpu_throttled": 3.5}
    message: Any = convert.job_message(status(usage=Usage(**{**numbers, **times}))).usage
    assert message.cpu_user == Duration(seconds=1, nanos=250_000_000)
    assert message.cpu_throttled == Duration(seconds=3, nanos=500_000_000)
    assert message.HasField("cpu_system")
    for name, value in numbers.items():
        assert message.HasField(name), name
        assert name in times or getattr(message, name) == value
    nothing = convert.job_message(status(usage=Usage()))
    assert nothing.HasField("usage")
    assert nothing.usage == job_pb2.Usage()


def test_stats_are_of_now_or_of_the_end() -> None:
    before = datetime.now(UTC)
    running = convert.stats_message(status(usage=Usage(pids=3)))
    assert before <= running.time.ToDatetime(tzinfo=UTC) <= datetime.now(UTC)
    assert running.usage.pids == 3
    ended = convert.stats_message(status(ended_at=MOMENT))
    assert (ended.time.ToDatetime(tzinfo=UTC), ended.HasField("usage")) == (MOMENT, False)
