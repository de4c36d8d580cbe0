"""Certificates made by the real tool, a scripted server behind real mutual TLS, and the command line as a process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli_process import TIMEOUT_SECONDS, Cli, Spawn, command_line
from jobworker_cli.client import Client, Credentials
from scripted_server import ScriptedServer


@pytest.fixture(scope="session", autouse=True)
def signals_as_in_a_shell() -> None:
    """Whoever runs the tests may ignore some, as ``nohup`` and a shell's ``&`` do, and commands rightly go on so."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("pki") / "certs"
    make_certificates(directory)
    return directory


@pytest.fixture(scope="session")
def other_certs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates of another authority."""
    directory = tmp_path_factory.mktemp("other-pki") / "certs"
    make_certificates(directory)
    return directory


@pytest.fixture
def server(certs: Path) -> Iterator[ScriptedServer]:
    with ScriptedServer(certs) as server:
        yield server


@pytest.fixture
def client(server: ScriptedServer, certs: Path) -> Iterator[Client]:
    with Client(server.address, Credentials.from_directory(certs)) as client:
        yield client


@pytest.fixture
def environment(certs: Path, tmp_path: Path) -> dict[str, str]:
    """An environment in which nothing of the caller's own configuration counts."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("JOBWORKER_", "GRPC_"))}
    return inherited | {"XDG_CONFIG_HOME": str(tmp_path / "config"), "JOBWORKER_CERTS": str(certs), "COLUMNS": "80"}


@pytest.fixture
def cli(environment: dict[str, str], tmp_path: Path, request: pytest.FixtureRequest) -> Cli:
    """Run the command line to its end, against the scripted server where the test has one."""
    if "server" in request.fixturenames:
        environment["JOBWORKER_SERVER"] = request.getfixturevalue("server").address

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command_line(*arguments),
            env=environment | variables,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )

    return run


@pytest.fixture
def spawn(environment: dict[str, str], server: ScriptedServer) -> Iterator[Spawn]:
    """Start the command line with pipes, and end it with the test."""
    started = []

    def popen(*arguments: str, stderr: int = subprocess.PIPE) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            command_line(*arguments),
            env=environment | {"JOBWORKER_SERVER": server.address},
            stdout=subprocess.PIPE,
            stderr=stderr,
        )
        started.append(process)
        return process

    yield popen
    for process in started:
        process.kill()
        process.communicate(timeout=TIMEOUT_SECONDS)


def make_certificates(directory: Path) -> None:
    command = [sys.executable, "-m", "jobworker_pki", "init", "--dir", str(directory)]
    subprocess.run(command, check=True, capture_output=True, timeout=TIMEOUT_SECONDS)
