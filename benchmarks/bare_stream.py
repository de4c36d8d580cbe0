"""The floor of streaming: a grpc.aio server that sends the same bytes in messages of the same size, and does no more.

``python bare_stream.py CERTS BYTES`` answers GetOutput with messages of 1 MiB that were serialised beforehand.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import grpc

from jobworker.v1.output_pb2 import OutputChunk
from jobworker.v1.worker_service_pb2 import GetOutputResponse

_MESSAGE_BYTES = 1 << 20


async def main() -> None:
    """Serve until SIGTERM."""
    certs, total = Path(sys.argv[1]), int(sys.argv[2])
    chunk = OutputChunk(data=bytes(_MESSAGE_BYTES))
    message = GetOutputResponse(chunks=[chunk]).SerializeToString()

    async def stream(_request: bytes, _context: object) -> AsyncIterator[bytes]:
        for _ in range(total // _MESSAGE_BYTES):
            yield message

    server = grpc.aio.server()
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        "GetOutput": grpc.unary_stream_rpc_method_handler(stream)
    }
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("jobworker.v1.WorkerService", handlers)])
    key, cert, ca = ((certs / name).read_bytes() for name in ("server.key", "server.pem", "ca.pem"))
    port = server.add_secure_port(
        "localhost:0", grpc.ssl_server_credentials([(key, cert)], ca, require_client_auth=True)
    )
    await server.start()
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    print(f"listening on localhost:{port}", file=sys.stderr, flush=True)
    await stopping.wait()
    await server.stop(None)


if __name__ == "__main__":
    asyncio.run(main())
