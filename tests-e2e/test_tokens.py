"""Roles in tokens, from the command that makes them to the end of what is open when they end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import grpc
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from conformance.jobs import SLEEPER
from conformance.processes import wait_until
from harness.api import Api, Failure, failing
from harness.certs import Certs, Pair, pki
from harness.cli import Cli
from harness.server import Server

CONFIG = """
identity:
  roleSources: [token, extension]
  tokens: {key: token.pub, audience: this server}
"""


@pytest.fixture
def client(certs: Certs) -> Pair:
    """A client whose certificate says a role that may do little."""
    return certs.client("observer", "ann")


class Tokens:
    """Makes tokens as ``jobworker-pki token`` does, and with that command's key others."""

    def __init__(self, directory: Path, client: Pair) -> None:
        directory.mkdir()
        self._directory = directory
        self._client = client
        self.public = directory / "token.pub"

    def issue(self, role: str = "full") -> str:
        options = ("--dir", self._directory, "--role", role, "--audience", "this server")
        return pki("token", self._client.cert, *options).strip()

    def ending(self, seconds: float) -> str:
        """One that ends so soon."""
        key = load_pem_private_key((self._directory / "token.key").read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        claims = jwt.decode(self.issue(), options={"verify_signature": False})
        return jwt.encode(claims | {"exp": datetime.now(UTC).timestamp() + seconds}, key, "ES256")


@pytest.fixture
def tokens(tmp_path: Path, client: Pair) -> Tokens:
    tokens = Tokens(tmp_path / "tokens", client)
    tokens.issue()  # which makes the key
    return tokens


@pytest.fixture
def own_server(certs: Certs, tmp_path: Path, tokens: Tokens) -> Iterator[Server]:
    config = tmp_path / "server.yaml"
    config.write_text(CONFIG)
    (tmp_path / "token.pub").write_bytes(tokens.public.read_bytes())
    server = Server(certs, tmp_path, options=["--config", str(config)])
    yield server
    server.close()


def test_a_stream_ends_with_its_token_and_a_new_one_goes_on(own_server: Server, client: Pair, tokens: Tokens) -> None:
    with ExitStack() as connections:
        lasting = connections.enter_context(Api(own_server, client, tokens.issue()))
        job = lasting.start(["sh", "-c", "echo hi; exec sleep 1000"])
        goes_on = lasting.chunks(job.id)
        assert next(goes_on).data == b"hi\n"
        short = connections.enter_context(Api(own_server, client, tokens.ending(8.0)))
        ends = short.chunks(job.id)
        assert next(ends).data == b"hi\n"
        with failing() as failure:
            next(ends)
        assert (failure.code, failure.reason) == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_EXPIRED")
        assert failure_of(short).reason == "TOKEN_EXPIRED"
        lasting.stop(job.id)
        assert list(goes_on) == []


def failure_of(client: Api) -> Failure:
    with failing() as failure:
        client.call("ListJobs")
    return failure


def test_a_key_that_is_taken_away_ends_what_its_tokens_opened(
    own_server: Server, client: Pair, tokens: Tokens, tmp_path: Path
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    with Api(own_server, client, tokens.issue()) as ann, Api(own_server, client) as without:
        job = ann.start(["sh", "-c", "echo hi; exec sleep 1000"])
        stream = ann.chunks(job.id)
        next(stream)
        pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (tmp_path / "token.pub").write_bytes(pem)
        with failing() as failure:
            next(stream)
        assert (failure.code, failure.reason) == (grpc.StatusCode.UNAUTHENTICATED, "BAD_TOKEN")
        assert without.status(job.id).owner == "ann", "a certificate stands for itself"
    wait_until(lambda: "the key of tokens was reloaded: there are 1" in own_server.log)


def test_a_key_that_can_not_be_read_leaves_the_old_one(
    own_server: Server, client: Pair, tokens: Tokens, tmp_path: Path
) -> None:
    (tmp_path / "token.pub").write_text("nothing of the sort")
    wait_until(lambda: "the key of tokens was not reloaded, the old one stays in use" in own_server.log, "the log")
    with Api(own_server, client, tokens.issue()) as ann:
        ann.call("ListJobs")


def test_the_command_line_sends_a_token(own_cli: Cli, client: Pair, tokens: Tokens, tmp_path: Path) -> None:
    assert "does not allow to start jobs" in own_cli("start", *SLEEPER, client=client, status=4).err
    file = tmp_path / "ann.token"
    file.write_text(tokens.issue())
    job_id = own_cli("--token-file", file, "start", "--", *SLEEPER, client=client).out
    assert own_cli("--token-file", file, "status", job_id, client=client).out == "running"
    file.write_text(tokens.ending(-1))
    expired = own_cli("--token-file", file, "status", job_id, client=client, status=4)
    assert "the client's token expired on" in expired.err
    assert "`jobworker-pki token` makes a new one" in expired.err
