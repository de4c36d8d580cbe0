"""How long a command of jobworker-cli takes, from its start to its end, beside what its interpreter and grpc take."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from jobworker.v1.worker_service_pb2 import StartRequest, WaitRequest
from rig import HERE, Sizes, jobworker_server, scratch
from table import show

_STARTS_A_RUN = 10
_CLI = str(Path(sys.executable).with_name("jobworker-cli"))


class _Run(NamedTuple):
    seconds: float
    cpu: float


def measure(sizes: Sizes) -> None:
    """Print the table."""
    with scratch() as directory, jobworker_server(directory) as server, server.stub() as stub:
        job = stub.Start(StartRequest(argv=["true"])).job
        stub.Wait(WaitRequest(job_ids=[job.id]))
        # Bytecode is kept, as it is where a package was installed.
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environment |= {"JOBWORKER_SERVER": server.address, "JOBWORKER_CERTS": str(server.certs)}
        subjects = {
            "`python -c pass`": [sys.executable, "-c", "pass"],
            "`python -c 'import typer'`": [sys.executable, "-c", "import typer"],
            "`python -c 'import grpc'`": [sys.executable, "-c", "import grpc"],
            "one call, the least (`one_call.py`)": [
                sys.executable, str(HERE / "one_call.py"), server.address, str(server.certs), job.id
            ],
            "`jobworker-cli --help`": [_CLI, "--help"],
            "completing a state": [_CLI, "completion", "words", "--", "list", "--state", "r"],
            "completing an id": [_CLI, "completion", "words", "--", "status", ""],
            "`jobworker-cli status ID`": [_CLI, "status", job.id],
        }  # fmt: skip
        runs: dict[str, list[_Run]] = {name: [] for name in subjects}
        for command in subjects.values():
            _run(command, environment)
        for _ in range(sizes.starts // _STARTS_A_RUN):
            for name, command in subjects.items():
                runs[name].append(_run(command, environment))
    show("A command, from its start to its end (ms)", ("", "best", "CPU, best"), [_row(*item) for item in runs.items()])


def _run(command: Sequence[str], environment: dict[str, str]) -> _Run:
    before, began = _cpu(), time.perf_counter()
    subprocess.run(command, env=environment, check=True, capture_output=True)
    return _Run(time.perf_counter() - began, _cpu() - before)


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _row(name: str, runs: Sequence[_Run]) -> tuple[str, ...]:
    best = min(run.seconds for run in runs), min(run.cpu for run in runs)
    return name, *(f"{seconds * 1000:.0f}" for seconds in best)
