"""Calls that come through a proxy: the certificate that it tells of, and the socket that is for it alone."""

from __future__ import annotations

import base64
import grp
import os
import shutil
import socket
import stat
import tempfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from hypothesis import given
from hypothesis import strategies as st

from jobworker.v1.worker_service_pb2 import GetOutputRequest, ListJobsRequest, StartRequest, StopRequest
from jobworker.v1.worker_service_pb2_grpc import WorkerServiceStub
from jobworker_server import proxied
from jobworker_server.errors import ListenError, UnauthenticatedError
from jobworker_server.proxy_socket import ProxySocket
from server_testing import (
    TIMEOUT,
    Authority,
    Client,
    Pair,
    ServerProcess,
    failing,
    role_extension,
    utf8_string,
    wait_until,
)


@pytest.fixture
def group() -> str:
    """The group of this process."""
    try:
        return grp.getgrgid(os.getegid()).gr_name
    except KeyError:
        pytest.skip("the group of this process has no name")


def der_value(pair: Pair) -> str:
    return f":{base64.b64encode(pair.certificate.public_bytes(Encoding.DER)).decode()}:"


def pem_value(pair: Pair) -> str:
    return quote(pair.certificate.public_bytes(Encoding.PEM).decode(), safe="")


def refusal_of(*values: str) -> str:
    with pytest.raises(UnauthenticatedError) as caught:
        proxied.shown([("client-cert", value) for value in values])
    return caught.value.reason


def test_both_ways_of_writing_a_certificate_are_read(authority: Authority) -> None:
    ann = authority.client("ann", "full")
    for value in (der_value(ann), pem_value(ann)):
        assert proxied.shown([("user-agent", "x"), ("client-cert", value)]).certificate == ann.certificate


def test_there_must_be_exactly_one(authority: Authority) -> None:
    ann, eve = authority.client("ann", "full"), authority.client("eve", "user")
    assert refusal_of() == refusal_of("") == "NO_CERTIFICATE"
    assert refusal_of(der_value(ann), der_value(eve)) == "BAD_CERTIFICATE"
    assert refusal_of(der_value(ann), der_value(ann)) == "BAD_CERTIFICATE"
    assert refusal_of("", der_value(ann)) == "BAD_CERTIFICATE"
    assert refusal_of(f"{der_value(eve)}, {der_value(ann)}") == "BAD_CERTIFICATE"
    assert refusal_of(pem_value(eve) + pem_value(ann)) == "BAD_CERTIFICATE"
    assert refusal_of(f"{pem_value(eve)},{pem_value(ann)}") == "BAD_CERTIFICATE"


@pytest.mark.parametrize(
    "value",
    [
        "x",
        ":",
        "::",
        ":AAAA:",
        ":%%%:",
        "-----BEGIN%20CERTIFICATE-----",
        "%ff%fe",
        "-----BEGIN CERTIFICATE-----\n",
        ": :",
    ],
)
def test_what_is_no_certificate_is_refused(value: str) -> None:
    assert refusal_of(value) == "BAD_CERTIFICATE"


def test_a_certificate_that_is_too_long_is_refused(authority: Authority) -> None:
    long = authority.issue(["ann"], x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"x" * 20_000))
    assert refusal_of(der_value(long)) == "BAD_CERTIFICATE"


@given(st.lists(st.text(), min_size=1, max_size=3))
def test_any_text_is_refused(values: list[str]) -> None:
    assert refusal_of(*values) in ("BAD_CERTIFICATE", "NO_CERTIFICATE")


@pytest.fixture
def short_dir() -> Iterator[Path]:
    """The path of a socket has to be short."""
    directory = Path(tempfile.mkdtemp(prefix="jw"))
    yield directory
    shutil.rmtree(directory)


def test_the_socket_is_for_the_group_alone(short_dir: Path, group: str) -> None:
    path = short_dir / "run" / "proxy.sock"
    assert ProxySocket(path, group).prepare() == f"unix:{path}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        ProxySocket(path, group).close_to_others()
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o750
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    assert path.stat().st_gid == path.parent.stat().st_gid == os.getegid()


def test_without_a_group_it_is_for_the_user_alone(short_dir: Path) -> None:
    path = short_dir / "run" / "proxy.sock"
    ProxySocket(path).prepare()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        ProxySocket(path).close_to_others()
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o755, 0o701, 0o770, 0o777])
def test_a_directory_that_others_may_enter_is_refused(short_dir: Path, mode: int) -> None:
    short_dir.chmod(mode)
    with pytest.raises(ListenError, match="chmod 750"):
        ProxySocket(short_dir / "proxy.sock").prepare()


def test_what_a_killed_server_left_is_removed_and_what_another_listens_on_is_not(short_dir: Path) -> None:
    path = short_dir / "proxy.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        with pytest.raises(ListenError, match="another server does"):
            ProxySocket(path).prepare()
    ProxySocket(path).prepare()
    assert not path.exists()
    makers: list[Callable[[], None]] = [path.touch, path.mkdir, lambda: path.symlink_to(short_dir / "elsewhere")]
    for make in makers:
        make()
        with pytest.raises(ListenError, match="something else"):
            ProxySocket(path).prepare()
        path.rmdir() if path.is_dir() else path.unlink()


def test_what_can_not_be_listened_on_is_told(short_dir: Path) -> None:
    with pytest.raises(ListenError, match="no group 'no-such-group'"):
        ProxySocket(short_dir / "proxy.sock", "no-such-group").prepare()
    with pytest.raises(ListenError, match="at most 107 bytes"):
        ProxySocket(short_dir / ("x" * 100)).prepare()
    with pytest.raises(ListenError, match="No such file"):
        ProxySocket(short_dir / "a" / "b" / "proxy.sock").prepare()


@pytest.fixture
def served(own_certs: Path, short_dir: Path) -> Iterator[ServerProcess]:
    """A server that listens for a proxy at ``short_dir/proxy.sock``."""
    (short_dir / "server.yaml").write_text("proxy: {socket: proxy.sock}\naudit: {file: audit.log}")
    config = str(short_dir / "server.yaml")
    with ServerProcess(own_certs, short_dir / "state", "localhost:0", "--config", config) as server:
        wait_until(lambda: "listening for a proxy on" in server.log)
        yield server
    assert not (short_dir / "proxy.sock").exists()


class Proxy:
    """Connects as a proxy does, which tells of any client that it likes."""

    def __init__(self, path: Path) -> None:
        self.channel = grpc.insecure_channel(f"unix:{path}", [("grpc.use_local_subchannel_pool", 1)])
        self.stub = WorkerServiceStub(self.channel)

    def list(self, *values: str) -> object:
        return self.stub.ListJobs(ListJobsRequest(), metadata=metadata(*values), timeout=TIMEOUT)

    def refusal_of(self, *values: str) -> str:
        with failing() as failure:
            self.list(*values)
        assert failure.code is grpc.StatusCode.UNAUTHENTICATED
        return failure.reason


def metadata(*values: str) -> tuple[tuple[str, str], ...]:
    return tuple(("client-cert", value) for value in values)


@pytest.fixture
def proxy(served: ServerProcess, short_dir: Path) -> Iterator[Proxy]:
    assert served.process.poll() is None
    proxy = Proxy(short_dir / "proxy.sock")
    yield proxy
    proxy.channel.close()


def test_a_client_behind_a_proxy_is_who_its_certificate_says(proxy: Proxy, authority: Authority) -> None:
    ann = authority.client("ann", "user")
    for value in (der_value(ann), pem_value(ann)):
        job = proxy.stub.Start(StartRequest(argv=["true"]), metadata=metadata(value), timeout=TIMEOUT).job
        assert job.owner == "ann"
    eve = metadata(der_value(authority.client("eve", "user")))
    with failing() as failure:
        list(proxy.stub.GetOutput(GetOutputRequest(job_id=job.id), metadata=eve, timeout=TIMEOUT))
    assert failure.reason == "JOB_NOT_FOUND"


def test_a_certificate_is_looked_at_whatever_the_proxy_has_seen(
    proxy: Proxy, own_certs: Path, authority: Authority
) -> None:
    role = role_extension(utf8_string("full"))
    server = authority.issue(["ann"], role, x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]))
    foreign = Authority("test CA").client("ann", "full")
    expired = authority.client("ann", "full", valid=timedelta(seconds=-2))
    assert proxy.refusal_of(der_value(server)) == "CERTIFICATE_NOT_TRUSTED"
    assert proxy.refusal_of(der_value(foreign)) == "CERTIFICATE_NOT_TRUSTED"
    assert proxy.refusal_of(der_value(expired)) == "CERTIFICATE_EXPIRED"
    assert proxy.refusal_of() == "NO_CERTIFICATE"
    assert proxy.refusal_of("nonsense") == "BAD_CERTIFICATE"
    ann = authority.client("ann", "full")
    assert proxy.refusal_of(der_value(ann), der_value(ann)) == "BAD_CERTIFICATE"
    assert proxy.refusal_of(pem_value(server_of(own_certs))) == "NO_ROLE", "it does not say for what it is"


def server_of(certs: Path) -> Pair:
    certificate = x509.load_pem_x509_certificate((certs / "server.pem").read_bytes())
    return Pair(certificate, Authority("any").ca.key)


def test_a_client_behind_a_proxy_is_cut_off_when_it_is_revoked(
    proxy: Proxy, own_certs: Path, authority: Authority
) -> None:
    eve = authority.client("eve", "full")
    value = metadata(pem_value(eve))
    job = proxy.stub.Start(StartRequest(argv=["sleep", "1000"]), metadata=value, timeout=TIMEOUT).job
    stream = proxy.stub.GetOutput(GetOutputRequest(job_id=job.id, follow=True), metadata=value, timeout=TIMEOUT)
    stream.initial_metadata()
    (own_certs / "crl.new").write_bytes(authority.crl(eve))
    (own_certs / "crl.new").rename(own_certs / "crl.pem")
    with failing() as failure:
        list(stream)
    assert failure.reason == "CERTIFICATE_REVOKED"
    assert proxy.refusal_of(pem_value(eve)) == "CERTIFICATE_REVOKED"
    cleaner = metadata(pem_value(authority.client("cleaner", "full")))
    proxy.stub.Stop(StopRequest(job_id=job.id, force=True), metadata=cleaner, timeout=TIMEOUT)


def test_over_tls_the_header_says_nothing(served: ServerProcess, authority: Authority) -> None:
    client = Client(served.address, authority.client("eve", "readonly"), authority)
    boss = metadata(der_value(authority.client("boss", "full")))
    with failing() as failure:
        client.stub.Start(StartRequest(argv=["true"]), metadata=boss, timeout=TIMEOUT)
    assert failure.code is grpc.StatusCode.PERMISSION_DENIED
    client.close()


def test_the_socket_itself_is_closed_to_others(served: ServerProcess, short_dir: Path) -> None:
    assert served.process.poll() is None
    assert stat.S_IMODE((short_dir / "proxy.sock").stat().st_mode) == 0o600
