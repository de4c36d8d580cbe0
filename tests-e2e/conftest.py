"""Real certificates, a real server and its clients; nothing of a server or its jobs may be left after it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import jobworker_cli  # noqa: F401  # sets up grpc, so it comes before grpc is imported
from harness.api import Api
from harness.certs import Certs
from harness.cli import Cli
from harness.relay import Relay
from harness.server import Server
from harness.sitting import Sitting
from harness.tmux import Tmux


@pytest.fixture(scope="session")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Certs:
    """What ``jobworker-pki init`` makes, and clients of its CA; not to be changed."""
    return Certs(tmp_path_factory.mktemp("certs"))


@pytest.fixture(scope="module")
def server(certs: Certs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that the tests of a module share."""
    server = Server(certs, tmp_path_factory.mktemp("server"))
    yield server
    server.close()


@pytest.fixture
def own_server(certs: Certs, tmp_path: Path) -> Iterator[Server]:
    """A server of one test, which may do anything to it."""
    server = Server(certs, tmp_path)
    yield server
    server.close()


@pytest.fixture
def cli(server: Server, tmp_path: Path) -> Cli:
    """The command line as a client of the module's server, without a configuration file."""
    return Cli(server, tmp_path)


@pytest.fixture
def own_cli(own_server: Server, tmp_path: Path) -> Cli:
    """The command line as a client of the test's own server."""
    return Cli(own_server, tmp_path)


@pytest.fixture
def relay() -> Iterator[Relay]:
    with Relay() as relay:
        yield relay


@pytest.fixture
def far_cli(own_server: Server, relay: Relay, tmp_path: Path) -> Cli:
    """The command line as a client that reaches the test's own server through the relay."""
    relay.to(own_server.address)
    return Cli(own_server, tmp_path, address=relay.address)


@pytest.fixture
def api(server: Server, certs: Certs) -> Iterator[Api]:
    """The stub of a client that may do everything."""
    with Api(server, certs.full) as api:
        yield api


@pytest.fixture
def tmux(tmp_path: Path) -> Iterator[Tmux]:
    tmux = Tmux(tmp_path / "tmux.sock")
    yield tmux
    tmux.close()


@pytest.fixture
def sit(tmux: Tmux, cli: Cli) -> Sitting:
    """Somebody at terminals, with the command line."""
    return Sitting(tmux, cli)
