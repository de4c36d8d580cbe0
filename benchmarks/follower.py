"""One follower: ``python follower.py ADDRESS CERTS``.

It connects, says so, and then streams each job whose id it reads, and prints how many bytes it got.
"""

from __future__ import annotations

import sys
from pathlib import Path

from jobworker.v1.worker_service_pb2 import GetOutputRequest
from rig import Server


def main() -> None:
    """Follow until the standard input ends."""
    server = Server(sys.argv[1], Path(sys.argv[2]), pid=0)
    with server.stub() as stub:
        print("ready", flush=True)
        for line in sys.stdin:
            responses = stub.GetOutput(GetOutputRequest(job_id=line.strip(), follow=True))
            print(sum(len(chunk.data) for response in responses for chunk in response.chunks), flush=True)


if __name__ == "__main__":
    main()
