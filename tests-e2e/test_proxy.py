"""The real command line through a real proxy that terminates TLS, with one cipher suite, as docs/examples has it."""

from __future__ import annotations

import shutil
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from conformance.processes import PATIENCE_SECONDS
from harness.certs import Certs, Pair, around_now, pki
from harness.cli import Cli
from harness.proxies import Directory, Proxy
from harness.server import Server
from jobworker.v1.worker_service_pb2 import ListJobsRequest, StartRequest
from jobworker.v1.worker_service_pb2_grpc import WorkerServiceStub

KINDS = [
    pytest.param(kind, marks=pytest.mark.skipif(shutil.which(kind) is None, reason=f"{kind} is not installed"))
    for kind in ("nginx", "haproxy")
]


class Site:
    """A server, the proxy in front of it, and the command line that reaches it through the proxy."""

    def __init__(self, server: Server, proxy: Proxy, cli: Cli, certs: Certs) -> None:
        self.server, self.proxy, self.cli, self.certs = server, proxy, cli, certs


@pytest.fixture(scope="module", params=KINDS)
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    own = tmp_path_factory.mktemp("proxied")
    certs = Certs(own / "certs")
    with Directory() as directory, Proxy(request.param, certs, directory) as proxy:
        (own / "server.yaml").write_text(f"proxy: {{socket: {directory.socket}, group: {Proxy.group(request.param)}}}")
        server = Server(certs, own, options=["--config", str(own / "server.yaml")])
        try:
            yield Site(server, proxy, Cli(server, own, address=proxy.address), certs)
        finally:
            server.close()


def s_client(site: Site, *options: str) -> str:
    """What ``openssl s_client`` says of a connection to the proxy."""
    files = ["-cert", str(site.certs.full.cert), "-key", str(site.certs.full.key), "-CAfile", str(site.certs.ca)]
    result = subprocess.run(
        ["openssl", "s_client", "-connect", f"localhost:{site.proxy.port}", "-alpn", "h2", *files, *options],
        input=b"", capture_output=True, timeout=PATIENCE_SECONDS, check=False,
    )  # fmt: skip
    return (result.stdout + result.stderr).decode(errors="replace")


def test_the_proxy_speaks_one_suite_and_nothing_else(site: Site) -> None:
    assert "New, TLSv1.3, Cipher is TLS_AES_256_GCM_SHA384" in s_client(site)
    for options in (["-ciphersuites", "TLS_AES_128_GCM_SHA256"], ["-tls1_2"]):
        assert "Cipher is (NONE)" in s_client(site, *options)


def test_the_command_line_works_as_without_a_proxy(site: Site) -> None:
    assert site.cli("run", "--", "sh", "-c", "echo out; echo err >&2; exit 3", status=3).stdout == b"out\n"
    job_id = site.cli.start(["sh", "-c", "echo begun; exec sleep 1000"])
    with site.cli.running("logs", job_id) as following:
        assert following.stdout is not None
        assert following.stdout.readline() == b"begun\n"
        site.cli("stop", job_id, "--force")
        assert following.wait(PATIENCE_SECONDS) == 0
    assert site.cli.json("status", job_id)["owner"] == "full"


def test_large_output_and_input_go_through(site: Site) -> None:
    size = 50 << 20
    assert len(site.cli("run", "--", "head", "-c", str(size), "/dev/zero").stdout) == size
    job_id = site.cli.start(["cat"], "--stdin")
    with site.cli.running("attach", job_id, stdin=subprocess.PIPE) as attached:
        output, told = attached.communicate(b"x" * 1_000_000, PATIENCE_SECONDS)
    assert (len(output), told, attached.returncode) == (1_000_000, b"", 0)
    assert output == b"x" * 1_000_000


def test_roles_and_owners_are_those_of_the_certificate(site: Site) -> None:
    ann, eve = site.certs.client("user", "ann"), site.certs.client("user", "eve")
    job_id = site.cli("start", "true", client=ann).out
    assert site.cli("list", client=eve).out.count(job_id) == 0
    site.cli("status", job_id, client=eve, status=3)
    site.cli("start", "true", client=site.certs.client("readonly", "viewer"), status=4)


def call(site: Site, pair: Pair, *values: str) -> grpc.StatusCode:
    """How a start ends that is made with a client's own headers."""
    files = [path.read_bytes() for path in (site.certs.ca, pair.key, pair.cert)]
    headers = tuple(("client-cert", value) for value in values)
    with grpc.secure_channel(site.proxy.address, grpc.ssl_channel_credentials(*files)) as channel:
        try:
            WorkerServiceStub(channel).Start(StartRequest(argv=["true"]), metadata=headers, timeout=PATIENCE_SECONDS)
        except grpc.RpcError as error:
            return error.code()
    return grpc.StatusCode.OK


def test_a_client_can_not_say_that_it_is_another(site: Site) -> None:
    viewer = site.certs.client("readonly", "viewer")
    boss = x509.load_pem_x509_certificate(site.certs.full.cert.read_bytes())
    der = f":{b64encode(boss.public_bytes(Encoding.DER)).decode()}:"
    pem = quote(boss.public_bytes(Encoding.PEM).decode(), safe="")
    for values in ((), (der,), (pem,), (der, pem), ("",), ("nonsense",), ("", der)):
        assert call(site, viewer, *values) is grpc.StatusCode.PERMISSION_DENIED, values
        assert call(site, site.certs.full, *values) is grpc.StatusCode.OK, values


def test_who_has_no_good_certificate_does_not_get_in(site: Site, tmp_path: Path) -> None:
    pki("init", "--dir", tmp_path / "foreign")
    foreign = Pair(tmp_path / "foreign" / "full.pem", tmp_path / "foreign" / "full.key")
    expired = site.certs.by_hand("old", "full", *around_now(timedelta(days=2), timedelta(seconds=-5)))
    for pair in (foreign, expired, site.certs.server):
        assert call(site, pair) in (
            grpc.StatusCode.UNAVAILABLE,  # refused in the handshake
            grpc.StatusCode.INTERNAL,  # nginx lets the handshake pass, and answers with 400
            grpc.StatusCode.UNKNOWN,
        ), pair
    without = grpc.ssl_channel_credentials(site.certs.ca.read_bytes())
    with grpc.secure_channel(site.proxy.address, without) as channel, pytest.raises(grpc.RpcError):
        WorkerServiceStub(channel).ListJobs(ListJobsRequest(), timeout=PATIENCE_SECONDS)


@pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed")
def test_a_proxy_that_lets_anybody_in_does_not_let_them_in_here(tmp_path: Path) -> None:
    certs = Certs(tmp_path / "certs")
    pki("init", "--dir", tmp_path / "foreign")
    foreign = Pair(tmp_path / "foreign" / "full.pem", tmp_path / "foreign" / "full.key")
    with Directory() as directory:
        proxy = Proxy("nginx", certs, directory)
        text = proxy.configuration.read_text()
        assert "ssl_verify_client on;" in text
        proxy.configuration.write_text(text.replace("ssl_verify_client on;", "ssl_verify_client optional_no_ca;"))
        (tmp_path / "server.yaml").write_text(f"proxy: {{socket: {directory.socket}, group: {Proxy.group('nginx')}}}")
        server = Server(certs, tmp_path, options=["--config", str(tmp_path / "server.yaml")])
        try:
            with proxy:
                cli = Cli(server, tmp_path, address=proxy.address)
                cli("list")
                assert "is not one of a CA that this server trusts" in cli("list", client=foreign, status=4).err
                without = grpc.ssl_channel_credentials(certs.ca.read_bytes())
                with grpc.secure_channel(proxy.address, without) as channel, pytest.raises(grpc.RpcError) as caught:
                    WorkerServiceStub(channel).ListJobs(ListJobsRequest(), timeout=PATIENCE_SECONDS)
                assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
        finally:
            server.close()


def test_a_client_that_is_revoked_is_cut_off(site: Site) -> None:
    pki("issue", "--dir", site.certs.directory, "--role", "full", "--name", "mallory")
    mallory = Pair(site.certs.directory / "mallory.pem", site.certs.directory / "mallory.key")
    job_id = site.cli("start", "--", "sh", "-c", "echo begun; exec sleep 1000", client=mallory).out
    command, environment = site.cli.command("logs", job_id), site.cli.environment(mallory)
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as following:
        assert following.stdout is not None
        assert following.stdout.readline() == b"begun\n"
        pki("revoke", "mallory", "--dir", site.certs.directory)
        assert following.wait(PATIENCE_SECONDS) == 4
        assert following.stderr is not None
        assert b"is revoked" in following.stderr.read()
    assert "is revoked" in site.cli("list", client=mallory, status=4).err
    site.cli("stop", job_id, "--force")
