"""What happens to jobs as one stream, however often the connection is lost in between."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import grpc

from jobworker_cli import convert

if TYPE_CHECKING:
    from jobworker.v1 import worker_service_pb2 as api
    from jobworker_cli.models import Event
    from jobworker_cli.outage import Outage


def batches(
    watch: Callable[[api.WatchRequest], Any], request: api.WatchRequest, outage: Outage
) -> Iterator[tuple[Sequence[Event], str]]:
    """Yield what the call gives, each with its cursor; where its connection is lost, go on after the last cursor.

    Raises:
        ClientError: the server did not come back, or anything else went wrong.
    """
    while True:
        call = watch(request)
        try:
            for response in call:
                outage.over()
                request.cursor = response.cursor
                yield [convert.event(event) for event in response.events], response.cursor
        except grpc.RpcError as error:
            outage.wait(error)
        else:
            return
        finally:
            call.cancel()
