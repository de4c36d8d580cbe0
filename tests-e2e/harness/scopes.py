"""What a role may do, tried with each RPC on its own jobs and on those of others."""

from __future__ import annotations

from collections.abc import Mapping

import grpc

from conformance.jobs import SLEEPER, UNKNOWN_ID
from harness.api import Api, Failure, failing

OPERATIONS = {
    "Start": "start",
    "Stop": "change",
    "Signal": "change",
    "Delete": "change",
    "Update": "change",
    "QueryStatus": "look",
    "GetStats": "look",
    "Wait": "look",
    "ListJobs": "look",
    "GetOutput": "output",
    "Attach": "input",
}

Scopes = Mapping[str, str]
"""Of each kind of operation, or of single RPCs: none, own or any."""


def request(rpc: str, job_id: str) -> dict[str, object]:
    """A request about one job that is done at once."""
    if rpc == "Start":
        return {"argv": ["true"]}
    if rpc == "ListJobs":
        return {"all_owners": True, "id_prefix": job_id}
    if rpc == "Wait":
        return {"job_ids": [job_id]}
    if rpc == "GetOutput":
        return {"job_id": job_id, "follow": False}
    if rpc == "Attach":
        return {"job_id": job_id, "input": True}
    further: dict[str, dict[str, object]] = {
        "Stop": {"force": True},
        "Signal": {"signal": "SIGCONT"},
        "Update": {"no_timeout": True},
        "GetStats": {"once": True},
    }
    return {"job_id": job_id, **further.get(rpc, {})}


def job_for(rpc: str, owner: Api) -> str:
    """A job in the state that the RPC needs."""
    if rpc in ("Wait", "Delete"):
        return owner.wait(owner.start(["true"]).id).id
    return owner.start(SLEEPER, stdin=True).id


def failure_of(client: Api, rpc: str, job_id: str) -> Failure:
    """How the call fails."""
    with failing() as failure:
        client.call(rpc, **request(rpc, job_id))
    return failure


def require_scope(scopes: Scopes, rpc: str, caller: Api, owner: Api, *, own: bool) -> None:
    """See that a call can be made on a job of ``owner`` where the scope has it, and fails as it should elsewhere."""
    scope = scopes.get(rpc, scopes[OPERATIONS[rpc]])
    job_id = job_for(rpc, owner)
    if scope == "none":
        failure = failure_of(caller, rpc, job_id)
        assert (failure.code, failure.reason) == (grpc.StatusCode.PERMISSION_DENIED, "NOT_ALLOWED"), rpc
        assert failure == failure_of(caller, rpc, UNKNOWN_ID), "whether the job exists can be told"
    elif rpc == "ListJobs":
        found = [job.id for job in caller.call(rpc, **request(rpc, job_id)).jobs]
        assert found == ([job_id] if scope == "any" or own else [])
    elif rpc == "Start" or scope == "any" or own:
        caller.call(rpc, **request(rpc, job_id))
    else:
        failure = failure_of(caller, rpc, job_id)
        assert (failure.code, failure.reason) == (grpc.StatusCode.NOT_FOUND, "JOB_NOT_FOUND"), rpc
        assert failure.about(job_id) == failure_of(caller, rpc, UNKNOWN_ID).about(UNKNOWN_ID)
