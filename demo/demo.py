"""A tour of jobworker: a real server, fresh certificates and the real command line, in a temporary directory.

All of it is gone afterwards, after Ctrl-C or a failure too. It exits with 0 only if all went as it should.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from jobworker_lib import Engine, JobNotRunningError, State

PRINTER = 'for i in 1 2 3 4; do echo "line $i"; sleep 1; done; echo "and one on stderr" >&2; exit 3'
FAMILY = "sleep 1000 & setsid sleep 1001 & wait"
READY = re.compile(r"listening on (\S+)\n")
PATIENCE_SECONDS = 30
BOLD, DIM, PLAIN = ("\033[1m", "\033[2m", "\033[0m") if sys.stdout.isatty() else ("", "", "")


class DemoError(Exception):
    """Something did not go as it should."""


class Shell:
    """Runs commands in one directory, and shows each as a user would type it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("JOBWORKER_")}
        self._environment |= {"XDG_CONFIG_HOME": str(directory), "XDG_STATE_HOME": str(directory)}

    def run(self, *words: str, status: int = 0, capture: bool = False) -> str:
        """Run a command, which must end with this exit status: what it printed, where that is to be captured."""
        with self._spawn(words, stdout=subprocess.PIPE if capture else None) as process:
            try:
                printed = (process.communicate()[0] or b"").decode()
            finally:
                process.terminate()  # of no effect but where the demo is interrupted
        print(printed, end="", flush=True)
        if process.returncode != status:
            raise DemoError(f"{words[0]} ended with exit status {process.returncode} instead of {status}")
        return printed.strip()

    @contextmanager
    def server(self) -> Iterator[None]:
        """Have a server on a free port; at the end neither it nor a job of it is left."""
        log = self._directory / "server.log"
        with log.open("wb") as file:
            process = self._spawn(["jobworker-server", "--listen", "localhost:0"], stderr=file)
        try:
            wait_until(lambda: READY.search(log.read_text()) or process.poll() is not None)
            print(log.read_text(), end="", flush=True)
            ready = READY.search(log.read_text())
            if not ready:
                raise DemoError("the server did not start")
            self._environment["JOBWORKER_SERVER"] = ready[1]
            print(f"{DIM}${PLAIN} export JOBWORKER_SERVER={self._environment['JOBWORKER_SERVER']}", flush=True)
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
            process.terminate()
            process.wait()
            with Engine(self._directory / "jobworker") as engine, suppress(JobNotRunningError):
                for job in engine.list(state=State.RUNNING):
                    job.stop(force=True)

    def _spawn(self, words: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        print(f"{DIM}${PLAIN} {shlex.join(words)}", flush=True)
        program = [sys.executable, "-m", words[0].replace("-", "_"), *words[1:]]
        options |= {"cwd": self._directory, "env": self._environment}
        return subprocess.Popen(program, start_new_session=True, **options)  # Ctrl-C is for the demo alone


def say(text: str) -> None:
    """Tell what comes next."""
    print(f"\n{BOLD}{text}{PLAIN}", flush=True)


def wait_until(condition: Callable[[], object]) -> None:
    """Return as soon as the condition holds."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise DemoError(f"it took longer than {PATIENCE_SECONDS} seconds")
        time.sleep(0.02)


def processes(job_id: str) -> list[str]:
    """The processes of a job, each with its pid and command; all of them have the job's id in their environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"JOBWORKER_JOB_ID={job_id}".encode() in (process / "environ").read_bytes().split(b"\0"):
                found.append(f"{process.name:>9}  {(process / 'cmdline').read_text().replace(chr(0), ' ')}")
    return found


def tour(shell: Shell) -> None:
    """The demo itself."""
    say("Certificates: an authority, one for the server, one each for clients of the roles full and readonly.")
    shell.run("jobworker-pki", "init")
    say("A server, over mutual TLS 1.3.")
    with shell.server():
        say("A job that prints for a few seconds. `start` returns its id at once; `logs` follows it live.")
        job = shell.run("jobworker-cli", "start", "--", "sh", "-c", PRINTER, capture=True)
        shell.run("jobworker-cli", "logs", job)
        say("How it ended.")
        shell.run("jobworker-cli", "status", job)
        say("A long job with two children, one of them in a session of its own, as daemons are.")
        job = shell.run("jobworker-cli", "start", "--", "sh", "-c", FAMILY, capture=True)
        wait_until(lambda: len(processes(job)) == 3)
        print("Its processes:", *processes(job), sep="\n", flush=True)
        say("A readonly client may look at it, and not stop it.")
        shell.run("jobworker-cli", "--name", "readonly", "status", job)
        shell.run("jobworker-cli", "--name", "readonly", "stop", job, status=4)
        print("(exit status 4: not allowed)", flush=True)
        say("Its owner stops it, with all its processes.")
        shell.run("jobworker-cli", "stop", job)
        shell.run("jobworker-cli", "status", job)
        if processes(job):
            raise DemoError("processes of the job are left")
        print("Its processes: none", flush=True)
        say("The end: the server goes, and the temporary directory with it.")


def main() -> int:
    """Run the demo: its exit status."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with tempfile.TemporaryDirectory(prefix="jobworker-demo-") as directory:
            tour(Shell(Path(directory)))
    except KeyboardInterrupt:
        print("\ninterrupted; everything is cleaned up", file=sys.stderr)
        return 130
    except DemoError as error:
        print(f"\nthe demo failed: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
