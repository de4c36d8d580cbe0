"""ListJobs: a page of jobs, the newest first."""

from __future__ import annotations

from collections.abc import Sequence

from jobworker.v1 import job_pb2
from jobworker.v1.worker_service_pb2 import ListJobsRequest, ListJobsResponse
from jobworker_lib import State
from jobworker_server import convert
from jobworker_server.call import Call
from jobworker_server.errors import InvalidRequestError
from jobworker_server.gate import Unary
from jobworker_server.policy import Operation, Scope

_DEFAULT_PAGE_SIZE = 100
_LARGEST_PAGE_SIZE = 1000

_STATES = {number: state for state, number in convert.STATES.items()}


async def _list(call: Call, request: ListJobsRequest) -> ListJobsResponse:
    owner = call.owner_of(request)
    if owner is not None and call.scope is not Scope.ANY and owner != call.caller.owner:
        return ListJobsResponse()
    states = _states(request.states)
    size = _page_size(request.page_size)
    while True:
        page = await call.engine.list(
            owner=owner,
            labels=request.labels,
            state=states,
            id_prefix=request.id_prefix or None,
            limit=size,
            page_token=request.page_token,
        )
        response = ListJobsResponse(jobs=map(convert.job_message, page.statuses), next_page_token=page.next_page_token)
        if size == 1 or response.ByteSize() <= convert.LARGEST_LIST_OF_JOBS:
            return response
        size //= 2


def _page_size(size: int) -> int:
    if size < 0:
        raise InvalidRequestError("page_size", "give 0 or more")
    return min(size or _DEFAULT_PAGE_SIZE, _LARGEST_PAGE_SIZE)


def _states(states: Sequence[job_pb2.JobState.ValueType]) -> list[State] | None:
    for state in states:
        if state not in _STATES:
            raise InvalidRequestError("states", f"there is no state {state}")
    return [_STATES[state] for state in states] or None


RPC = Unary(Operation.LIST, ListJobsRequest, _list)
