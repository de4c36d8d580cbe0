"""Runs the soak and prints its figures, in Markdown: ``python -m soak.run [--minutes N] [--seed N]``."""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import jobworker_cli  # noqa: F401  # sets up grpc, so it comes before grpc is imported
from conformance.processes import wait_until
from harness.certs import Certs
from harness.server import clean_environment
from jobworker_cli.client import Client, ClientError, Credentials, JobState
from soak import figures, verdict
from soak.killing import FORK_SERVER, KEEPER, SHIM, Killer, engine_processes
from soak.work import LABEL, work

_CLIENTS = 8
_MOST_RUNNING = 6
"""Fewer than the clients start, so that some jobs are queued."""
_UNENDED = (JobState.QUEUED, JobState.STARTING, JobState.RUNNING)
_HERE = Path(__file__).resolve()
_PATIENCE_SECONDS = 60.0
_PAUSES = {SHIM: 1.5, "client": 3.0, KEEPER: 5.0, FORK_SERVER: 12.0, "server": 40.0}
"""Seconds between two kills, on average."""
_MORE_DESCRIPTORS = 12
"""That an idle server may have in the end: of its database, fork server, events, and of what gRPC keeps."""
_MOST_GROWTH_KIB = 1024
"""A minute, of a warm server; what was seen is a quarter, less with each minute."""


class Soak:
    """A server, its clients, and who kills them."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.directory = directory
        self.state_dir = directory / "state"
        self.seed = seed
        self.dice = random.Random(seed)  # noqa: S311  # to be repeated, not to be secret
        self.killer = Killer(self.state_dir, self.dice)
        self.certs = Certs(directory / "certs")
        self.address = f"localhost:{_free_port()}"
        self.reports: list[Path] = []
        self.clients: list[subprocess.Popen[bytes]] = []
        self.descriptors: tuple[int, ...] = ()
        """Of the last server without a client, in the beginning and in the end."""
        self.server = self._start_server()

    def run(self, seconds: float) -> None:
        """Kill at random for so long."""
        due = {role: time.monotonic() + pause for role, pause in _PAUSES.items()}
        end = time.monotonic() + seconds
        last_server = end - seconds / 2  # then it lives on, to see whether it grows
        for _ in range(_CLIENTS):
            self._start_client()
        while (now := time.monotonic()) < end:
            for role in [role for role, at in due.items() if at <= now]:
                self._kill(role)
                due[role] = time.monotonic() + self.dice.uniform(0.5, 1.5) * _PAUSES[role]
                if due["server"] > last_server:
                    due["server"] = end + 1
            time.sleep(max(0.0, min(*due.values(), end) - time.monotonic()))

    def finish(self) -> None:
        """Let clients end what they are at, end what would not end by itself, and stop the server."""
        for process in self.clients:
            process.send_signal(signal.SIGUSR1)  # should it hang, its log tells where
            process.communicate(timeout=_PATIENCE_SECONDS)
        with self._client() as client:
            for job in client.list(states=_UNENDED, all_owners=True):
                if work(self.seed, int(job.labels[LABEL])).handling != "watch":
                    try:
                        client.stop(job.id, force=True)
                    except ClientError as error:
                        print(f"stop {job.id}: {error}", file=sys.stderr)
            for job in client.list(all_owners=True):
                client.wait(job.id)
        self.descriptors += (_descriptors(self.server.pid),)
        self.server.terminate()
        self.server.wait(_PATIENCE_SECONDS)
        wait_until(lambda: not engine_processes(self.state_dir), "the end of all processes of the engine")

    def close(self) -> None:
        """Leave no process, whatever went wrong."""
        for process in (self.server, *self.clients):
            process.kill()
            process.wait()

    def processes(self) -> list[tuple[str, int]]:
        """Those whose figures are taken."""
        return [("jobworker-server", self.server.pid), *engine_processes(self.state_dir)]

    @property
    def log(self) -> Path:
        """Of all servers, one after the other."""
        return self.directory / "server.log"

    def _kill(self, role: str) -> None:
        if role == SHIM:
            self.killer.kill_shim()
        elif role in (FORK_SERVER, KEEPER):
            self.killer.kill_all(role)
        elif role == "server":
            self.server.kill()
            self.server.wait()
            self.killer.counts["server"] += 1
            self.server = self._start_server()
        else:
            victim = self.dice.randrange(len(self.clients))
            self.clients[victim].kill()
            self.clients.pop(victim).communicate()
            self.killer.counts["client"] += 1
            self._start_client()

    def _start_server(self) -> subprocess.Popen[bytes]:
        options = ["--listen", self.address, "--certs", str(self.certs.directory), "--state-dir", str(self.state_dir)]
        options += ["--max-running", str(_MOST_RUNNING)]
        with self.log.open("ab") as log:
            begin = log.tell()
            process = subprocess.Popen(
                [sys.executable, "-m", "jobworker_server", *options],
                stdout=subprocess.DEVNULL,
                stderr=log,
                env=clean_environment(),
            )
        wait_until(lambda: b"listening on" in self.log.read_bytes()[begin:], "the server's readiness line")
        self.descriptors = (_descriptors(process.pid),)
        return process

    def _start_client(self) -> None:
        number = len(self.reports)
        self.reports.append(self.directory / f"report-{number}")
        self.reports[-1].touch()
        arguments = [self.address, self.certs.directory, self.reports[-1], self.seed, number, 1000]
        with (self.directory / "clients.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "soak.client", *map(str, arguments)],
                stdin=subprocess.PIPE,
                stderr=log,
                env={**clean_environment(), "PYTHONPATH": str(_HERE.parents[1])},
            )
        self.clients.append(process)

    def _client(self) -> Client:
        return Client(self.address, Credentials.from_directory(self.certs.directory))


def main() -> None:
    """Run it; the exit status is 1 where something was lost, wrong or left."""
    parser = argparse.ArgumentParser(description="A server under fire; nothing may be lost, be wrong or leak.")
    parser.add_argument("--minutes", type=float, default=10.0, help="how long; 10 by default")
    parser.add_argument("--seed", type=int, default=os.getpid(), help="of the jobs, to have the same again")
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}, {arguments.minutes:g} minutes, {os.cpu_count()} cores", flush=True)
    directory = Path(tempfile.mkdtemp(prefix="jobworker-soak-"))
    soak = Soak(directory, arguments.seed)
    try:
        sampler = figures.Sampler(soak.processes)
        sampler.start()
        soak.run(arguments.minutes * 60)
        taken = sampler.stop()
        soak.finish()
    finally:
        soak.close()
    found = verdict.judge(soak.state_dir, soak.reports, arguments.seed, soak.killer.victims)
    log = soak.log.read_text()
    faults = [line for line in log.splitlines() if "Traceback" in line]
    found.expect(not faults, f"there are {len(faults)} tracebacks in the server's log")
    first, last = soak.descriptors
    found.expect(last <= first + _MORE_DESCRIPTORS, f"the idle server had {first} descriptors, and has {last}")
    growth = taken.growth_kib_a_minute("jobworker-server") or 0
    found.expect(growth < _MOST_GROWTH_KIB, f"the server grows by {growth:.0f} KiB a minute")
    _show(soak, taken, found)
    if found.faults:
        print(f"\n{len(found.faults)} faults; all is kept in {directory}")
        print("\n".join(f"* {fault}" for fault in found.faults[:50]))
        sys.exit(1)
    shutil.rmtree(directory)


def _show(soak: Soak, taken: figures.Figures, found: verdict.Verdict) -> None:
    rows: list[tuple[str, int]] = [
        ("starts that returned", found.told["started"]),
        ("jobs seen to their end", found.told["ended"]),
        ("jobs deleted", found.told["deleted"]),
        ("jobs kept", sum(found.states.values())),
        ("output kept and compared, MiB", found.output_bytes >> 20),
        ("descriptors of the idle server, in the beginning", soak.descriptors[0]),
        ("descriptors of the idle server, in the end", soak.descriptors[1]),
    ]
    for title, counts in (("killed", soak.killer.counts), ("kind", found.kinds), ("kept, now", found.states)):
        rows += [(f"{title}: {name}", count) for name, count in sorted(counts.items())]
    print("\n| | |\n| --- | ---: |")
    for name, count in rows:
        print(f"| {name} | {count} |")
    print(f"\n| {' | '.join(figures.HEADINGS)} |\n| --- |{' ---: |' * (len(figures.HEADINGS) - 1)}")
    for row in taken.rows():
        print(f"| {' | '.join(row)} |")
    print(f"\n{len(found.faults)} faults", flush=True)


def _descriptors(pid: int) -> int:
    """How many a process has open; 0 where it is the server, which only root may look into."""
    with suppress(PermissionError):
        return len(os.listdir(f"/proc/{pid}/fd"))
    return 0


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    main()
