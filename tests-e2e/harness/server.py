"""A real server in a process of its own, which can die and come back on the same state directory."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import grpc
import pytest

from conformance.processes import PATIENCE_SECONDS, holders, job_processes, wait_until
from harness.api import Api
from harness.certs import Certs
from harness.memory import memory_of
from jobworker.v1 import job_pb2
from lib_testing import fork_servers

Cleaner = Callable[["Server"], Api]

_QUEUED = (job_pb2.JOB_STATE_QUEUED,)
_RUNNING = (job_pb2.JOB_STATE_STARTING, job_pb2.JOB_STATE_RUNNING)


class Server:
    """``python -m jobworker_server`` on a free port; a new one at each start."""

    def __init__(
        self,
        certs: Certs,
        directory: Path,
        served: Path | None = None,
        options: Sequence[str] = (),
        cleaner: Cleaner | None = None,
    ) -> None:
        """``cleaner`` connects as one who may stop all jobs; by default the client ``full`` does."""
        self._options = options
        self._cleaner = cleaner or (lambda server: Api(server, certs.full))
        self.certs = certs
        self.state_dir = directory / "state"
        self.address = ""
        self._log = directory / "server.log"
        self._served = served or certs.directory
        self.start()

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        options = ["--listen", "localhost:0", "--certs", str(self._served), "--state-dir", str(self.state_dir)]
        options += self._options
        with self._log.open("ab") as log:
            begin = log.tell()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "jobworker_server", *options], stderr=log, env=clean_environment()
            )

        def is_ready() -> bool:
            match = re.search(r"listening on (\S+)\s", self.log[begin:])
            self.address = match[1] if match else ""
            return bool(match) or self._process.poll() is not None

        try:
            wait_until(is_ready, "the server's readiness line")
            assert self.address, self.log
        except BaseException:
            self.kill()
            raise

    @property
    def log(self) -> str:
        """All that it has written to its standard error."""
        return self._log.read_text()

    @property
    def pid(self) -> int:
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL; jobs run on."""
        self._process.kill()
        self._process.wait(PATIENCE_SECONDS)

    def terminate(self) -> int:
        """SIGTERM; jobs run on: the exit status."""
        self._process.terminate()
        return self._process.wait(PATIENCE_SECONDS)

    def send_signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def memory(self, field: str) -> int:
        """Bytes of memory, as ``VmRSS`` (now) and ``VmHWM`` (the most since ``forget_peak_memory``) tell."""
        found = memory_of(self.pid, field)
        assert found is not None
        return found

    def forget_peak_memory(self) -> None:
        self._require_insight()
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def _require_insight(self) -> None:
        if os.geteuid() != 0:
            pytest.skip("only root may look into the server's process")

    def fork_server(self) -> int:
        """The pid of the engine's fork server."""
        (found,) = fork_servers(self.state_dir)
        return found

    def reads_output_of(self, job_id: str) -> bool:
        """Whether a client follows the output of a job."""
        self._require_insight()
        directory = Path(f"/proc/{self.pid}/fd")
        links = [_link(directory / name) for name in os.listdir(directory)]
        return any(f"/{job_id}/output" in link and link.endswith(".log") for link in links)  # not for a moment's look

    def close(self) -> None:
        """Stop what is left running, end the server, and see that no process of either is left."""
        try:
            if self._process.poll() is not None:
                self.start()
            with self._cleaner(self) as api:
                for states in (_QUEUED, _RUNNING):  # none may take the place of another
                    for job in api.list(states=states, all_owners=True):
                        _stop(api, job.id)
            assert self.terminate() == 0, self.log
            wait_until(lambda: not self._processes(), "the end of all processes of the server and its jobs")
        finally:
            for pid in self._processes():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self._process.wait(PATIENCE_SECONDS)

    def _processes(self) -> list[int]:
        jobs = (self.state_dir / "jobs").glob("*")
        return [*holders(self.state_dir), *(pid for job in jobs for pid in job_processes(job.name))]


def clean_environment() -> dict[str, str]:
    """This environment without settings of jobworker and gRPC of the user's own."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("JOBWORKER_", "GRPC_"))}


def _stop(api: Api, job_id: str) -> None:
    try:
        api.stop(job_id, force=True)
    except grpc.RpcError:
        assert api.wait(job_id).HasField("ended_at"), "it can't be stopped, and has not ended by itself"


def _link(path: Path) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""
