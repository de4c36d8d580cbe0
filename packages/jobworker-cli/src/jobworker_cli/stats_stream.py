"""What a job uses as one stream, however often the connection is lost in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import grpc

from jobworker_cli import convert

if TYPE_CHECKING:
    from jobworker.v1 import worker_service_pb2 as api
    from jobworker_cli.fence import Sample
    from jobworker_cli.outage import Outage


def samples(
    stats: Callable[[api.GetStatsRequest], Any], request: api.GetStatsRequest, outage: Outage
) -> Iterator[Sample]:
    """Yield what the call gives; where its connection is lost, call again.

    Raises:
        ClientError: the server did not come back, or anything else went wrong.
    """
    while True:
        call = stats(request)
        try:
            for response in call:
                outage.over()
                yield convert.sample(response)
        except grpc.RpcError as error:
            outage.wait(error)
        else:
            return
        finally:
            call.cancel()
