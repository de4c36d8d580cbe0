"""A job's output as one stream, however often the connection is lost in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import grpc

from jobworker_cli import convert
from jobworker_cli.errors import NoAnswerError, OutputInterruptedError

if TYPE_CHECKING:
    from jobworker.v1 import worker_service_pb2 as api
    from jobworker_cli.models import Chunk
    from jobworker_cli.outage import Outage

_ACCEPTED_KEY = "jobworker-api"
"""In the headers that a server sends as soon as it has accepted a call."""


def batches(
    get_output: Callable[[api.GetOutputRequest], Any], request: api.GetOutputRequest, outage: Outage
) -> Iterator[Sequence[Chunk]]:
    """Yield what the call gives; where its connection is lost, go on with the byte after the last that was given.

    Raises:
        OutputInterruptedError: the server did not come back after some output had arrived.
        ClientError: anything else went wrong.
    """
    reached = None
    while True:
        call = get_output(request)
        try:
            if any(key == _ACCEPTED_KEY for key, _ in call.initial_metadata()):
                outage.over()
            for response in call:
                outage.over()
                batch = [convert.chunk(chunk) for chunk in response.chunks]
                if batch:
                    reached = batch[-1].end
                    request.offset = reached
                    request.ClearField("tail_lines")
                    yield batch
        except grpc.RpcError as error:
            _pause(outage, error, reached)
        else:
            return
        finally:
            call.cancel()


def _pause(outage: Outage, error: grpc.RpcError, reached: int | None) -> None:
    try:
        outage.wait(error)
    except NoAnswerError as explained:
        if reached is None:
            raise
        raise OutputInterruptedError(f"{explained} (the output had come to offset {reached})", reached) from None
