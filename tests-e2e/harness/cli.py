"""The real command line, a process for each command."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conformance.processes import PATIENCE_SECONDS
from harness.certs import Pair
from harness.server import Server, clean_environment


@dataclass(frozen=True)
class Result:
    """How a command ended, and what it wrote."""

    status: int
    stdout: bytes
    stderr: bytes

    @property
    def out(self) -> str:
        """The standard output as text without its last line's end."""
        return self.stdout.decode().removesuffix("\n")

    @property
    def err(self) -> str:
        return self.stderr.decode()


class Cli:
    """Runs ``python -m jobworker_cli`` as a client of one server, wherever it listens at the time."""

    def __init__(self, server: Server, config_home: Path, address: str = "") -> None:
        """``address``: where to connect to instead."""
        self._server = server
        self._address = address
        self._config_home = config_home

    def __call__(self, *arguments: object, status: int = 0, client: Pair | None = None) -> Result:
        """Run a command to its end, which must be with this exit status and never with a traceback."""
        process = subprocess.run(
            self.command(*arguments),
            env=self.environment(client),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        result = Result(process.returncode, process.stdout, process.stderr)
        assert result.status == status, result
        assert b"Traceback" not in result.stderr, result
        return result

    def start(self, argv: list[str], *options: object) -> str:
        """Start a job: its id."""
        return self("start", *options, "--", *argv).out

    def json(self, *arguments: object, command: Sequence[str] = ()) -> Any:
        """What it prints with ``-o json``; ``command`` is what a job runs."""
        return json.loads(self(*arguments, "-o", "json", *command).stdout)

    @contextmanager
    def running(self, *arguments: object, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
        """A command in the background; at the end of the block it is killed if it still runs."""
        with subprocess.Popen(
            self.command(*arguments),
            env=self.environment(),
            **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    @staticmethod
    def command(*arguments: object) -> list[str]:
        return [sys.executable, "-m", "jobworker_cli", *map(str, arguments)]

    def environment(self, client: Pair | None = None) -> dict[str, str]:
        """Settings by which a command finds the server, as ``client`` or as the client ``full``."""
        pair = client or self._server.certs.full
        return clean_environment() | {
            "JOBWORKER_SERVER": self._address or self._server.address,
            "JOBWORKER_CA": str(self._server.certs.ca),
            "JOBWORKER_CERT": str(pair.cert),
            "JOBWORKER_KEY": str(pair.key),
            "XDG_CONFIG_HOME": str(self._config_home),
        }
