"""What the scenarios share: a unit and its journal, a client of its server, and a job that counts."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from jobworker_cli.client import Client, Job, StartOptions
from limits.tools import wait_until as wait
from units.first import ETC, PREFIX

CGROUPS = Path("/sys/fs/cgroup/jobworker.slice")
CALL_SECONDS = 180.0
ENVIRONMENT = {"JOBWORKER_CERTS": str(ETC / "certs"), "PATH": f"{PREFIX}/bin:/usr/bin:/bin"}
_COUNT = """
set -e
for directory in /tmp /var/tmp /dev/shm; do echo kept >$directory/$1; done
i=0
until [ -e "$0" ]; do echo $i; i=$((i + 1)); sleep 0.5; done
for directory in /tmp /var/tmp /dev/shm; do read -r line <$directory/$1; rm $directory/$1; done
exit 3
"""
"""It has files where systemd may remove those of a service that has stopped."""


def wait_until(condition: Callable[[], object], what: str) -> None:
    """As in other guests, with more patience: to start a server takes a while."""
    wait(condition, what, CALL_SECONDS)


def output_of(*command: str) -> str:
    """What a command prints; it succeeds."""
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=ENVIRONMENT, timeout=CALL_SECONDS)
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


@dataclass(frozen=True, slots=True)
class Unit:
    """One of the units."""

    name: str

    def do(self, verb: str, *options: str) -> None:
        """``systemctl VERB``; it succeeds."""
        output_of("systemctl", verb, *options, self.name)

    def __getitem__(self, name: str) -> str:
        """One of its properties."""
        return output_of("systemctl", "show", "--value", f"--property={name}", self.name).strip()

    @property
    def cgroup(self) -> Path:
        return CGROUPS / self.name

    def journal(self) -> list[dict[str, Any]]:
        """What it has written to the journal, in order."""
        lines = output_of("journalctl", "--output=json", f"--identifier={PREFIX.name}-server", f"--unit={self.name}")
        return [json.loads(line) for line in lines.splitlines()]

    def messages(self, text: str) -> list[dict[str, Any]]:
        """Those with a text, when there is one."""
        wait_until(lambda: self._messages(text), text)
        return self._messages(text)

    def _messages(self, text: str) -> list[dict[str, Any]]:
        return [entry for entry in self.journal() if text in entry["MESSAGE"]]


@dataclass(slots=True)
class Served:
    """A unit that serves jobs, that with their cgroups, and a client."""

    server: Unit
    jobs: Unit
    client: Client
    running: list[Counting] = field(default_factory=list)
    """Jobs that are to run on, whatever happens; the first is limited."""
    _number: Iterator[int] = field(default_factory=count)

    @property
    def is_of_root(self) -> bool:
        return not self.server["User"]

    def start(self, *argv: str, **options: Any) -> Job:
        return self.client.start(list(argv), **StartOptions(**{"cwd": "/", **options}))  # type: ignore[typeddict-item]  # they are given as they are

    def run(self, *argv: str, **options: Any) -> str:
        """What a job prints in all."""
        job = self.start(*argv, **options)
        return b"".join(chunk.data for chunk in self.client.output(job.id)).decode()

    def count(self, **options: Any) -> Counting:
        """Start a job that counts, and see it begin."""
        counting = Counting(self, options, f"{next(self._number)}-{self.server.name}")
        counting.see_more()
        self.running.append(counting)
        return counting

    def cgroup_of(self, job: Job) -> Path:
        return self.jobs.cgroup / f"jobworker-{job.id}"

    def wait_until_active(self, other_than: str) -> None:
        """Wait for the unit to be active with another main process."""
        wait_until(
            lambda: self.server["ActiveState"] == "active" and self.server["MainPID"] != other_than, "the unit's return"
        )


class Counting:
    """A job that counts until it is told to end."""

    def __init__(self, served: Served, options: dict[str, Any], name: str) -> None:
        self._client = served.client
        self._end = Path("/var/lib/jobworker", f"end-{name}")
        self._seen = 0
        self.job = served.start("sh", "-c", _COUNT, str(self._end), f"kept-{name}", **options)

    def see_more(self) -> None:
        """Wait for more output than there was; it runs."""
        wait_until(lambda: self._client.status(self.job.id).output_bytes > self._seen, "more output")
        status = self._client.status(self.job.id)
        assert status.state == "running", status
        self._seen = status.output_bytes

    def end(self) -> None:
        """Let it end."""
        self._end.touch()

    def assert_ended_well(self) -> None:
        """It has ended as it was to, and nothing of its output is missing."""
        ended = self._client.wait(self.job.id, timeout=CALL_SECONDS)
        output = b"".join(chunk.data for chunk in self._client.output(self.job.id))
        assert ended.exit_code == 3, (ended, output)
        numbers = output.split()
        assert [int(number) for number in numbers] == list(range(len(numbers)))
