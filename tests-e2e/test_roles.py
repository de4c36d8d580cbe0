"""Guards the design's table of roles: each role against each RPC, on its own jobs and on those of others.

A job that the caller may not see answers as one that does not exist.
"""

from __future__ import annotations

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from conformance.jobs import SLEEPER, UNKNOWN_ID
from harness.api import RPCS, Api, failing
from harness.certs import Certs
from harness.cli import Cli
from harness.scopes import OPERATIONS, failure_of, request, require_scope
from harness.server import Server

TABLE = {
    "full": {"start": "any", "change": "any", "look": "any", "output": "any", "input": "any"},
    "admin": {"start": "any", "change": "any", "look": "any", "output": "any", "input": "any"},
    "user": {"start": "own", "change": "own", "look": "own", "output": "own", "input": "own"},
    "readonly": {"start": "none", "change": "none", "look": "any", "output": "any", "input": "none"},
    "observer": {"start": "none", "change": "none", "look": "any", "output": "none", "input": "none"},
}


@pytest.mark.parametrize("whose", ["own", "other"])
@pytest.mark.parametrize("rpc", RPCS)
@pytest.mark.parametrize("role", TABLE)
def test_the_table_of_roles(role: str, rpc: str, whose: str, server: Server, certs: Certs) -> None:
    """The caller is ann of the role; her own jobs were started by an ann that may start them."""
    owner_pair = certs.client("full", "ann" if whose == "own" else "bob")
    with Api(server, certs.client(role, "ann")) as caller, Api(server, owner_pair) as owner:
        require_scope(TABLE[role], rpc, caller, owner, own=whose == "own")
        if TABLE[role][OPERATIONS[rpc]] == "none":
            assert role in failure_of(caller, rpc, UNKNOWN_ID).message


@pytest.mark.parametrize("whose", ["own", "other"])
@pytest.mark.parametrize("role", TABLE)
def test_who_may_read_output_may_attach_to_watch(role: str, whose: str, server: Server, certs: Certs) -> None:
    scope = TABLE[role]["output"]
    owner_pair = certs.client("full", "ann" if whose == "own" else "bob")
    with Api(server, certs.client(role, "ann")) as caller, Api(server, owner_pair) as owner:
        job_id = owner.start(SLEEPER, stdin=True).id
        if scope == "any" or (scope == "own" and whose == "own"):
            (response,) = caller.call("Attach", job_id=job_id)
            assert response.job.id == job_id
        else:
            with failing() as failure:
                caller.call("Attach", job_id=job_id)
            assert failure.reason == ("NOT_ALLOWED" if scope == "none" else "JOB_NOT_FOUND")


@pytest.mark.parametrize("rpc", RPCS)
def test_a_role_that_the_server_does_not_know_may_do_nothing(rpc: str, server: Server, certs: Certs) -> None:
    with Api(server, certs.client("tinker", "ann")) as caller:
        failure = failure_of(caller, rpc, UNKNOWN_ID)
    assert (failure.code, failure.reason) == (grpc.StatusCode.PERMISSION_DENIED, "UNKNOWN_ROLE")
    assert "'tinker'" in failure.message


def test_a_refused_call_changes_nothing(server: Server, certs: Certs, api: Api) -> None:
    job = api.start(SLEEPER)
    with Api(server, certs.client("user", "ann")) as ann, Api(server, certs.client("readonly", "ann")) as readonly:
        for caller in (ann, readonly):
            for rpc in ("Stop", "Signal", "Delete", "Update"):
                if rpc == "Update":
                    fields: dict[str, object] = {"job_id": job.id, "timeout": Duration(nanos=1)}
                else:
                    fields = request(rpc, job.id) | ({"signal": "SIGKILL"} if rpc == "Signal" else {})
                with failing():
                    caller.call(rpc, **fields)
    assert api.status(job.id).state == job.state
    assert api.stop(job.id, force=True).state != job.state


def test_one_hidden_job_hides_all_that_are_waited_for(server: Server, certs: Certs, api: Api) -> None:
    theirs = api.wait(api.start(["true"]).id)
    with Api(server, certs.client("user", "ann")) as ann:
        own = ann.wait(ann.start(["true"]).id)
        with failing() as failure:
            ann.call("Wait", job_ids=[own.id, theirs.id], any=True)
    assert (failure.code, failure.reason) == (grpc.StatusCode.NOT_FOUND, "JOB_NOT_FOUND")


def test_a_user_lists_own_jobs_only_however_asked(server: Server, certs: Certs, api: Api) -> None:
    theirs = api.start(["true"]).id
    with Api(server, certs.client("user", "carol")) as carol:
        own = carol.start(["true"]).id
        for fields in ({}, {"all_owners": True}, {"owner": "carol"}):
            assert [job.id for job in carol.list(**fields)] == [own]
        assert carol.list(owner="full") == []
    assert {own, theirs} <= {job.id for job in api.list(all_owners=True)}
    assert own not in {job.id for job in api.list()}


def test_the_command_line_tells_refused_from_unknown(cli: Cli, certs: Certs, api: Api) -> None:
    job = api.start(SLEEPER)
    readonly, user = certs.client("readonly", "ann"), certs.client("user", "ann")
    refused = cli("stop", job.id, client=readonly, status=4)
    assert "the role 'readonly' does not allow to stop jobs" in refused.err
    hidden = cli("stop", job.id, client=user, status=3)
    unknown = cli("stop", UNKNOWN_ID, client=user, status=3)
    assert hidden.err.replace(job.id, UNKNOWN_ID) == unknown.err
    assert cli("status", job.id, client=readonly).out == "running"
    cli("logs", job.id, client=certs.client("observer", "ann"), status=4)
