"""A policy file in a running server: what it allows, and what becomes of open calls when it is changed."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from jobworker.v1 import job_pb2
from jobworker.v1.worker_service_pb2 import (
    AttachRequest,
    AttachStart,
    GetOutputRequest,
    ListJobsRequest,
    QueryStatusRequest,
    StartRequest,
    StopRequest,
    UpdateRequest,
    WaitRequest,
    WatchRequest,
)
from server_testing import TIMEOUT, Authority, Client, ServerProcess, failing, wait_until

EVERYTHING = """
roles:
  clerk: {like: full}
"""
OWN = """
roles:
  clerk: {like: user}
"""
NO_OUTPUT = """
roles:
  clerk: {like: full, output: none, input: none, wait: none, list: none}
"""
NO_INPUT = """
roles:
  clerk: {like: full, input: none}
"""


class Policies:
    """The policy file of a running server."""

    def __init__(self, path: Path, server: ServerProcess) -> None:
        self._path = path
        self._server = server

    def change(self, text: str) -> None:
        """Let another policy hold, and return when it does."""
        before = self._server.log.count("the policy was ")
        self._path.write_text(text)
        self._server.send(signal.SIGHUP)
        wait_until(lambda: self._server.log.count("the policy was ") > before)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_text(EVERYTHING)
    return path


@pytest.fixture
def server(server_certs: Path, tmp_path: Path, path: Path, authority: Authority) -> Iterator[ServerProcess]:
    with ServerProcess(server_certs, tmp_path / "state", "localhost:0", "--policy", str(path)) as process:
        yield process
        cleaner = Client(process.address, authority.client("cleaner", "full"), authority)
        cleaner.stop_all()
        cleaner.close()


@pytest.fixture
def policies(path: Path, server: ServerProcess) -> Policies:
    return Policies(path, server)


@pytest.fixture
def connect(authority: Authority, server: ServerProcess) -> Iterator[Callable[[str, str], Client]]:
    """Makes clients: ``connect(name, role)``."""
    clients: list[Client] = []

    def make(name: str, role: str) -> Client:
        clients.append(Client(server.address, authority.client(name, role), authority))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


def streams(client: Client, job_id: str) -> dict[str, Any]:
    """One of each kind that goes on until the job has ended, or for ever; each was accepted."""
    attach = AttachRequest(start=AttachStart(job_id=job_id, input=True))
    found: dict[str, Any] = {
        "GetOutput": client.stub.GetOutput(GetOutputRequest(job_id=job_id, follow=True)),
        "Attach": client.stub.Attach(iter([attach])),
        "Watch": client.stub.Watch(WatchRequest(all_owners=True)),
    }
    for stream in found.values():
        next(stream)
    return found


def end(stream: Any) -> tuple[grpc.StatusCode | None, str]:
    with failing() as failure:
        for _ in stream:
            pass
    return failure.code, failure.reason


DENIED = (grpc.StatusCode.PERMISSION_DENIED, "NOT_ALLOWED")
TALKER = ("sh", "-c", "echo hi; exec sleep 1000")


def test_streams_end_whose_operation_is_taken_away(policies: Policies, connect: Callable[[str, str], Client]) -> None:
    ann = connect("ann", "clerk")
    job = ann.start(*TALKER, stdin=True)
    open_ = streams(ann, job.id)
    waiting = ann.stub.Wait.future(WaitRequest(job_ids=[job.id]), timeout=TIMEOUT)
    ann.wait(ann.start("true").id)
    policies.change(NO_OUTPUT)
    assert {name: end(stream) for name, stream in open_.items()} == dict.fromkeys(open_, DENIED)
    assert waiting.code() is grpc.StatusCode.PERMISSION_DENIED
    assert ann.stub.QueryStatus(QueryStatusRequest(job_id=job.id), timeout=TIMEOUT).job.state == (
        job_pb2.JOB_STATE_RUNNING
    )


def test_streams_of_others_jobs_end_and_those_of_own_go_on(
    policies: Policies, connect: Callable[[str, str], Client]
) -> None:
    ann, bob = connect("ann", "clerk"), connect("bob", "clerk")
    job = ann.start(*TALKER, stdin=True)
    own, others = streams(ann, job.id), streams(bob, job.id)
    policies.change(OWN)
    assert {name: end(stream) for name, stream in others.items()} == dict.fromkeys(others, DENIED)
    assert end(own["Watch"]) == DENIED, "it was of everybody's jobs"
    assert not own["GetOutput"].done()
    ann.stub.Stop(StopRequest(job_id=job.id, force=True), timeout=TIMEOUT)
    for name in ("GetOutput", "Attach"):
        list(own[name])
        assert own[name].code() is grpc.StatusCode.OK


def test_who_joined_to_write_is_out_when_that_is_taken_away(
    policies: Policies, connect: Callable[[str, str], Client]
) -> None:
    ann = connect("ann", "clerk")
    job = ann.start("cat", stdin=True)
    writing: Any = ann.stub.Attach(iter([AttachRequest(start=AttachStart(job_id=job.id, input=True))]))
    watching: Any = ann.stub.Attach(iter([AttachRequest(start=AttachStart(job_id=job.id))]))
    next(writing)
    next(watching)
    policies.change(NO_INPUT)
    assert end(writing) == DENIED
    assert not watching.done()
    watching.cancel()


def test_a_role_that_is_taken_away_ends_all_its_calls(
    policies: Policies, connect: Callable[[str, str], Client]
) -> None:
    ann = connect("ann", "clerk")
    open_ = streams(ann, ann.start(*TALKER, stdin=True).id)
    policies.change("")
    denied = grpc.StatusCode.PERMISSION_DENIED, "UNKNOWN_ROLE"
    assert {name: end(stream) for name, stream in open_.items()} == dict.fromkeys(open_, denied)


def test_a_bad_policy_changes_nothing_and_is_told_in_the_log(
    policies: Policies, connect: Callable[[str, str], Client], server: ServerProcess, path: Path
) -> None:
    ann = connect("ann", "clerk")
    open_ = streams(ann, ann.start(*TALKER, stdin=True).id)
    policies.change("roles: {clerk: {lik: full}}")
    wait_until(lambda: f"{path}, line 1: roles.clerk: there is no operation or bound 'lik'" in server.log)
    ann.wait(ann.start("true").id)
    assert not any(stream.done() for stream in open_.values())


def test_who_may_change_a_job_and_not_query_it_is_not_told_of_it(
    policies: Policies, connect: Callable[[str, str], Client]
) -> None:
    policies.change("roles: {clerk: {like: full, query: own}}")
    ann, bob = connect("ann", "clerk"), connect("bob", "clerk")
    job = ann.start("sleep", "1000", stdin=True)
    nothing_changed = bob.stub.Update(UpdateRequest(job_id=job.id), timeout=TIMEOUT).job
    assert nothing_changed == job_pb2.Job(id=job.id, state=job_pb2.JOB_STATE_RUNNING)
    joined = bob.stub.Attach(iter([AttachRequest(start=AttachStart(job_id=job.id))]))
    assert next(joined).job == nothing_changed
    joined.cancel()
    assert list(ann.stub.Update(UpdateRequest(job_id=job.id), timeout=TIMEOUT).job.argv) == ["sleep", "1000"]
    stopped = bob.stub.Stop(StopRequest(job_id=job.id, force=True), timeout=TIMEOUT).job
    assert stopped == job_pb2.Job(id=job.id, state=job_pb2.JOB_STATE_STOPPED)


def test_a_start_that_is_not_allowed_leaves_no_job(policies: Policies, connect: Callable[[str, str], Client]) -> None:
    policies.change("roles: {clerk: {like: user, commands: [/bin/sleep], limits: {max: {openFiles: 64}}}}")
    ann = connect("ann", "clerk")
    for fields in (
        {"argv": ["sleep", "1"]},
        {"argv": ["sh", "-c", "sleep 1"]},
        {"argv": ["/bin/sleep", "1"], "env": {"LD_PRELOAD": "/tmp/x.so"}},
    ):
        with failing() as failure:
            ann.start(*fields.pop("argv"), **fields)
        assert (failure.code, failure.reason) == DENIED
    with failing() as failure:
        ann.start("/bin/sleep", "1", limits=job_pb2.Limits(open_files=65))
    assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
    assert not ann.stub.ListJobs(ListJobsRequest(), timeout=TIMEOUT).jobs
    job = ann.start("/bin/sleep", "0")
    assert job.limits.open_files == 64
    ann.wait(job.id)


def test_no_more_jobs_run_than_may_though_they_are_started_at_once(
    policies: Policies, connect: Callable[[str, str], Client], tmp_path: Path
) -> None:
    policies.change("roles: {clerk: {like: user, running: 2}}")
    ann = connect("ann", "clerk")
    at = tmp_path / "at"
    at.mkdir()
    script = 'touch "$1/$$"; ls "$1" | wc -l; sleep 0.05; rm "$1/$$"'
    request = StartRequest(argv=["sh", "-c", script, "sh", str(at)])
    starts = [ann.stub.Start.future(request, timeout=TIMEOUT) for _ in range(20)]
    job_ids = [start.result().job.id for start in starts]
    assert all(job.exit_code == 0 for job in ann.wait(*job_ids))
    assert {int(ann.output(job_id)) for job_id in job_ids} <= {1, 2}


def test_many_starts_at_once_queue_no_more_than_may_wait(
    policies: Policies, connect: Callable[[str, str], Client]
) -> None:
    policies.change("roles: {clerk: {like: user, running: 1, queued: 3}}")
    ann, ann_again = connect("ann", "clerk"), connect("ann", "clerk")
    request = StartRequest(argv=["sleep", "1000"])
    starts = [client.stub.Start.future(request, timeout=TIMEOUT) for _ in range(15) for client in (ann, ann_again)]
    refused = [start for start in starts if start.exception() is not None]
    assert {start.code() for start in refused} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert all("as many of yours wait as may: 3; start it again when" in start.details() for start in refused)
    states = [start.result().job.state for start in starts if start not in refused]
    assert sorted(states) == [job_pb2.JOB_STATE_RUNNING] + [job_pb2.JOB_STATE_QUEUED] * 3
    assert connect("bob", "clerk").start(*request.argv).state == job_pb2.JOB_STATE_RUNNING


def test_nobody_queues_ahead_of_others_beyond_their_priority(
    policies: Policies, connect: Callable[[str, str], Client]
) -> None:
    policies.change("roles: {clerk: {like: user, running: 1, priority: -1}, boss: {like: user}}")
    clerk = connect("ann", "clerk")
    running = clerk.start("sleep", "1000")
    assert clerk.start("true").priority == -1
    for priority in (1, 1000):
        with failing() as failure:
            clerk.start("true", priority=priority)
        told = f"the role 'clerk' does not allow to queue jobs with the priority {priority}; it allows -1 and lower"
        assert (failure.code, failure.message) == (grpc.StatusCode.PERMISSION_DENIED, told)
    assert connect("ann", "boss").start("true", priority=1000).priority == 1000
    assert running.priority == -1


def test_jobs_of_another_role_of_the_owner_count_too(policies: Policies, connect: Callable[[str, str], Client]) -> None:
    policies.change("roles: {clerk: {like: user, running: 1}}")
    running = connect("ann", "full").start("sleep", "1000")
    clerk = connect("ann", "clerk")
    waiting = clerk.start("true")
    assert waiting.state == job_pb2.JOB_STATE_QUEUED
    assert connect("bob", "clerk").start("sleep", "1000").state == job_pb2.JOB_STATE_RUNNING
    clerk.stub.Stop(StopRequest(job_id=running.id, force=True), timeout=TIMEOUT)
    assert clerk.wait(waiting.id)[0].exit_code == 0


def test_a_file_that_changes_is_taken_without_being_asked_to(
    connect: Callable[[str, str], Client], server: ServerProcess, path: Path
) -> None:
    ann = connect("ann", "clerk")
    open_ = streams(ann, ann.start(*TALKER, stdin=True).id)
    beside = path.with_suffix(".new")
    beside.write_text(NO_OUTPUT)
    beside.replace(path)
    assert {name: end(stream) for name, stream in open_.items()} == dict.fromkeys(open_, DENIED)
    told = "the policy was reloaded: it has the roles full, admin, user, readonly, observer, clerk"
    wait_until(lambda: told in server.log)  # calls are held against a policy before it is told of


def test_what_is_most_likely_not_meant_is_told_at_the_start_and_at_each_reload(
    server_certs: Path, tmp_path: Path, path: Path
) -> None:
    path.write_text("roles: {clerk: {like: user, users: [no-such]}}")
    warning = f"WARNING the policy {path}: roles.clerk.users: this host has no user no-such\n"
    with ServerProcess(server_certs, tmp_path / "state", "localhost:0", "--policy", str(path)) as process:
        policies = Policies(path, process)
        wait_until(lambda: process.log.count(warning) == 1)
        policies.change(path.read_text())
        assert process.log.count(warning) >= 2
        commands = ", ".join(f"/no/{number}" for number in range(1000))
        policies.change(f"roles: {{clerk: {{like: user, commands: [{commands}]}}}}")
        told = {line.partition("WARNING")[2] for line in process.log.splitlines() if "can't be executed" in line}
        assert len(told) == 20
        assert f"WARNING the policy {path}: there are more; jobworker-server policy check tells all\n" in process.log


def test_a_bad_policy_file_keeps_the_server_from_starting(server_certs: Path, tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text("roles: {clerk: {like: ful}}")
    process = ServerProcess(server_certs, tmp_path / "state", "localhost:0", "--policy", str(path))
    assert process.process.wait(TIMEOUT) == 1
    process.stop()
    assert process.log == (
        f"jobworker-server: {path}, line 1: roles.clerk.like: there is no role 'ful'; did you mean 'full'?\n"
    )
