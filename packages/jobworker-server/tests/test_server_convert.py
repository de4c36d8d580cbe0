"""Between the engine's objects and the messages of the API."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from jobworker.v1 import job_pb2, output_pb2
from jobworker_lib import Chunk, Gap, JobStatus, OutputLimit, Reason, State
from jobworker_server import convert
from jobworker_server.errors import InvalidRequestError

MOMENT = datetime(2026, 5, 4, 3, 2, 1, 123456, tzinfo=UTC)
MOMENT_NS = 1_777_863_721_123_456_000


def chunk(size: int, offset: int = 0) -> Chunk:
    return Chunk(data=b"x" * size, stream="stdout", offset=offset, time_ns=MOMENT_NS)


def test_a_job_that_has_ended_is_told_whole() -> None:
    status = JobStatus(
        id="id",
        argv=("sh", "-c", "exit 3"),
        cwd="/",
        owner="ann",
        labels={"team": "a"},
        timeout=1.25,
        state=State.EXITED,
        created_ns=MOMENT_NS,
        started_at=MOMENT,
        ended_at=MOMENT,
        exit_code=0,
        reason=Reason.EXITED,
        output_bytes=1 << 40,
        output_dropped_bytes=1 << 39,
        output_limit=OutputLimit(1 << 39, "drop_oldest"),
    )
    job = convert.job_message(status)
    assert (job.id, list(job.argv), job.cwd, job.owner) == ("id", ["sh", "-c", "exit 3"], "/", "ann")
    assert dict(job.labels) == {"team": "a"}
    assert job.timeout == Duration(seconds=1, nanos=250_000_000)
    assert job.state == job_pb2.JOB_STATE_EXITED
    assert {job.created_at.ToNanoseconds(), job.started_at.ToNanoseconds(), job.ended_at.ToNanoseconds()} == {MOMENT_NS}
    assert job.HasField("exit_code")
    assert job.exit_code == 0
    assert not job.HasField("signal")
    assert job.reason == job_pb2.EXIT_REASON_EXITED
    assert (job.output_bytes, job.output_dropped_bytes, job.output_limit.bytes) == (1 << 40, 1 << 39, 1 << 39)
    assert job.output_limit.action == job_pb2.OUTPUT_LIMIT_ACTION_DROP_OLDEST


def test_what_a_running_job_does_not_have_is_not_set() -> None:
    job = convert.job_message(
        JobStatus(id="id", argv=("true",), cwd="/", owner="ann", state=State.STARTING, created_ns=MOMENT_NS)
    )
    for name in (
        "started_at", "ended_at", "exit_code", "signal", "timeout", "limits", "usage", "output_limit", "isolation",
    ):  # fmt: skip
        assert not job.HasField(name), name
    assert job.reason == job_pb2.EXIT_REASON_UNSPECIFIED


def test_bytes_that_are_not_utf8_do_not_break_a_message() -> None:
    status = JobStatus(
        id="id", argv=("caf\udce9", "ä"), cwd="/\udcff", owner="ann", state=State.RUNNING, created_ns=MOMENT_NS
    )
    job = job_pb2.Job.FromString(convert.job_message(status).SerializeToString())
    assert list(job.argv) == ["caf\ufffd", "ä"]
    assert job.cwd == "/\ufffd"


def test_each_state_reason_and_stream_of_the_engine_has_one_of_the_api() -> None:
    assert convert.STATES.keys() == set(State)
    assert convert.REASONS.keys() == set(Reason)
    assert set(convert.STATES.values()) == set(job_pb2.JobState.values()) - {0}
    assert set(convert.REASONS.values()) == set(job_pb2.ExitReason.values()) - {0}
    assert set(convert.STREAMS.values()) == set(output_pb2.OutputStream.values()) - {0}


def test_a_batch_is_one_message_where_it_can_be() -> None:
    (message,) = convert.output_messages([chunk(3), Chunk(data=b"e", stream="stderr", offset=3, time_ns=MOMENT_NS)])
    first, second = message.chunks
    assert (first.data, first.stream, first.offset) == (b"xxx", output_pb2.OUTPUT_STREAM_STDOUT, 0)
    assert (second.data, second.stream, second.offset) == (b"e", output_pb2.OUTPUT_STREAM_STDERR, 3)
    assert first.time.ToNanoseconds() == MOMENT_NS


def test_a_gap_comes_with_its_chunk() -> None:
    after = Chunk(data=b"", stream="stdout", offset=9, time_ns=MOMENT_NS, gap=Gap(3, 9))
    (message,) = convert.output_messages([chunk(3), after])
    first, second = message.chunks
    assert not first.HasField("gap")
    assert (second.data, second.gap.begin, second.gap.end) == (b"", 3, 9)


def test_an_output_limit_stops_the_job_unless_it_says_otherwise() -> None:
    message = job_pb2.OutputLimit(bytes=70_000)
    assert convert.output_limit(message) == OutputLimit(70_000, "stop")
    message.action = job_pb2.OUTPUT_LIMIT_ACTION_DROP_OLDEST
    assert convert.output_limit(message) == OutputLimit(70_000, "drop_oldest")


def test_a_moment_is_aware_and_must_be_one() -> None:
    assert convert.moment("since", Timestamp(seconds=MOMENT_NS // 10**9, nanos=123_456_000)) == MOMENT
    with pytest.raises(InvalidRequestError):
        convert.moment("since", Timestamp(seconds=1 << 60))


def test_an_empty_batch_is_no_message() -> None:
    assert list(convert.output_messages([])) == []


@pytest.mark.parametrize(("size", "count"), [(1, 100_000), (1000, 5000), (1 << 20, 3)])
def test_messages_stay_small_enough_for_clients(size: int, count: int) -> None:
    batch = [chunk(size, number * size) for number in range(count)]
    messages = list(convert.output_messages(batch))
    assert max(message.ByteSize() for message in messages) < 3 << 20
    assert [chunk.offset for message in messages for chunk in message.chunks] == [chunk.offset for chunk in batch]


def test_a_duration_is_its_seconds() -> None:
    assert convert.seconds("timeout", Duration(seconds=2, nanos=500_000_000)) == 2.5


@pytest.mark.parametrize(("seconds", "nanos"), [(-1, 0), (0, -1), (0, 1_000_000_000), (1, -5), (-(1 << 63), 0)])
def test_a_duration_that_is_none_is_refused(seconds: int, nanos: int) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        convert.seconds("timeout", Duration(seconds=seconds, nanos=nanos))
    assert caught.value.field == "timeout"
