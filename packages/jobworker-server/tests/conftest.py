"""Certificates, a real server in a process of its own, and clients of each role."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import jobworker_server  # noqa: F401  sets up grpc, so it comes before grpc is imported
from server_testing import Authority, Client, ServerProcess


@pytest.fixture(scope="session")
def authority() -> Authority:
    """The CA that the servers of the tests trust."""
    return Authority("test CA")


@pytest.fixture(scope="session")
def server_certs(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory as jobworker-pki would make it; not to be changed."""
    return authority.write_server_files(tmp_path_factory.mktemp("certs"))


@pytest.fixture(scope="module")
def server(server_certs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that the tests of a module share."""
    with ServerProcess(server_certs, tmp_path_factory.mktemp("state")) as process:
        yield process


@pytest.fixture(scope="module")
def connect(authority: Authority, server: ServerProcess) -> Iterator[Callable[..., Client]]:
    """Makes clients of the shared server: ``connect(name, role)``; its jobs are stopped at the end."""
    clients: list[Client] = []

    def make(name: str, role: str) -> Client:
        clients.append(Client(server.address, authority.client(name, role), authority))
        return clients[-1]

    yield make
    make("cleaner", "full").stop_all()
    for client in clients:
        client.close()


@pytest.fixture(scope="module")
def full(connect: Callable[..., Client]) -> Client:
    """A client that may do everything."""
    return connect("boss", "full")


@pytest.fixture
def own_certs(server_certs: Path, tmp_path: Path) -> Path:
    """Certificates that a test may change."""
    return Path(shutil.copytree(server_certs, tmp_path / "certs"))


@pytest.fixture
def own_server(own_certs: Path, tmp_path: Path) -> Iterator[ServerProcess]:
    """A server that a test has for itself."""
    with ServerProcess(own_certs, tmp_path / "state") as process:
        yield process


@pytest.fixture
def own_client(own_server: ServerProcess, authority: Authority) -> Iterator[Client]:
    client = Client(own_server.address, authority.client("ann", "full"), authority)
    yield client
    client.stop_all()
    client.close()
