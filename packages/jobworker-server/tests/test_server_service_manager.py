"""What a server tells the service manager that has started it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jobworker_server.service_manager import ServiceManager
from server_testing import TIMEOUT, Authority, Client, ServerProcess, wait_until


class Manager:
    """The socket of a service manager, and what has been told."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self._socket.settimeout(TIMEOUT)

    def told(self) -> list[str]:
        """The next message."""
        return self._socket.recv(4096).decode().split("\n")

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def name() -> Iterator[str]:
    """One that is short enough for a socket."""
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        yield f"{directory}/notify"


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, name: str) -> Iterator[Manager]:
    manager = Manager(name if request.param == "path" else f"@{name}")
    yield manager
    manager.close()


@contextmanager
def started_by(manager: Manager, certs: Path, state_dir: Path, **variables: str) -> Iterator[ServerProcess]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"NOTIFY_SOCKET": manager.address, **variables}.items():
            patch.setenv(name, value)
        server = ServerProcess(certs, state_dir)
    with server:
        yield server


def test_it_is_told_when_the_server_is_ready_reloads_and_stops(
    manager: Manager, server_certs: Path, tmp_path: Path, authority: Authority
) -> None:
    with started_by(manager, server_certs, tmp_path / "state") as server:
        assert manager.told() == ["READY=1", f"STATUS=listening on {server.address}"]
        client = Client(server.address, authority.client("ann", "full"), authority)
        assert b"NOTIFY_SOCKET" not in client.output(client.start("env").id)
        client.close()
        for _ in range(2):
            server.process.send_signal(signal.SIGHUP)
            first, time = manager.told()
            assert first == "RELOADING=1"
            assert time.removeprefix("MONOTONIC_USEC=").isdecimal()
            assert manager.told() == ["READY=1"]
        server.process.send_signal(signal.SIGTERM)
        assert manager.told()[0] == "STOPPING=1"
        assert server.process.wait(TIMEOUT) == 0
    assert "can't be told" not in server.log


def test_it_is_told_that_the_server_lives(manager: Manager, server_certs: Path, tmp_path: Path) -> None:
    with started_by(manager, server_certs, tmp_path / "state", WATCHDOG_USEC="200000"):
        assert manager.told()[0] == "READY=1"
        assert [manager.told() for _ in range(3)] == [["WATCHDOG=1"]] * 3


def test_one_that_is_gone_is_no_reason_to_stop(name: str, server_certs: Path, tmp_path: Path) -> None:
    manager = Manager(name)
    manager.close()
    with started_by(manager, server_certs, tmp_path / "state") as server:
        wait_until(lambda: f"at {manager.address} can't be told READY=1: [Errno 111]" in server.log)
        assert server.process.poll() is None


@pytest.mark.parametrize(
    ("environ", "is_told"),
    [
        ({}, False),
        ({"NOTIFY_SOCKET": ""}, False),
        ({"WATCHDOG_USEC": "2000000"}, False),
        ({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "2000000"}, True),
        ({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "2000000", "WATCHDOG_PID": str(os.getpid())}, True),
        ({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "1"}, False),
        ({"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "soon"}, False),
    ],
)
def test_variables_are_taken_out_of_the_environment(environ: dict[str, str], is_told: bool) -> None:
    manager = ServiceManager(environ)
    assert environ == {}
    assert (manager._pause_seconds == 1.0) is is_told


def test_in_the_journal_lines_have_priorities_and_no_time(server_certs: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with open(log, "wb") as file:
        found = os.fstat(file.fileno())
        environment = {**os.environ, "JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}
        command = [sys.executable, "-m", "jobworker_server", "--listen", "localhost:0", "--state-dir"]
        process = subprocess.Popen(
            [*command, f"{tmp_path}/state", "--certs", str(server_certs)], stderr=file, env=environment
        )
        with process:
            try:
                wait_until(lambda: "<6>INFO listening on localhost:" in log.read_text())
            finally:
                process.terminate()
        subprocess.run([*command, f"{tmp_path}/state", "--certs", "/none"], stderr=file, env=environment, check=False)
    lines = log.read_text().splitlines()
    assert lines[0].startswith("<6>INFO listening on localhost:")
    assert lines[-1].startswith("<3>jobworker-server: /none/ca.pem does not exist")
