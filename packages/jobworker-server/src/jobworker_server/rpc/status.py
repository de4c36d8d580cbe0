"""QueryStatus: what a job is and where it is in its life."""

from __future__ import annotations

from jobworker.v1.worker_service_pb2 import QueryStatusRequest, QueryStatusResponse
from jobworker_server import convert
from jobworker_server.call import Call
from jobworker_server.gate import Unary
from jobworker_server.policy import Operation


async def _status(call: Call, request: QueryStatusRequest) -> QueryStatusResponse:
    job = await call.job(request.job_id)
    return QueryStatusResponse(job=convert.job_message(await job.status()))


RPC = Unary(Operation.QUERY, QueryStatusRequest, _status)
