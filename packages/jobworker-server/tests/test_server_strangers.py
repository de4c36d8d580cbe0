"""What belongs to another owner: neither read, changed, stopped nor known to be there, by any RPC and any trick of ids.

Every RPC of the service has to be in one of the tables here, so a new one can't be forgotten.
"""

from __future__ import annotations

import time
import unicodedata
import uuid
from collections.abc import Callable, Iterator
from statistics import median

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from jobworker.v1 import job_pb2
from jobworker.v1.worker_service_pb2 import (
    AttachRequest,
    AttachStart,
    DeleteRequest,
    GetOutputRequest,
    GetStatsRequest,
    ListJobsRequest,
    QueryStatusRequest,
    SignalRequest,
    StopRequest,
    UpdateRequest,
    WaitRequest,
    WatchRequest,
)
from jobworker_server import service
from jobworker_server.gate import Duplex, Stream
from server_testing import TIMEOUT, Client, Failure, failing

Connect = Callable[..., Client]

OF_A_JOB: dict[str, list[Callable[[str], Message]]] = {
    "Stop": [lambda job_id: StopRequest(job_id=job_id, force=True)],
    "Signal": [lambda job_id: SignalRequest(job_id=job_id, signal="SIGKILL")],
    "Delete": [lambda job_id: DeleteRequest(job_id=job_id)],
    "Update": [lambda job_id: UpdateRequest(job_id=job_id, timeout=Duration(nanos=1))],
    "QueryStatus": [lambda job_id: QueryStatusRequest(job_id=job_id)],
    "Wait": [
        lambda job_id: WaitRequest(job_ids=[job_id], any=True),
        lambda job_id: WaitRequest(job_ids=[job_id, job_id]),
    ],
    "GetOutput": [
        lambda job_id: GetOutputRequest(job_id=job_id),
        lambda job_id: GetOutputRequest(job_id=job_id, follow=True, tail_lines=3),
    ],
    "GetStats": [lambda job_id: GetStatsRequest(job_id=job_id, once=True)],
    "Attach": [
        lambda job_id: AttachRequest(start=AttachStart(job_id=job_id)),
        lambda job_id: AttachRequest(start=AttachStart(job_id=job_id, input=True)),
    ],
}
OF_MANY = ("ListJobs", "Watch")
OF_NONE = ("Start",)
CALLS = [(name, number) for name, requests in OF_A_JOB.items() for number in range(len(requests))]

ID_TRICKS: dict[str, Callable[[str], str]] = {
    "capitals": str.upper,
    "prefix": lambda job_id: job_id[:8],
    "all but the last": lambda job_id: job_id[:-1],
    "no dashes": lambda job_id: job_id.replace("-", ""),
    "braces": lambda job_id: f"{{{job_id}}}",
    "urn": lambda job_id: f"urn:uuid:{job_id}",
    "space before": lambda job_id: f" {job_id}",
    "line feed behind": lambda job_id: f"{job_id}\n",
    "NUL behind": lambda job_id: f"{job_id}\0",
    "NUL and more": lambda job_id: f"{job_id}\0.json",
    "slash behind": lambda job_id: f"{job_id}/",
    "here": lambda job_id: f"./{job_id}",
    "up and down": lambda job_id: f"../jobs/{job_id}",
    "through another": lambda job_id: f"{job_id}/../{job_id}",
    "absolute": lambda job_id: f"/{job_id}",
    "escaped": lambda job_id: job_id.replace("-", "%2d"),
    "any": lambda _: "%",
    "star": lambda _: "*",
    "wide digits": lambda job_id: "".join(chr(ord(c) + 0xFEE0) if c.isdigit() else c for c in job_id),
    "arabic digits": lambda job_id: "".join(chr(ord(c) + 0x630) if c.isdigit() else c for c in job_id),
    "another dash": lambda job_id: job_id.replace("-", "\N{NON-BREAKING HYPHEN}"),
    "invisible": lambda job_id: f"{job_id}\N{ZERO WIDTH SPACE}",
    "from right to left": lambda job_id: f"\N{RIGHT-TO-LEFT OVERRIDE}{job_id}",
    "over-long": lambda job_id: job_id * 10_000,
    "the state directory": lambda _: "..",
    "quoted": lambda job_id: f"{job_id}' OR '1'='1",
}


def test_every_rpc_is_tried() -> None:
    assert {*OF_A_JOB, *OF_MANY, *OF_NONE} == set(service.RPCS)


def send(client: Client, name: str, request: Message) -> None:
    """Make a call and take all of its answer."""
    method = getattr(client.stub, name)
    if isinstance(service.RPCS[name], Duplex):
        list(method(iter([request]), timeout=TIMEOUT))
    elif isinstance(service.RPCS[name], Stream):
        list(method(request, timeout=TIMEOUT))
    else:
        method(request, timeout=TIMEOUT)


def refusal(client: Client, name: str, request: Message) -> Failure:
    with failing() as failure:
        send(client, name, request)
    return failure


def untouched(owner: Client, job_id: str) -> bool:
    job = owner.stub.QueryStatus(QueryStatusRequest(job_id=job_id), timeout=TIMEOUT).job
    return job.state == job_pb2.JOB_STATE_RUNNING and not job.HasField("timeout")


@pytest.fixture(scope="module")
def victim(connect: Connect) -> Client:
    return connect("ann", "user")


@pytest.fixture(scope="module")
def secret(victim: Client) -> str:
    """A job with a secret in its arguments, its environment and its output."""
    job = victim.start("sh", "-c", "echo s3cret; exec sleep 1000", "s3cret", env={"KEY": "s3cret"}, stdin=True)
    next(victim.chunks(job.id))
    return job.id


@pytest.fixture(scope="module")
def mallory(connect: Connect) -> Client:
    return connect("mallory", "user")


@pytest.mark.parametrize(("name", "number"), CALLS)
def test_a_job_of_another_is_answered_as_one_that_is_not_there(
    mallory: Client, victim: Client, secret: str, name: str, number: int
) -> None:
    request, unknown = OF_A_JOB[name][number], str(uuid.uuid4())
    of_another, of_none = refusal(mallory, name, request(secret)), refusal(mallory, name, request(unknown))
    assert of_another.code is grpc.StatusCode.NOT_FOUND
    assert str(of_another).replace(secret, "ID") == str(of_none).replace(unknown, "ID")
    assert "s3cret" not in str(of_another)
    assert untouched(victim, secret)


@pytest.mark.parametrize("trick", ID_TRICKS)
@pytest.mark.parametrize(("name", "number"), CALLS)
def test_no_other_spelling_of_an_id_is_taken(
    mallory: Client, victim: Client, full: Client, secret: str, name: str, number: int, trick: str
) -> None:
    """Not even of who may do it, for what is checked and what is done have to be the same."""
    request = OF_A_JOB[name][number](ID_TRICKS[trick](secret))
    for client in (mallory, victim, full):
        failure = refusal(client, name, request)
        assert failure.code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND)
        assert len(failure.message) <= 1100
    assert untouched(victim, secret)


@pytest.mark.parametrize(
    "name",
    ["ANN", "Ann", "ann.", "a\N{COMBINING RING ABOVE}nn", "\N{CYRILLIC SMALL LETTER A}nn", "\uff41nn", "ann/", "%"],
)
def test_a_name_that_looks_like_anothers_is_another(connect: Connect, victim: Client, secret: str, name: str) -> None:
    client = connect(name, "user")
    for rpc, requests in OF_A_JOB.items():
        for request in requests:
            assert refusal(client, rpc, request(secret)).code is grpc.StatusCode.NOT_FOUND
    listed = client.stub.ListJobs(ListJobsRequest(owner="ann", all_owners=True), timeout=TIMEOUT).jobs
    assert not listed
    assert untouched(victim, secret)


def test_names_that_only_differ_in_normalisation_are_two_owners(connect: Connect) -> None:
    composed = "ren\N{LATIN SMALL LETTER E WITH ACUTE}"
    one, other = connect(composed, "user"), connect(unicodedata.normalize("NFD", composed), "user")
    job = one.start("sleep", "1000")
    assert refusal(other, "QueryStatus", QueryStatusRequest(job_id=job.id)).code is grpc.StatusCode.NOT_FOUND
    assert not other.stub.ListJobs(ListJobsRequest(), timeout=TIMEOUT).jobs


LISTS = [
    ListJobsRequest(),
    ListJobsRequest(all_owners=True),
    ListJobsRequest(owner="ann"),
    ListJobsRequest(owner="ann", all_owners=True),
    ListJobsRequest(states=[job_pb2.JOB_STATE_RUNNING, job_pb2.JOB_STATE_EXITED], all_owners=True),
]


@pytest.mark.parametrize("request_", LISTS, ids=str)
def test_lists_hold_nothing_of_others(
    mallory: Client, full: Client, victim: Client, secret: str, request_: ListJobsRequest
) -> None:
    victim.start("true")
    everyones = full.stub.ListJobs(ListJobsRequest(all_owners=True, page_size=1), timeout=TIMEOUT)
    for token in ("", everyones.next_page_token):
        for prefix in ("", secret[:6], secret):
            asked = ListJobsRequest()
            asked.CopyFrom(request_)
            asked.page_token, asked.id_prefix = token, prefix
            answer = mallory.stub.ListJobs(asked, timeout=TIMEOUT)
            assert {job.owner for job in answer.jobs} <= {"mallory"}
            assert b"s3cret" not in answer.SerializeToString()


def events(client: Client, request: WatchRequest, seconds: float) -> Iterator[Message]:
    try:
        for response in client.stub.Watch(request, timeout=seconds):
            yield from response.events
    except grpc.RpcError as error:
        assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED  # noqa: PT017  # its message is of no interest


def test_events_are_of_ones_own_jobs_alone(mallory: Client, full: Client, victim: Client, secret: str) -> None:
    begin = next(full.stub.Watch(WatchRequest(), timeout=TIMEOUT)).cursor
    victim.wait(victim.start("true", "s3cret").id)
    own = mallory.start("true")
    for asked in (
        WatchRequest(cursor=begin),
        WatchRequest(cursor=begin, all_owners=True),
        WatchRequest(cursor=begin, owner="ann"),
        WatchRequest(cursor=begin, job_ids=[secret, own.id]),
        WatchRequest(cursor=begin, owner="ann", job_ids=[secret]),
    ):
        found = list(events(mallory, asked, 1.0))
        assert {event.job_id for event in found} <= {own.id}  # type: ignore[attr-defined]  # they are Event
        assert all(b"s3cret" not in event.SerializeToString() for event in found)


def test_the_request_id_of_another_gives_a_job_of_ones_own(mallory: Client, victim: Client) -> None:
    first = victim.start("sleep", "1000", request_id="nightly")
    second = mallory.start("sleep", "1000", request_id="nightly")
    assert (first.owner, second.owner) == ("ann", "mallory")
    assert first.id != second.id


def test_a_list_of_ones_own_and_anothers_job_tells_nothing(mallory: Client, secret: str) -> None:
    own = mallory.start("true").id
    unknown = str(uuid.uuid4())
    answers = []
    for other in (secret, unknown):
        failure = refusal(mallory, "Wait", WaitRequest(job_ids=[own, other], any=True))
        answers.append(str(failure).replace(other, "ID"))
    assert answers[0] == answers[1]


def test_time_tells_little_of_whether_a_job_is_there(mallory: Client, secret: str) -> None:
    """A class of its own it would be if it took several times as long; the ids have 122 random bits in any case."""
    samples: dict[str, list[float]] = {"another's": [], "none": []}
    unknown = str(uuid.uuid4())
    for _ in range(50):
        for kind, job_id in (("another's", secret), ("none", unknown)):
            began = time.perf_counter()
            refusal(mallory, "QueryStatus", QueryStatusRequest(job_id=job_id))
            samples[kind].append(time.perf_counter() - began)
    assert median(samples["another's"]) < 4 * median(samples["none"]) + 0.01
