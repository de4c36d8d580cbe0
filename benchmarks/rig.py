"""What the benchmarks run on: a state directory, certificates, a server in a process of its own, and followers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import grpc

from jobworker.v1.worker_service_pb2_grpc import WorkerServiceStub

HERE = Path(__file__).parent
END_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is measured."""

    starts: int
    rate_starts: int
    stream_bytes: int
    rounds: int
    lines: int
    jobs: int
    kept_jobs: int


FULL = Sizes(starts=400, rate_starts=400, stream_bytes=1 << 30, rounds=3, lines=1000, jobs=50, kept_jobs=100_000)
QUICK = Sizes(starts=40, rate_starts=80, stream_bytes=64 << 20, rounds=1, lines=100, jobs=10, kept_jobs=2_000)


@dataclass(frozen=True, slots=True)
class Server:
    """A server that listens."""

    address: str
    certs: Path
    pid: int

    def credentials(self) -> grpc.ChannelCredentials:
        """Those of the client ``full``."""
        ca, key, cert = (self.certs / name for name in ("ca.pem", "full.key", "full.pem"))
        return grpc.ssl_channel_credentials(ca.read_bytes(), key.read_bytes(), cert.read_bytes())

    def cpu_seconds(self) -> float:
        """Processor time that it has used, in user and in kernel mode."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    @contextmanager
    def stub(self) -> Iterator[WorkerServiceStub]:
        """A connection of its own."""
        with grpc.secure_channel(self.address, self.credentials()) as channel:
            grpc.channel_ready_future(channel).result(END_SECONDS)
            yield WorkerServiceStub(channel)


@contextmanager
def scratch() -> Iterator[Path]:
    """A directory that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="jobworker-bench-") as path:
        yield Path(path)


@contextmanager
def jobworker_server(directory: Path, state: str = "state", configuration: str = "") -> Iterator[Server]:
    """A jobworker-server with its state and certificates in ``directory``; the configuration is YAML."""
    certs = certificates(directory)
    config = directory / f"{state}.yaml"
    config.write_text(configuration)
    options = ["--listen", "localhost:0", "--certs", str(certs), "--state-dir", str(directory / state)]
    options += ["--config", str(config)]
    with _listening([sys.executable, "-m", "jobworker_server", *options], certs) as server:
        yield server


@contextmanager
def bare_server(directory: Path, total: int) -> Iterator[Server]:
    """A server of ``bare_stream.py``, which streams ``total`` bytes to whoever asks for output."""
    certs = certificates(directory)
    with _listening([sys.executable, str(HERE / "bare_stream.py"), str(certs), str(total)], certs) as server:
        yield server


@contextmanager
def followers(server: Server, count: int) -> Iterator[Callable[[str], list[int]]]:
    """Connected followers, each a process: a function that has them stream a job and gives the bytes each got."""
    command = [sys.executable, str(HERE / "follower.py"), server.address, str(server.certs)]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(count)
    ]
    pipes = [(process.stdin, process.stdout) for process in processes]

    def follow(job_id: str) -> list[int]:
        for requests, _ in pipes:
            print(job_id, file=requests, flush=True)
        return [int(answers.readline()) for _, answers in pipes if answers]

    try:
        for _, answers in pipes:
            if answers:
                answers.readline()
        yield follow
    finally:
        for process in processes:
            process.communicate()


def certificates(directory: Path) -> Path:
    """Certificates for both ends, made where they are missing."""
    certs = directory / "certs"
    if not certs.exists():
        command = [sys.executable, "-m", "jobworker_pki", "init", "--dir", str(certs)]
        subprocess.run(command, check=True, capture_output=True)
    return certs


@contextmanager
def _listening(command: list[str], certs: Path) -> Iterator[Server]:
    with tempfile.TemporaryFile() as log:  # a pipe that nobody reads would fill up, and hold up the server
        process = subprocess.Popen(command, stderr=log)
        try:
            yield Server(_address(process, log), certs, process.pid)
        finally:
            process.terminate()
            process.wait()


def _address(process: subprocess.Popen[bytes], log: IO[bytes]) -> str:
    """Where the server listens, once its log says so."""
    deadline = time.monotonic() + END_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        said = os.pread(log.fileno(), 1 << 16, 0).decode()
        if found := re.search(r"listening on (\S+)\n", said):
            return found[1]
        time.sleep(0.01)
    raise RuntimeError(f"the server did not begin to listen: {os.pread(log.fileno(), 1 << 16, 0).decode()}")


def producer(total: int) -> list[str]:
    """A command that writes ``total`` bytes as fast as it can, 64 KiB at a time."""
    return ["dd", "if=/dev/zero", "bs=64K", f"count={total >> 16}", "status=none"]
