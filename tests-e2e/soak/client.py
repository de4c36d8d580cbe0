"""A client of the soak, a process of its own: ``python -m soak.client SERVER CERTS REPORT SEED FIRST STEP``.

It starts the jobs FIRST, FIRST + STEP, and so on, sees each to its end, deletes some, and writes to REPORT, a line of
JSON each, what the server has said of them. It ends when its standard input does.
"""

from __future__ import annotations

import faulthandler
import json
import os
import random
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path

from jobworker_cli.client import Client, ClientError, Credentials, RestartPolicy
from jobworker_cli.errors import JobNotRunningError
from soak.work import LABEL, Work, digest, work

_DELETED_SHARE = 0.5


class SoakClient:
    """Sees one job after another through its life."""

    def __init__(self, client: Client, report: Path, seed: int) -> None:
        self._client = client
        self._report = os.open(report, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._seed = seed
        self._dice = random.Random()  # noqa: S311  # which jobs are deleted is of no importance

    def live(self, number: int) -> None:
        """A job's life. ClientError where the server was away for too long."""
        plan = work(self._seed, number)
        restart = RestartPolicy(max_restarts=plan.restarts, backoff=0.05) if plan.restarts else None
        job = self._client.start(
            plan.argv,
            labels={LABEL: str(number)},
            timeout=plan.timeout,
            restart=restart,
            stdin=plan.handling == "feed",
        )
        self._tell("started", number, job.id)
        self._handle(plan, job.id)
        output = self._read(job.id)
        ended = self._client.wait(job.id)
        self._tell("ended", number, job.id, end=ended.describe(), output=output)
        if self._dice.random() < _DELETED_SHARE:
            self._tell("deleting", number, job.id)
            self._client.delete(job.id)
            self._tell("deleted", number, job.id)

    def _handle(self, plan: Work, job_id: str) -> None:
        if plan.handling == "feed":
            try:
                with self._client.attach(job_id) as attachment:
                    attachment.write(plan.input)
                    attachment.close_input()
                    for _ in attachment.output():
                        pass
            except ClientError:
                self._stop(job_id)  # or else it would wait for the rest of its input
        elif plan.handling == "stop":
            for _ in self._client.output(job_id):
                break
            self._stop(job_id)

    def _stop(self, job_id: str) -> None:
        with suppress(JobNotRunningError):
            self._client.stop(job_id, grace=0.1)

    def _read(self, job_id: str) -> dict[str, str]:
        parts: dict[str, list[bytes]] = {"stdout": [], "stderr": []}
        for chunk in self._client.output(job_id):
            parts[chunk.stream].append(chunk.data)
        return {stream: digest(data) for stream, data in parts.items()}

    def _tell(self, what: str, number: int, job_id: str, **more: object) -> None:
        os.write(self._report, json.dumps({"what": what, "number": number, "id": job_id, **more}).encode() + b"\n")


def main() -> None:
    """Go on until the standard input ends."""
    server, certs, report, seed, number, step = sys.argv[1:]
    over = threading.Event()
    faulthandler.register(signal.SIGUSR1)
    threading.Thread(target=_wait_for_end_of_input, args=[over], daemon=True).start()
    credentials = Credentials.from_directory(Path(certs))
    with Client(server, credentials) as client:
        soak = SoakClient(client, Path(report), int(seed))
        current = int(number)
        while not over.is_set():
            try:
                soak.live(current)
            except ClientError as error:
                print(f"job {current}: {error}", file=sys.stderr)
                over.wait(0.2)
            current += int(step)


def _wait_for_end_of_input(over: threading.Event) -> None:
    os.read(sys.stdin.fileno(), 1)
    over.set()


if __name__ == "__main__":
    main()
