"""A client's certificate through its whole life, and that of a CA, in front of a server that is never restarted."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

from conformance.jobs import SLEEPER
from conformance.processes import PATIENCE_SECONDS, wait_until
from harness.api import Api, failing
from harness.certs import Certs, Pair, pki
from harness.cli import Cli
from harness.server import Server


@dataclass
class Person:
    """Somebody with a directory of her own, who has nothing of the CA but what was sent to her."""

    home: Path
    certs: Certs
    name: str = "ann"

    @property
    def pair(self) -> Pair:
        return Pair(self.home / f"{self.name}.pem", self.home / f"{self.name}.key")

    def ask(self, role: str) -> None:
        data = self.home / "registration.yaml"
        data.write_text(f"name: {self.name}\nemail: {self.name}@example.org\nrole: {role}\ndays: 7\n")
        pki("request", data, "--dir", self.home)

    def receive(self, *approval: object) -> None:
        """What the holder of the CA approves of what was asked for is sent, and put in its place."""
        ca = self.certs.directory
        pki("approve", self.home / f"{self.name}.csr", "--yes", "--dir", ca, *approval)
        pki("install", ca / f"{self.name}.pem", "--ca", ca / "ca.pem", "--yes", "--dir", self.home)


@pytest.fixture(params=["root", "intermediate"])
def own_certs(request: pytest.FixtureRequest, tmp_path: Path) -> Certs:
    """Of a CA of its own; below a root, the root's key is away."""
    if request.param == "root":
        return Certs(tmp_path / "certs")
    certs = Certs(tmp_path / "certs", "--intermediate")
    (tmp_path / "certs" / "ca.key").rename(tmp_path / "ca.key")
    return certs


@pytest.fixture
def life_server(own_certs: Certs, tmp_path: Path) -> Iterator[Server]:
    server = Server(own_certs, tmp_path / "server-home")
    yield server
    server.close()


@pytest.fixture(autouse=True)
def home(tmp_path: Path) -> None:
    (tmp_path / "server-home").mkdir()


def refused_with(api: Api, job_id: str) -> str:
    """The reason for which a call is refused at last; empty as long as it is not."""
    try:
        api.status(job_id)
    except grpc.RpcError:
        with failing() as failure:
            api.status(job_id)
        return failure.reason
    return ""


def test_from_the_request_to_the_revocation(life_server: Server, own_certs: Certs, tmp_path: Path) -> None:
    ann = Person(tmp_path / "ann", own_certs)
    ann.home.mkdir()
    ann.ask("full")
    ann.receive("--role", "user")
    cli = Cli(life_server, tmp_path)
    theirs = cli.start(SLEEPER)
    own = cli("start", "--", *SLEEPER, client=ann.pair).out
    cli("stop", theirs, client=ann.pair, status=3)

    pki("renew", ann.name, "--new-key", "--dir", ann.home)
    assert cli("status", own, client=ann.pair).out == "running"  # with the old one, which is in its place still
    old = Pair(ann.home / "ann.pem.old", ann.home / "ann.key.old")
    ann.receive()
    for pair in (ann.pair, old):
        assert cli("status", own, client=pair).out == "running"

    with Api(life_server, ann.pair) as connected:
        assert connected.status(own).id == own
        command = cli.command("logs", own)
        with subprocess.Popen(command, env=cli.environment(ann.pair), stderr=subprocess.PIPE, text=True) as follower:
            pki("revoke", ann.name, "--reason", "key-compromise", "--dir", own_certs.directory)
            wait_until(lambda: refused_with(connected, own) == "CERTIFICATE_REVOKED", "the revocation to arrive")
            _, error = follower.communicate(timeout=PATIENCE_SECONDS)
        assert (follower.returncode, "revoked" in error) == (4, True), error
    for pair in (ann.pair, old):
        assert "revoked" in cli("status", own, client=pair, status=4).err
    assert cli("status", own).out == "running"


def test_a_new_ca_in_front_of_running_clients(life_server: Server, own_certs: Certs, tmp_path: Path) -> None:
    ca = own_certs.directory
    ann, bob = Person(tmp_path / "ann", own_certs), Person(tmp_path / "bob", own_certs, "bob")
    for person in (ann, bob):
        person.home.mkdir()
        person.ask("user")
        person.receive()
    pki("rotate-ca", "--dir", ca)
    cli = Cli(life_server, tmp_path)
    with Api(life_server, bob.pair) as stays_behind:
        job_id = stays_behind.start(SLEEPER).id
        pki("renew", "--due", "--dir", ca)
        pki("install", ca / "ann.pem", "--ca", ca / "ca.pem", "--yes", "--dir", ann.home)

        def is_accepted() -> bool:
            with Api(life_server, ann.pair) as api:
                return refused_with(api, job_id) == "JOB_NOT_FOUND"

        wait_until(is_accepted, "a certificate of the new CA to be accepted")
        assert stays_behind.status(job_id).id == job_id
        pki("rotate-ca", "--finish", "--yes", "--dir", ca)
        wait_until(lambda: refused_with(stays_behind, job_id) == "CERTIFICATE_NOT_TRUSTED", "the old CA to be dropped")
    wait_until(is_accepted, "the new CA to be trusted on")
    assert cli("status", job_id).out == "running"


@pytest.mark.parametrize("key_type", ["ecdsa-p384", "rsa-4096"])
def test_other_kinds_of_keys(key_type: str, tmp_path: Path) -> None:
    server = Server(Certs(tmp_path / "certs", "--key-type", key_type), tmp_path / "server-home")
    try:
        assert Cli(server, tmp_path)("run", "--", "echo", "hi").out == "hi"
    finally:
        server.close()
