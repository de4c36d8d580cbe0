"""The RPCs: what each does, who may do it, and what it refuses."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from jobworker.v1 import job_pb2, output_pb2
from jobworker.v1.worker_service_pb2 import (
    DeleteRequest,
    GetOutputRequest,
    GetStatsRequest,
    GetStatsResponse,
    ListJobsRequest,
    QueryStatusRequest,
    SignalRequest,
    StartRequest,
    StopRequest,
    UpdateRequest,
    WaitRequest,
)
from server_testing import TIMEOUT, Client, Failure, ServerProcess, failing, wait_until

Code = grpc.StatusCode
UNKNOWN_ACTION = job_pb2.OutputLimit.FromString(b"\x08\x80\x80\x04\x10\x09")
"""65536 bytes, and an action of a later version."""
Connect = Callable[..., Client]

CALLS: dict[str, Callable[[str], Message]] = {
    "Start": lambda _: StartRequest(argv=["true"]),
    "Stop": lambda job_id: StopRequest(job_id=job_id, force=True),
    "Signal": lambda job_id: SignalRequest(job_id=job_id, signal="SIGCONT"),
    "Delete": lambda job_id: DeleteRequest(job_id=job_id),
    "Update": lambda job_id: UpdateRequest(job_id=job_id, timeout=Duration(seconds=1000)),
    "QueryStatus": lambda job_id: QueryStatusRequest(job_id=job_id),
    "Wait": lambda job_id: WaitRequest(job_ids=[job_id], any=True),
    "GetOutput": lambda job_id: GetOutputRequest(job_id=job_id),
    "GetStats": lambda job_id: GetStatsRequest(job_id=job_id, once=True),
    "ListJobs": lambda _: ListJobsRequest(),
}
OF_A_JOB = [name for name in CALLS if name not in ("Start", "ListJobs")]


def call(client: Client, name: str, job_id: str = "") -> None:
    """Make a call and take all of its answer."""
    answer = getattr(client.stub, name)(CALLS[name](job_id), timeout=TIMEOUT)
    if name in ("GetOutput", "GetStats"):
        list(answer)


def refusal(client: Client, name: str, job_id: str = "") -> Failure:
    with failing() as failure:
        call(client, name, job_id)
    return failure


def sleeper(client: Client) -> str:
    return client.start("sleep", "1000").id


def ended(client: Client) -> str:
    return client.wait(client.start("true").id)[0].id


# Who may do what


@pytest.mark.parametrize("role", ["full", "admin", "user"])
def test_these_roles_may_do_everything_with_jobs_of_their_own(connect: Connect, role: str) -> None:
    client = connect(f"own-{role}", role)
    call(client, "Start")
    job_id = sleeper(client)
    for name in ("Signal", "Update", "QueryStatus", "GetStats", "GetOutput", "ListJobs", "Stop", "Wait", "Delete"):
        call(client, name, job_id)


@pytest.mark.parametrize("role", ["full", "admin"])
def test_these_roles_may_do_everything_with_jobs_of_others(connect: Connect, full: Client, role: str) -> None:
    job_id = sleeper(full)
    for name in ("Signal", "Update", "QueryStatus", "GetStats", "GetOutput", "Stop", "Wait", "Delete"):
        call(connect(f"other-{role}", role), name, job_id)


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        ("readonly", {"QueryStatus", "GetStats", "Wait", "GetOutput", "ListJobs"}),
        ("observer", {"QueryStatus", "GetStats", "Wait", "ListJobs"}),
        ("stranger", set()),
    ],
)
def test_these_roles_may_look_at_most(connect: Connect, full: Client, role: str, allowed: set[str]) -> None:
    client = connect(f"look-{role}", role)
    job_id = ended(full)
    for name in CALLS:
        if name in allowed:
            call(client, name, job_id)
        else:
            failure = refusal(client, name, job_id)
            assert failure.code is Code.PERMISSION_DENIED, name
            assert failure.reason == ("UNKNOWN_ROLE" if role == "stranger" else "NOT_ALLOWED")
    call(full, "QueryStatus", job_id)


@pytest.mark.parametrize("name", OF_A_JOB)
def test_a_role_is_refused_before_the_job_is_looked_up(connect: Connect, full: Client, name: str) -> None:
    client = connect("ghost", "stranger")
    answers = {str(refusal(client, name, job_id)) for job_id in (ended(full), str(uuid.uuid4()), "nonsense")}
    assert len(answers) == 1


@pytest.mark.parametrize("name", OF_A_JOB)
def test_a_job_of_another_owner_can_not_be_told_from_none(connect: Connect, full: Client, name: str) -> None:
    client = connect("user", "user")
    theirs, none = sleeper(full), str(uuid.uuid4())
    of_theirs, of_none = refusal(client, name, theirs), refusal(client, name, none)
    assert (of_theirs.code, of_theirs.reason) == (Code.NOT_FOUND, "JOB_NOT_FOUND")
    assert str(of_theirs).replace(theirs, "ID") == str(of_none).replace(none, "ID")
    assert full.stub.QueryStatus(QueryStatusRequest(job_id=theirs)).job.state == job_pb2.JOB_STATE_RUNNING


def test_the_name_makes_the_owner_whatever_the_role(connect: Connect) -> None:
    job_id = ended(connect("same", "full"))
    call(connect("same", "user"), "Delete", job_id)


def test_waiting_for_jobs_of_which_one_is_not_the_callers_is_refused(connect: Connect, full: Client) -> None:
    client = connect("user", "user")
    with failing() as failure:
        client.wait(ended(client), ended(full))
    assert failure.code is Code.NOT_FOUND


# Bad requests


@pytest.mark.parametrize("name", OF_A_JOB)
@pytest.mark.parametrize(
    "job_id",
    ["", ".", "x", "../../etc/passwd", "a" * 100_000, "\x1b[2J", str(uuid.uuid4()).upper()],
    ids=map(str, range(7)),
)
def test_a_bad_id_is_refused(full: Client, name: str, job_id: str) -> None:
    failure = refusal(full, name, job_id)
    assert (failure.code, failure.reason, failure.fields) == (Code.INVALID_ARGUMENT, "INVALID_ARGUMENT", ("job_id",))
    assert len(failure.message) < 1100


@pytest.mark.parametrize("name", OF_A_JOB)
def test_an_unknown_id_is_not_found(full: Client, name: str) -> None:
    job_id = str(uuid.uuid4())
    failure = refusal(full, name, job_id)
    assert (failure.code, failure.reason, failure.metadata) == (Code.NOT_FOUND, "JOB_NOT_FOUND", {"job_id": job_id})


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (StartRequest(), "argv"),
        (StartRequest(argv=[""]), "argv"),
        (StartRequest(argv=["a\0b"]), "argv"),
        (StartRequest(argv=["true"], cwd="relative"), "cwd"),
        (StartRequest(argv=["true"], env={"": "x"}), "env"),
        (StartRequest(argv=["true"], labels={"no spaces": "x"}), "labels"),
        (StartRequest(argv=["true"], timeout=Duration(seconds=-1)), "timeout"),
        (StartRequest(argv=["true"], timeout=Duration()), "timeout"),
        (StartRequest(argv=["true"], timeout=Duration(seconds=1 << 62)), "timeout"),
        (StartRequest(argv=["true"], request_id="x" * 129), "request_id"),
        (StartRequest(argv=["true"], limits=job_pb2.Limits(cpus=float("nan"))), "limits.cpus"),
        (StartRequest(argv=["true"], limits=job_pb2.Limits(pids=0)), "limits.pids"),
        (StartRequest(argv=["true"], limits=job_pb2.Limits(nice=20)), "limits.nice"),
        (StartRequest(argv=["true"], limits=job_pb2.Limits(cpu_weight=10_001)), "limits.cpu_weight"),
        (StartRequest(argv=["true"], limits=job_pb2.Limits(open_files=1 << 63)), "limits.open_files"),
        (StartRequest(argv=["true"], limits=job_pb2.Limits(io=[job_pb2.IoLimit()])), "limits.io[0]"),
        (
            StartRequest(argv=["true"], limits=job_pb2.Limits(io=[job_pb2.IoLimit(device="x")])),
            "limits.io[0].device",
        ),
        (StartRequest(argv=["true"], isolation=job_pb2.Isolation(writable=["x"])), "isolation.writable"),
        (
            StartRequest(argv=["true"], isolation=job_pb2.Isolation(kept_capabilities=["CAP_X"])),
            "isolation.kept_capabilities",
        ),
        (StartRequest(argv=["true"], user="no-such-user"), "user"),
        (StartRequest(argv=["true"], groups=["video"]), "groups"),
        (StartRequest(argv=["true"], output_limit=job_pb2.OutputLimit(bytes=65535)), "output_limit.bytes"),
        (StartRequest(argv=["true"], output_limit=job_pb2.OutputLimit(bytes=1 << 63)), "output_limit.bytes"),
        (StartRequest(argv=["true"], output_limit=UNKNOWN_ACTION), "output_limit.action"),
    ],
    ids=map(str, range(24)),
)
def test_a_start_that_can_not_be_is_refused_with_its_field(full: Client, request_: StartRequest, field: str) -> None:
    with failing() as failure:
        full.stub.Start(request_, timeout=TIMEOUT)
    assert (failure.code, failure.fields) == (Code.INVALID_ARGUMENT, (field,))


@pytest.mark.parametrize("duration", [(-1, 0), (0, -1), (0, 1_000_000_000)])
def test_a_grace_period_that_is_none_is_refused(full: Client, duration: tuple[int, int]) -> None:
    seconds, nanos = duration
    job_id = sleeper(full)
    with failing() as failure:
        full.stub.Stop(StopRequest(job_id=job_id, grace_period=Duration(seconds=seconds, nanos=nanos)))
    assert failure.fields == ("grace_period",)


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (ListJobsRequest(page_size=-1), "page_size"),
        (ListJobsRequest(page_token="nonsense"), "page_token"),
        (ListJobsRequest(id_prefix="../"), "id_prefix"),
        (ListJobsRequest(states=[99]), "states"),  # type: ignore[list-item]  # what a newer client might send
        (ListJobsRequest(states=[job_pb2.JOB_STATE_UNSPECIFIED]), "states"),
    ],
    ids=["page_size", "page_token", "id_prefix", "states-new", "states-unspecified"],
)
def test_a_list_that_can_not_be_is_refused_with_its_field(full: Client, request_: ListJobsRequest, field: str) -> None:
    with failing() as failure:
        full.stub.ListJobs(request_, timeout=TIMEOUT)
    assert (failure.code, failure.fields) == (Code.INVALID_ARGUMENT, (field,))


@pytest.mark.parametrize("count", [0, 1001])
def test_waiting_for_none_or_too_many_is_refused(full: Client, count: int) -> None:
    with failing() as failure:
        full.wait(*["x"] * count)
    assert (failure.code, failure.fields) == (Code.INVALID_ARGUMENT, ("job_ids",))


@pytest.mark.parametrize(
    ("part", "field"),
    [
        (GetOutputRequest(tail_lines=1, offset=1), "tail_lines"),
        (GetOutputRequest(tail_lines=0, since=Timestamp(seconds=1)), "tail_lines"),
        (GetOutputRequest(since=Timestamp(seconds=1 << 62)), "since"),
    ],
    ids=map(str, range(3)),
)
def test_a_part_of_the_output_that_can_not_be_is_refused(full: Client, part: GetOutputRequest, field: str) -> None:
    request = GetOutputRequest()
    request.CopyFrom(part)
    request.job_id = ended(full)
    with failing() as failure:
        list(full.stub.GetOutput(request, timeout=TIMEOUT))
    assert (failure.code, failure.fields) == (Code.INVALID_ARGUMENT, (field,))


def test_a_stream_is_accepted_before_there_is_anything_to_send(full: Client) -> None:
    call = full.stub.GetOutput(GetOutputRequest(job_id=sleeper(full), follow=True), timeout=TIMEOUT)
    assert ("jobworker-api", "v1") in [(key, value) for key, value in call.initial_metadata()]
    call.cancel()


def test_an_unknown_stream_is_refused(full: Client) -> None:
    with failing() as failure:
        full.output(ended(full), stream=9)
    assert (failure.code, failure.fields) == (Code.INVALID_ARGUMENT, ("stream",))


def test_an_unknown_signal_is_refused(full: Client) -> None:
    with failing() as failure:
        full.stub.Signal(SignalRequest(job_id=sleeper(full), signal="SIGNONE"))
    assert (failure.code, failure.fields) == (Code.INVALID_ARGUMENT, ("signal",))


# Start


def test_a_job_is_started_as_asked_for(full: Client, tmp_path: Path) -> None:
    job = full.start(
        "sh",
        "-c",
        'pwd; echo "$GREETING"',
        cwd=str(tmp_path),
        env={"GREETING": "hällo"},
        labels={"team": "a"},
        timeout=Duration(seconds=60),
    )
    assert list(job.argv)[:2] == ["sh", "-c"]
    assert (job.cwd, job.owner, dict(job.labels), job.timeout.seconds) == (str(tmp_path), "boss", {"team": "a"}, 60)
    assert full.output(job.id).decode() == f"{tmp_path}\nhällo\n"
    (after,) = full.wait(job.id)
    assert (after.state, after.exit_code, after.reason) == (job_pb2.JOB_STATE_EXITED, 0, job_pb2.EXIT_REASON_EXITED)
    assert after.HasField("started_at")
    assert after.HasField("ended_at")


def test_a_job_gets_nothing_of_the_servers_environment(full: Client) -> None:
    names = {line.partition("=")[0] for line in full.output(full.start("env").id).decode().splitlines()}
    assert not {name for name in names if name.startswith(("GRPC", "PYTEST", "PYTHON"))}


def test_a_job_without_a_directory_runs_in_the_home_directory(full: Client) -> None:
    job = full.start("pwd")
    assert job.cwd == str(Path("~").expanduser())
    assert full.output(job.id).decode() == f"{job.cwd}\n"


@pytest.mark.parametrize(
    ("argv", "cwd", "code", "reason"),
    [
        (["no-such-command"], "", Code.FAILED_PRECONDITION, "COMMAND_NOT_FOUND"),
        (["/etc/passwd"], "", Code.FAILED_PRECONDITION, "COMMAND_NOT_EXECUTABLE"),
        (["true"], "/no/such/directory", Code.FAILED_PRECONDITION, "BAD_WORKING_DIRECTORY"),
        (["true", "x" * (3 << 20)], "", Code.INVALID_ARGUMENT, "ARGUMENTS_TOO_LONG"),
    ],
    ids=["not found", "not executable", "bad directory", "too long"],
)
def test_a_command_that_can_not_be_executed_is_told_with_its_job(
    full: Client, argv: list[str], cwd: str, code: Code, reason: str
) -> None:
    with failing() as failure:
        full.start(*argv, cwd=cwd)
    assert (failure.code, failure.reason) == (code, reason)
    assert "xxx" not in failure.message
    assert failure.metadata is not None
    response = full.stub.QueryStatus(QueryStatusRequest(job_id=failure.metadata["job_id"]), timeout=TIMEOUT)
    assert response.job.state == job_pb2.JOB_STATE_FAILED
    assert response.job.reason == job_pb2.EXIT_REASON_FAILED_TO_START
    assert response.job.error


def test_a_limit_that_can_not_be_enforced_is_refused(full: Client) -> None:
    nothing_to_limit = job_pb2.IoLimit(device="/proc", read_bytes_per_second=1)
    with failing() as failure:
        full.start("true", limits=job_pb2.Limits(io=[nothing_to_limit]))
    assert (failure.code, failure.reason) == (Code.FAILED_PRECONDITION, "LIMIT_NOT_ENFORCEABLE")
    assert failure.metadata == {"limit": "io"}


def test_limits_reach_the_job_and_are_told(full: Client) -> None:
    job = full.start("sh", "-c", "ulimit -n; ulimit -c", limits=job_pb2.Limits(open_files=33, core_size_bytes=0))
    assert full.output(job.id) == b"33\n0\n"
    assert job.limits == full.wait(job.id)[0].limits == job_pb2.Limits(open_files=33, core_size_bytes=0)


def test_2_mib_of_arguments_come_through(full: Client) -> None:
    argument = "x" * (128 * 1024 - 1)
    job = full.start("sh", "-c", 'for a; do printf %s "${#a} "; done', "sh", *[argument] * 15)
    assert full.output(job.id).split() == [str(len(argument)).encode()] * 15


def test_a_start_that_is_sent_again_answers_with_the_same_job(connect: Connect, full: Client) -> None:
    request_id = str(uuid.uuid4())
    first = full.start("true", request_id=request_id)
    assert full.start("true", request_id=request_id).id == first.id
    assert connect("another", "user").start("true", request_id=request_id).id != first.id


def test_a_job_is_stopped_at_its_timeout(full: Client) -> None:
    (after,) = full.wait(full.start("sleep", "1000", timeout=Duration(nanos=100_000_000)).id)
    assert after.reason == job_pb2.EXIT_REASON_TIMED_OUT


# Stop, Signal, Delete


def test_a_stop_answers_when_the_job_has_ended(full: Client) -> None:
    job = full.stub.Stop(StopRequest(job_id=sleeper(full)), timeout=TIMEOUT).job
    assert (job.state, job.signal, job.reason) == (job_pb2.JOB_STATE_STOPPED, 15, job_pb2.EXIT_REASON_STOPPED)
    assert not job.HasField("exit_code")


def test_what_is_left_after_the_grace_period_is_killed(full: Client) -> None:
    job = full.start("sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done")
    next(full.chunks(job.id))
    job = full.stub.Stop(StopRequest(job_id=job.id, grace_period=Duration(nanos=1)), timeout=TIMEOUT).job
    assert (job.state, job.signal) == (job_pb2.JOB_STATE_STOPPED, 9)


def test_a_stop_goes_on_when_its_client_is_gone(server: ServerProcess, full: Client) -> None:
    job = full.start("sh", "-c", "trap 'echo heard' TERM; echo ready; exec 2>&-; while :; do sleep 0.1; done")
    chunks = full.chunks(job.id)
    assert next(chunks).data == b"ready\n"
    stop = full.stub.Stop.future(StopRequest(job_id=job.id, grace_period=Duration(seconds=1)), timeout=TIMEOUT)
    assert next(chunks).data == b"heard\n"
    stop.cancel()
    assert full.wait(job.id)[0].state == job_pb2.JOB_STATE_STOPPED
    wait_until(lambda: f"job {job.id} stopped by boss (full)" in server.log)


@pytest.mark.parametrize("name", ["Stop", "Signal"])
def test_a_job_that_has_ended_can_not_be_stopped_or_signalled(full: Client, name: str) -> None:
    failure = refusal(full, name, ended(full))
    assert (failure.code, failure.reason) == (Code.FAILED_PRECONDITION, "JOB_NOT_RUNNING")


def test_a_signal_arrives(full: Client) -> None:
    job = full.start("sh", "-c", "trap 'exit 5' HUP; echo ready; while :; do sleep 0.05; done")
    next(full.chunks(job.id))
    full.stub.Signal(SignalRequest(job_id=job.id, signal="SIGHUP"), timeout=TIMEOUT)
    assert full.wait(job.id)[0].exit_code == 5


def test_a_job_that_has_ended_is_removed(full: Client) -> None:
    job_id = ended(full)
    call(full, "Delete", job_id)
    assert refusal(full, "QueryStatus", job_id).code is Code.NOT_FOUND


def test_a_job_that_runs_is_not_removed(full: Client) -> None:
    failure = refusal(full, "Delete", sleeper(full))
    assert (failure.code, failure.reason) == (Code.FAILED_PRECONDITION, "JOB_RUNNING")


# GetOutput


def test_output_comes_with_its_stream_and_offset(full: Client, tmp_path: Path) -> None:
    script = 'next() { until [ -e "$1" ]; do sleep 0.01; done; }; printf one; next "$1"; printf two >&2; next "$2"; '
    job = full.start("sh", "-c", f"{script} printf three", "sh", *(f"{tmp_path}/{gate}" for gate in "12"))
    chunks = []
    for number, chunk in enumerate(full.chunks(job.id), 1):
        chunks.append((chunk.data, chunk.stream, chunk.offset))
        (tmp_path / str(number)).touch()
    assert chunks == [
        (b"one", output_pb2.OUTPUT_STREAM_STDOUT, 0),
        (b"two", output_pb2.OUTPUT_STREAM_STDERR, 3),
        (b"three", output_pb2.OUTPUT_STREAM_STDOUT, 6),
    ]
    assert full.output(job.id, offset=4) == b"wothree"
    assert full.output(job.id, stream=output_pb2.OUTPUT_STREAM_STDERR) == b"two"
    assert full.output(job.id, stream=output_pb2.OUTPUT_STREAM_STDOUT) == b"onethree"
    assert full.output(job.id, offset=11) == full.output(job.id, offset=1 << 62) == b""


def test_without_follow_the_output_ends_with_what_is_there(full: Client) -> None:
    job = full.start("sh", "-c", "echo here; exec sleep 1000")
    next(full.chunks(job.id))
    assert full.output(job.id, follow=False) == b"here\n"


def test_a_following_stream_ends_with_the_job(full: Client) -> None:
    job = full.start("sh", "-c", "echo here; exec sleep 1000")
    chunks = full.chunks(job.id)
    assert next(chunks).data == b"here\n"
    call(full, "Stop", job.id)
    assert list(chunks) == []


def test_output_of_any_bytes_is_unchanged(full: Client) -> None:
    job = full.start("sh", "-c", "head -c 20000000 /dev/urandom | tee /dev/stderr | sha256sum")
    data = full.output(job.id, stream=output_pb2.OUTPUT_STREAM_STDERR)
    digest = full.output(job.id, stream=output_pb2.OUTPUT_STREAM_STDOUT).split()[0].decode()
    assert len(data) == 20_000_000
    assert hashlib.sha256(data).hexdigest() == digest


# GetStats


def stats(client: Client, job_id: str, **fields: object) -> Iterator[GetStatsResponse]:
    return client.stub.GetStats(GetStatsRequest(job_id=job_id, **fields), timeout=TIMEOUT)  # type: ignore[arg-type]  # the fields differ in type


def test_stats_go_on_until_the_job_has_ended(full: Client) -> None:
    job_id = sleeper(full)
    seen = stats(full, job_id, interval=Duration(nanos=100_000_000))
    first, second = next(seen), next(seen)
    assert (second.time.ToNanoseconds() - first.time.ToNanoseconds()) / 1e9 >= 0.1
    call(full, "Stop", job_id)
    (ended,) = full.wait(job_id)
    last = list(seen)[-1]
    assert last.time == ended.ended_at
    assert last.usage == ended.usage


def test_an_end_is_told_before_the_interval_is_over(full: Client) -> None:
    job_id = sleeper(full)
    seen = stats(full, job_id, interval=Duration(seconds=86400))
    next(seen)
    call(full, "Stop", job_id)
    assert len(list(seen)) == 1


def test_stats_of_now_alone(full: Client) -> None:
    assert len(list(stats(full, sleeper(full), once=True))) == 1


def test_stats_of_a_job_that_has_ended_are_its_last(full: Client) -> None:
    job_id = ended(full)
    (last,) = stats(full, job_id)
    assert last.time == full.wait(job_id)[0].ended_at


@pytest.mark.parametrize("interval", [(0, 0), (0, 99_999_999), (86400, 1), (-1, 0)])
def test_an_interval_that_can_not_be_is_refused(full: Client, interval: tuple[int, int]) -> None:
    with failing() as failure:
        list(stats(full, ended(full), interval=Duration(seconds=interval[0], nanos=interval[1])))
    assert (failure.code, failure.fields) == (Code.INVALID_ARGUMENT, ("interval",))


# ListJobs


def ids(client: Client, **fields: object) -> list[str]:
    return [job.id for job in client.stub.ListJobs(ListJobsRequest(**fields), timeout=TIMEOUT).jobs]  # type: ignore[arg-type]  # the fields differ in type


def test_the_callers_own_jobs_are_listed_the_newest_first(connect: Connect, full: Client) -> None:
    client = connect("lister", "full")
    jobs = [ended(client) for _ in range(3)]
    ended(full)
    assert ids(client) == jobs[::-1]
    assert ids(full, owner="lister") == jobs[::-1]
    assert ids(full, owner="lister", all_owners=True) == jobs[::-1]


def test_all_owners_are_those_that_the_caller_may_see(connect: Connect, full: Client) -> None:
    user = connect("list-user", "user")
    own, other = ended(user), ended(full)
    assert ids(user, all_owners=True) == ids(user, owner="list-user") == [own]
    assert ids(user, owner="boss") == ids(user, id_prefix=other) == []
    assert ids(connect("looker", "observer")) == []
    for job_id in (own, other):
        assert ids(connect("looker", "observer"), all_owners=True, id_prefix=job_id) == [job_id]


def test_conditions_are_joined(connect: Connect) -> None:
    client = connect("conditions", "user")
    a, b = (client.start("true", labels={"team": team, "kind": "x"}).id for team in "ab")
    client.wait(a, b)
    c = client.start("sleep", "1000", labels={"team": "a"}).id
    assert ids(client, labels={"team": "a"}) == [c, a]
    assert ids(client, labels={"team": "a", "kind": "x"}) == [a]
    assert ids(client, states=[job_pb2.JOB_STATE_RUNNING]) == [c]
    assert ids(client, states=[job_pb2.JOB_STATE_RUNNING, job_pb2.JOB_STATE_EXITED]) == [c, b, a]
    assert ids(client, id_prefix=b[:13]) == [b]


def test_pages_hold_each_job_once(connect: Connect) -> None:
    client = connect("pages", "user")
    jobs = [ended(client) for _ in range(5)]
    found, token = [], ""
    while True:
        page = client.stub.ListJobs(ListJobsRequest(page_size=2, page_token=token), timeout=TIMEOUT)
        assert len(page.jobs) <= 2
        found += [job.id for job in page.jobs]
        token = page.next_page_token
        if not token:
            break
    assert found == jobs[::-1]


def with_many_arguments(client: Client) -> list[str]:
    """Three jobs of which no two fit in a message that clients take by default."""
    argument = "x" * (128 * 1024 - 1)
    return [client.start("true", *[argument] * 15).id for _ in range(3)]


def test_a_page_of_jobs_with_many_arguments_can_be_taken(connect: Connect) -> None:
    client = connect("big-pages", "user")
    jobs = with_many_arguments(client)
    found, token = [], ""
    while True:
        page = client.stub.ListJobs(ListJobsRequest(page_token=token), timeout=TIMEOUT)
        found += [job.id for job in page.jobs]
        token = page.next_page_token
        if not token:
            break
    assert found == jobs[::-1]


# Wait


def test_waiting_for_all_answers_in_the_order_of_the_request(full: Client) -> None:
    codes = [3, 1, 2]
    jobs = [full.start("sh", "-c", f"sleep 0.{code}; exit {code}").id for code in codes]
    answered = full.wait(*jobs, jobs[0])
    assert [job.exit_code for job in answered] == [*codes, 3]


def test_waiting_for_jobs_with_many_arguments_answers_with_the_first_of_them(connect: Connect) -> None:
    client = connect("big-answers", "user")
    jobs = with_many_arguments(client)
    found: list[str] = []
    while len(found) < len(jobs):
        found += (answered := [job.id for job in client.wait(*jobs[len(found) :])])
        assert answered
    assert found == jobs


def test_waiting_for_any_answers_with_those_that_have_ended(full: Client) -> None:
    running, done, also_done = sleeper(full), ended(full), ended(full)
    response = full.stub.Wait(WaitRequest(job_ids=[done, running, also_done], any=True), timeout=TIMEOUT)
    assert [job.id for job in response.jobs] == [done, also_done]


def test_waiting_for_any_waits(full: Client) -> None:
    running, other = sleeper(full), sleeper(full)
    answer = full.stub.Wait.future(WaitRequest(job_ids=[other, running], any=True), timeout=TIMEOUT)
    call(full, "QueryStatus", running)
    assert not answer.done()
    call(full, "Stop", running)
    assert [job.id for job in answer.result(TIMEOUT).jobs] == [running]


# The log


def test_changes_and_refusals_are_logged_without_arguments(server: ServerProcess, connect: Connect) -> None:
    client = connect("logged", "full")
    job_id = client.start("sh", "-c", "sleep 1000 # secret-argument", env={"TOKEN": "secret-value"}).id
    for name in ("Signal", "Update", "Stop", "Delete"):
        call(client, name, job_id)
    refusal(connect("nosy", "readonly"), "Stop", job_id)
    lines = (
        f"job {job_id} started by logged (full)",
        f"job {job_id} signalled by logged (full)",
        f"job {job_id} updated by logged (full)",
        f"job {job_id} stopped by logged (full)",
        f"job {job_id} deleted by logged (full)",
        "the role 'readonly' does not allow to stop jobs",
    )
    wait_until(lambda: all(line in server.log for line in lines))
    assert "secret" not in server.log
