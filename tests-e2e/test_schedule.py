"""Guards what is said of turns, attempts and timeouts, from the command line to the process, with servers that die."""

from __future__ import annotations

import os
import pty
import random
import signal
import subprocess
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import pytest

from conformance.jobs import SLEEPER, awaiting, sh
from conformance.processes import PATIENCE_SECONDS, wait_until
from harness.api import Api
from harness.certs import Certs
from harness.cli import Cli
from harness.server import Server
from jobworker.v1 import job_pb2

OpenServer = Callable[..., Server]


@pytest.fixture
def open_server(certs: Certs, tmp_path: Path) -> Iterator[OpenServer]:
    """Opens a server of the test's own with these options."""
    opened: list[Server] = []

    def open_with(*options: object) -> Server:
        opened.append(Server(certs, tmp_path, options=list(map(str, options))))
        return opened[-1]

    yield open_with
    for server in opened:
        server.close()


@pytest.fixture
def one(open_server: OpenServer) -> Server:
    """A server on which one job runs at a time."""
    return open_server("--max-running", 1)


@pytest.fixture
def one_cli(one: Server, tmp_path: Path) -> Cli:
    return Cli(one, tmp_path)


def recorded(path: Path, name: object) -> list[str]:
    """A command that writes its name down when it is executed."""
    return sh('echo "$1" >> "$2"', name, path)


def names(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def test_the_queue_goes_on_while_the_server_is_dead(one: Server, one_cli: Cli, tmp_path: Path) -> None:
    first = one_cli.start(sh(awaiting(tmp_path / "gate")))
    jobs = [one_cli.start(recorded(tmp_path / "ran", number), "--priority", -number) for number in range(4)]
    assert one_cli("status", jobs[0]).out == "queued"
    assert [job["id"] for job in one_cli.json("list", "--state", "queued")] == [*reversed(jobs)]
    one.kill()
    (tmp_path / "gate").touch()
    wait_until(lambda: len(names(tmp_path / "ran")) == 4, "all jobs that were queued")
    one.start()
    for job_id in (first, *jobs):
        one_cli("wait", job_id)
    assert names(tmp_path / "ran") == ["0", "1", "2", "3"]


def test_a_repeated_start_is_one_job_though_servers_die_between_accept_and_answer(
    open_server: OpenServer, certs: Certs, tmp_path: Path
) -> None:
    server = open_server("--max-running", 3)
    chosen = random.Random(3)  # noqa: S311  # to be repeated, not to be secret
    over = threading.Event()
    answers: dict[str, set[str]] = {f"request-{number}": set() for number in range(40)}

    def start(request_id: str) -> None:
        """Until there were two answers, whatever dies meanwhile."""
        received = 0
        while received < 2:
            assert not over.is_set()
            wait_until(lambda: server.address, "the server's address")
            with suppress(grpc.RpcError), Api(server, certs.full) as api:
                job = api.start(recorded(tmp_path / "ran", request_id), request_id=request_id)
                answers[request_id].add(job.id)
                received += 1

    def kill() -> None:
        for _ in range(4):
            if over.wait(chosen.uniform(0.1, 0.6)):
                return
            server.kill()
            server.start()

    with ThreadPoolExecutor(5) as pool:
        try:
            killing = pool.submit(kill)
            list(pool.map(start, answers, timeout=100))
        finally:
            over.set()
        killing.result()
    assert [len(ids) for ids in answers.values()] == [1] * 40
    with Api(server, certs.full) as api:
        ends = Counter(api.wait(job.id).state for job in api.list())
    assert ends == {job_pb2.JOB_STATE_EXITED: 40}
    assert Counter(names(tmp_path / "ran")) == dict.fromkeys(answers, 1)


def test_run_waits_for_its_turn_and_says_so_on_a_terminal(one_cli: Cli) -> None:
    first = one_cli.start(SLEEPER)
    terminal, end = pty.openpty()
    with _run(one_cli, "echo", "hi", stderr=end) as process:
        os.close(end)
        assert b"is queued: as many jobs run as may; Ctrl-C cancels it" in os.read(terminal, 4096)
        one_cli("stop", first)
        assert process.communicate(timeout=PATIENCE_SECONDS)[0] == b"hi\n"
        assert process.returncode == 0
    os.close(terminal)


def test_ctrl_c_cancels_a_queued_job(one_cli: Cli, tmp_path: Path) -> None:
    one_cli.start(SLEEPER)
    with _run(one_cli, *recorded(tmp_path / "ran", "x"), stderr=subprocess.PIPE) as process:
        wait_until(lambda: one_cli.json("list", "--state", "queued"), "the queued job")
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=PATIENCE_SECONDS) == (b"", b"")
        assert process.returncode == 128 + signal.SIGTERM
    (cancelled,) = one_cli.json("list", "--state", "stopped")
    assert (cancelled["reason"], cancelled["started_at"], cancelled["attempts"]) == ("stopped", None, [])
    one_cli("rm", cancelled["id"])
    assert names(tmp_path / "ran") == []


def test_a_start_deadline_that_passes(one_cli: Cli) -> None:
    one_cli.start(SLEEPER)
    failed = one_cli("run", "--start-deadline", "0.2", "true", status=125)
    assert "failed (the start deadline has passed: it was still queued after 0.2 seconds)" in failed.err


def test_a_command_that_is_repeated_with_its_request_id_starts_one_job(cli: Cli, tmp_path: Path) -> None:
    command, once = recorded(tmp_path / "ran", "once"), ("--request-id", uuid.uuid4())
    first = cli.start(command, *once)
    assert cli.start(command, *once) == first
    cli("run", *once, "--", *command)
    assert cli("wait", first).status == 0
    assert names(tmp_path / "ran") == ["once"]
    assert cli.start(recorded(tmp_path / "ran", "again")) != first


def test_a_full_server_that_refuses(open_server: OpenServer, certs: Certs, tmp_path: Path) -> None:
    server = open_server("--max-running-per-owner", 1, "--when-full", "refuse")
    cli = Cli(server, tmp_path)
    first = cli.start(SLEEPER)
    for command in ("start", "run"):
        refused = cli(command, "true", status=1)
        assert "error: as many of your jobs run as may: 1" in refused.err
        assert "hint: try again when one has ended" in refused.err
    assert cli("run", "echo", "hi", client=certs.client("user", "ann")).out == "hi"
    cli("stop", first)
    assert cli("run", "echo", "hi").out == "hi"


def test_bounds_of_the_configuration_file(open_server: OpenServer, tmp_path: Path) -> None:
    (tmp_path / "server.yaml").write_text("maxRunning: 1\nmaxQueued: 0\n")
    cli = Cli(open_server("--config", tmp_path / "server.yaml"), tmp_path)
    cli.start(SLEEPER)
    refused = cli("start", "true", status=1)
    assert "as many jobs run as may: 1, and as many wait as may: 0" in refused.err


def test_attempts_of_a_command_that_fails(cli: Cli, tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    script = f"echo >> '{counter}'; n=$(wc -l < '{counter}'); echo attempt $n; [ $n -ge 3 ] || exit $n"
    ran = cli("run", "--restart", 5, "--restart-backoff", "0.05", "--", *sh(script))
    assert ran.out == "attempt 1\nattempt 2\nattempt 3"
    job = cli.json("list")[0]
    assert [(attempt["number"], attempt["exit_code"]) for attempt in job["attempts"]] == [(1, 1), (2, 2), (3, 0)]
    for number in (1, 2, 3):
        assert cli("logs", "--attempt", number, job["id"]).out == f"attempt {number}"
    assert "there are 1 to 3" in cli("logs", "--attempt", 4, job["id"], status=2).err


def test_a_timeout_is_changed_from_the_command_line(cli: Cli) -> None:
    job_id = cli.start(SLEEPER, "--timeout", 1000)
    assert cli("update", "--timeout", 2000, job_id).stdout == b""
    assert cli.json("status", job_id)["timeout"] == 2000
    assert cli.json("update", "--timeout", "none", job_id)["timeout"] is None
    cli("update", "--timeout", 0.01, job_id)
    assert "timed out" in cli("wait", job_id, status=128 + signal.SIGTERM).out
    assert "is not running" in cli("update", "--timeout", 5, job_id, status=1).err


def _run(cli: Cli, *command: str, stderr: Any) -> subprocess.Popen[bytes]:
    """``run`` in the background, with its own standard error."""
    return subprocess.Popen(
        cli.command("run", "--", *command),
        env=cli.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
    )
