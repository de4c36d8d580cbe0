"""GetOutput: streams a job's output."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Literal

from jobworker.v1 import output_pb2
from jobworker.v1.worker_service_pb2 import GetOutputRequest, GetOutputResponse
from jobworker_server import convert
from jobworker_server.call import Call
from jobworker_server.errors import InvalidRequestError
from jobworker_server.gate import Stream
from jobworker_server.policy import Operation

_STREAMS: dict[int, Literal["stdout", "stderr"] | None] = {
    output_pb2.OUTPUT_STREAM_UNSPECIFIED: None,
    output_pb2.OUTPUT_STREAM_STDOUT: "stdout",
    output_pb2.OUTPUT_STREAM_STDERR: "stderr",
}


async def _logs(call: Call, request: GetOutputRequest, send: Callable[[GetOutputResponse], Awaitable[None]]) -> None:
    if request.stream not in _STREAMS:
        raise InvalidRequestError("stream", f"there is no output stream {request.stream}")
    if request.HasField("tail_lines") and (request.offset or request.HasField("since")):
        raise InvalidRequestError("tail_lines", "give it without offset and since")
    job = await call.job(request.job_id)
    batches = job.output_batches(
        offset=request.offset,
        follow=request.follow,
        stream=_STREAMS[request.stream],
        since=convert.moment("since", request.since) if request.HasField("since") else None,
        tail=request.tail_lines if request.HasField("tail_lines") else None,
        end=request.end_offset if request.HasField("end_offset") else None,
        batch_bytes=call.share.sendable_bytes,
    )
    # Frees the reader as soon as the client is gone, not when it is collected.
    async with aclosing(batches):
        async for batch in batches:
            for message in convert.output_messages(batch):
                await send(message)


RPC = Stream(Operation.OUTPUT, GetOutputRequest, _logs)
