"""The examples of authorization in docs/examples: a real server with each, and what each of its roles may do."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import grpc
import pytest

from conformance.jobs import SLEEPER
from conformance.processes import PATIENCE_SECONDS
from harness.api import RPCS, Api, failing
from harness.certs import Certs, Pair, around_now, pki
from harness.scopes import Scopes, require_scope
from harness.server import Cleaner, Server

pytestmark = pytest.mark.timeout(600)  # each role tries everything

EXAMPLES = Path(__file__).parent.parent / "docs" / "examples"

ALL = {"start": "any", "change": "any", "look": "any", "output": "any", "input": "any"}
OWN = dict.fromkeys(ALL, "own")
LOOK = {**dict.fromkeys(ALL, "none"), "look": "any"}
READ = {**LOOK, "output": "any"}


class Example:
    """A directory with a configuration, a policy and the certificates for it, and a server that goes by them."""

    def __init__(self, name: str, directory: Path) -> None:
        self.directory = Path(shutil.copytree(EXAMPLES / name, directory / name))
        self.certs = Certs(self.directory / "certs")
        self.server: Server | None = None
        self._connections = ExitStack()

    def serve(self, cleaner: Cleaner) -> None:
        options = ["--config", str(self.directory / "server.yaml")]
        self.server = Server(self.certs, self.directory, options=options, cleaner=cleaner)

    def pair(self, name: str, *options: str) -> Pair:
        """A client's certificate, made anew."""
        pki("issue", "--dir", self.certs.directory, "--name", name, "--force", *options)
        return Pair(self.certs.directory / f"{name}.pem", self.certs.directory / f"{name}.key")

    def connect(self, pair: Pair, token: str = "") -> Api:
        assert self.server is not None
        return self._connections.enter_context(Api(self.server, pair, token))

    def close(self) -> None:
        self._connections.close()
        if self.server is not None:
            self.server.close()


@pytest.fixture
def example(tmp_path: Path) -> Iterator[Callable[[str], Example]]:
    """Makes an example; it is to be served by the test."""
    made: list[Example] = []

    def make(name: str) -> Example:
        made.append(Example(name, tmp_path))
        return made[-1]

    yield make
    for one in made:
        one.close()


def require(scopes: Scopes, caller: Api, own: Api, other: Api) -> None:
    """See what a caller may do: ``own`` starts jobs of the same owner, ``other`` those of another."""
    for rpc in RPCS:
        require_scope(scopes, rpc, caller, own, own=True)
        require_scope(scopes, rpc, caller, other, own=False)


def by_openssl(certs: Certs, subject: str) -> Pair:
    """A client's certificate that another tool makes, with the same CA."""
    made = Path(tempfile.mkdtemp(dir=certs.directory))
    pair, request, extensions = Pair(made / "cert.pem", made / "key.pem"), made / "csr.pem", made / "extensions"
    extensions.write_text("basicConstraints=critical,CA:FALSE\nextendedKeyUsage=clientAuth\n")
    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc", "-keyout", pair.key]
    openssl("req", "-new", *new_key, "-subj", subject, "-out", request)
    ca = ["-CA", certs.ca, "-CAkey", certs.directory / "ca.key", "-CAcreateserial", "-extfile", extensions]
    openssl("x509", "-req", "-in", request, *ca, "-days", "1", "-out", pair.cert)
    return pair


def openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=PATIENCE_SECONDS)


def refusal(caller: Api) -> tuple[grpc.StatusCode, str]:
    with failing() as failure:
        caller.call("ListJobs")
    return failure.code, failure.reason


UNKNOWN_ROLE = (grpc.StatusCode.PERMISSION_DENIED, "UNKNOWN_ROLE")
NOT_ALLOWED = (grpc.StatusCode.PERMISSION_DENIED, "NOT_ALLOWED")


def unauthenticated(reason: str) -> tuple[grpc.StatusCode, str]:
    return grpc.StatusCode.UNAUTHENTICATED, reason


def test_readonly_and_full_by_extension(example: Callable[[str], Example]) -> None:
    model = example("by-extension")
    model.serve(lambda server: Api(server, model.certs.full))

    def connect(role: str, name: str) -> Api:
        return model.connect(model.pair(name, "--role", role))

    ann, other = connect("full", "ann"), connect("full", "other")
    require(ALL, ann, ann, other)
    require(READ, connect("readonly", "ann"), ann, other)
    for role in ("admin", "user", "observer"):
        assert refusal(connect(role, "eve")) == NOT_ALLOWED
    assert refusal(connect("superuser", "eve")) == UNKNOWN_ROLE
    assert refusal(model.connect(model.pair("eve", "--role", "full", "--role-in", "organization"))) == (
        unauthenticated("NO_ROLE")
    )


@pytest.mark.skipif(not shutil.which("openssl"), reason="needs the openssl command to make certificates")
def test_admin_and_user_by_organization(example: Callable[[str], Example]) -> None:
    model = example("by-organization")

    def pair(role: str, name: str) -> Pair:
        return model.pair(name, "--role", role, "--role-in", "organization")

    boss = pair("admin", "boss")
    model.serve(lambda server: Api(server, boss))
    ann, other = model.connect(pair("user", "ann")), model.connect(pair("user", "other"))
    require(OWN, ann, ann, other)
    admin = model.connect(boss)
    require(ALL, admin, admin, other)
    require(OWN, model.connect(by_openssl(model.certs, "/O=user/CN=ann")), ann, other)
    assert refusal(model.connect(by_openssl(model.certs, "/O=user/O=admin/CN=ann"))) == unauthenticated("BAD_ROLE")
    assert refusal(model.connect(pair("Example Inc", "eve"))) == UNKNOWN_ROLE
    assert refusal(model.connect(pair("full", "eve"))) == NOT_ALLOWED
    assert refusal(model.connect(model.certs.full)) == unauthenticated("NO_ROLE"), "its extension counts for nothing"


def test_admin_user_and_observer_by_token(example: Callable[[str], Example], tmp_path: Path) -> None:
    model = example("by-token")

    def pair(name: str) -> Pair:
        return model.pair(name, "--role-in", "token")

    def token(pair: Pair, role: str, audience: str = "jobs.example.com", directory: Path | None = None) -> str:
        options = ("--dir", directory or model.certs.directory, "--role", role, "--audience", audience)
        return pki("token", pair.cert, *options).strip()

    ann, other = pair("ann"), pair("other")
    admin = token(ann, "admin")
    model.serve(lambda server: Api(server, ann, admin))
    boss = model.connect(ann, admin)
    others = model.connect(other, token(other, "user"))
    require(ALL, boss, boss, others)
    require(OWN, model.connect(ann, token(ann, "user")), boss, others)
    require(LOOK, model.connect(ann, token(ann, "observer")), boss, others)
    assert refusal(model.connect(ann, token(ann, "full"))) == NOT_ALLOWED
    assert refusal(model.connect(ann)) == unauthenticated("NO_TOKEN")
    assert refusal(model.connect(other, admin)) == unauthenticated("BAD_TOKEN"), "it was stolen"
    assert refusal(model.connect(ann, token(ann, "admin", "other.example.com"))) == unauthenticated("BAD_TOKEN")
    assert refusal(model.connect(ann, admin[:-4] + "AAAA")) == unauthenticated("BAD_TOKEN")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    forged = token(ann, "admin", directory=elsewhere)
    assert refusal(model.connect(ann, forged)) == unauthenticated("BAD_TOKEN"), "another key signed it"
    assert refusal(model.connect(model.certs.full)) == unauthenticated("NO_TOKEN"), "its extension counts for nothing"


def test_ownership_by_public_key(example: Callable[[str], Example]) -> None:
    model = example("by-public-key")
    operator = model.pair("operator", "--role", "operator")
    model.serve(lambda server: Api(server, operator))
    ann = model.connect(model.pair("ann", "--role", "user"))
    job = ann.start(SLEEPER)
    key = (model.certs.directory / "ann.key").read_bytes()
    renewed = model.certs.by_hand("renewed", "user", *around_now(timedelta(hours=1), timedelta(hours=1)), key=key)
    same_key = model.connect(renewed)
    assert [known.id for known in same_key.list()] == [job.id]
    assert job.owner.startswith("sha256:")
    other = model.connect(model.pair("ann", "--role", "user"))  # the same name, and a new key
    require(OWN, same_key, ann, other)
    require(OWN, other, other, ann)
    assert other.list(owner=job.owner) == []
    require({**LOOK, "Stop": "any"}, model.connect(operator), ann, other)
    assert refusal(model.connect(model.certs.full)) == NOT_ALLOWED
