"""How long after a job has written a line its follower has it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterable

from jobworker.v1.worker_service_pb2 import GetOutputRequest, StartRequest
from jobworker_lib import Engine
from rig import Sizes, jobworker_server, scratch
from table import milliseconds, show

_ROUNDS = 4
_PAUSE_SECONDS = 0.005
# The monotonic clock is one for all processes of a host.
_PROGRAM = """
import os, sys, time
for _ in range(int(sys.argv[1])):
    time.sleep(float(sys.argv[2]))
    os.write(1, b"%d\\n" % time.monotonic_ns())
"""


def measure(sizes: Sizes) -> None:
    """Print the table."""
    lines = sizes.lines // _ROUNDS
    command = [sys.executable, "-c", _PROGRAM, str(lines), str(_PAUSE_SECONDS)]
    with (
        scratch() as directory,
        Engine(directory / "library") as engine,
        jobworker_server(directory) as server,
        server.stub() as stub,
    ):

        def piped() -> list[float]:
            with subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0) as process:
                return _delays(process.stdout or ())

        def local() -> list[float]:
            return _delays(chunk.data for chunk in engine.start(command).output())

        def remote() -> list[float]:
            job = stub.Start(StartRequest(argv=command)).job
            responses = stub.GetOutput(GetOutputRequest(job_id=job.id, follow=True))
            return _delays(chunk.data for response in responses for chunk in response.chunks)

        subjects: dict[str, Callable[[], list[float]]] = {
            "a pipe, read directly": piped,
            "jobworker-lib": local,
            "jobworker-server": remote,
        }
        delays: dict[str, list[float]] = {name: [] for name in subjects}
        for _ in range(_ROUNDS):
            for name, run in subjects.items():
                delays[name] += run()
    rows = [(name, *milliseconds(values)) for name, values in delays.items()]
    show("A line, from write(2) to the follower's hands (ms)", ("", "median", "p99"), rows)


def _delays(pieces: Iterable[bytes]) -> list[float]:
    """Seconds from the time that each line tells to now."""
    delays = []
    for piece in pieces:
        now = time.monotonic_ns()
        delays += [(now - int(line)) / 1e9 for line in piece.splitlines()]
    return delays
