"""Output."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from jobworker.v1 import output_pb2, worker_service_pb2
from jobworker_lib import Chunk
from jobworker_server.convert.scalars import timestamp_of_ns

STREAMS = {"stdout": output_pb2.OUTPUT_STREAM_STDOUT, "stderr": output_pb2.OUTPUT_STREAM_STDERR}

# A message holds at most about this much, so that clients with gRPC's default bound of 4 MiB can take it. A chunk
# weighs more than its data: a job may write a byte at a time.
_LARGEST_OUTPUT_MESSAGE = 2 << 20
_WEIGHT_OF_CHUNK = 48


def output_messages(batch: Iterable[Chunk]) -> Iterator[worker_service_pb2.GetOutputResponse]:
    """A batch of output, in as few messages as can be sent."""
    for chunks in output_chunks(batch):
        yield worker_service_pb2.GetOutputResponse(chunks=chunks)


def output_chunks(batch: Iterable[Chunk]) -> Iterator[list[output_pb2.OutputChunk]]:
    """A batch of output, each part of it small enough for a message."""
    chunks: list[output_pb2.OutputChunk] = []
    weight = 0
    for chunk in batch:
        weight += len(chunk.data) + _WEIGHT_OF_CHUNK
        if chunks and weight > _LARGEST_OUTPUT_MESSAGE:
            yield chunks
            chunks, weight = [], len(chunk.data) + _WEIGHT_OF_CHUNK
        chunks.append(_chunk_message(chunk))
    if chunks:
        yield chunks


def _chunk_message(chunk: Chunk) -> output_pb2.OutputChunk:
    message = output_pb2.OutputChunk(
        data=chunk.data, stream=STREAMS[chunk.stream], offset=chunk.offset, time=timestamp_of_ns(chunk.time_ns)
    )
    if chunk.gap:
        message.gap.begin, message.gap.end = chunk.gap.begin, chunk.gap.end
    return message
