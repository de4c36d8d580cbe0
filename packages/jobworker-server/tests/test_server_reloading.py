"""Certificates, CAs and revocation lists that are exchanged while a server runs, over real connections."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from jobworker.v1.worker_service_pb2 import AttachRequest, AttachStart, GetOutputRequest, ListJobsRequest
from jobworker_server import reloading
from jobworker_server.errors import CertificateError
from jobworker_server.reloading import Reloadable
from server_testing import TIMEOUT, Authority, Client, Failure, Pair, ServerProcess, failing, wait_until

SOON = 20.0
"""Seconds in which a revoked client is cut off: it takes one or so, but the machine may be very busy."""


@contextmanager
def connected(server: ServerProcess, pair: Pair, authority: Authority) -> Iterator[Client]:
    client = Client(server.address, pair, authority)
    try:
        yield client
    finally:
        client.close()


def put(path: Path, content: bytes) -> None:
    """Replace a file, whole."""
    new = path.with_suffix(".new")
    new.write_bytes(content)
    new.rename(path)


def refusal_of(client: Client) -> Failure:
    with failing() as failure:
        client.stub.ListJobs(ListJobsRequest(), timeout=TIMEOUT)
    return failure


def open_files_of(server: ServerProcess, job_id: str) -> int:
    """How many descriptors of a job's files the server's process has."""
    found = 0
    for descriptor in Path(f"/proc/{server.process.pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # it has just been closed
            found += job_id in os.readlink(descriptor)
    return found


def list_jobs(client: Client) -> None:
    client.stub.ListJobs(ListJobsRequest(), timeout=TIMEOUT)


class Following:
    """A client that follows a silent job."""

    def __init__(self, client: Client) -> None:
        job = client.start("sh", "-c", "echo begun; exec sleep 1000", cwd="/")
        self._chunks = client.chunks(job.id)
        assert next(self._chunks).data == b"begun\n"

    def stays(self) -> None:
        """Until its job is stopped nothing more comes; then it ends as it should."""
        assert list(self._chunks) == [], "it was not cut"

    def end(self) -> str:
        """The reason with which it ended; it has to, soon."""
        began = time.monotonic()
        with failing() as failure:
            list(self._chunks)
        assert time.monotonic() - began < SOON
        assert failure.code is grpc.StatusCode.UNAUTHENTICATED
        return failure.reason


def serial_shown_by(server: ServerProcess, pair: Pair, authority: Authority, directory: Path) -> str:
    """The serial number of the certificate with which the server meets ``openssl s_client``."""
    pair.write(directory / "client.pem", directory / "client.key")
    (directory / "trusted.pem").write_bytes(authority.ca.cert_pem)
    options = ["-cert", "client.pem", "-key", "client.key", "-CAfile", "trusted.pem", "-verify_return_error"]
    shown = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{server.port}", *options],
        cwd=directory, input=b"", capture_output=True, timeout=TIMEOUT, check=False,
    ).stdout  # fmt: skip
    serial = subprocess.run(
        ["openssl", "x509", "-noout", "-serial"], input=shown, capture_output=True, timeout=TIMEOUT, check=True
    )
    return serial.stdout.decode().strip().removeprefix("serial=")


def serial_of(directory: Path) -> str:
    command = ["openssl", "x509", "-noout", "-serial", "-in", str(directory / "server.pem")]
    found = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=True)
    return found.stdout.strip().removeprefix("serial=")


def test_a_client_that_is_revoked_is_cut_off_at_once_and_nobody_else(
    own_server: ServerProcess, own_certs: Path, own_client: Client, authority: Authority
) -> None:
    eve = authority.client("eve", "full")
    with connected(own_server, eve, authority) as client:
        stream, others = Following(client), Following(own_client)
        put(own_certs / "crl.pem", authority.crl(eve))
        assert stream.end() == "CERTIFICATE_REVOKED"
        failure = refusal_of(client)
        assert (failure.code, failure.reason) == (grpc.StatusCode.UNAUTHENTICATED, "CERTIFICATE_REVOKED")
        assert f"serial number {eve.certificate.serial_number:X}" in failure.message
    with connected(own_server, eve, authority) as client:
        assert refusal_of(client).reason == "CERTIFICATE_REVOKED", "on a new connection, too"
    own_client.stop_all()
    others.stays()
    wait_until(lambda: "the trust in clients was reloaded: CN=test CA; 1 revoked" in own_server.log)


def test_streams_of_a_revoked_client_that_does_not_read_end_too(
    own_server: ServerProcess, own_certs: Path, authority: Authority
) -> None:
    eve = authority.client("eve", "full")
    with connected(own_server, eve, authority) as client:
        job = client.start("head", "-c", "200M", "/dev/zero", cwd="/")
        client.wait(job.id)
        attach = AttachRequest(start=AttachStart(job_id=job.id, offset=0))
        calls: list[Any] = [
            *(client.stub.GetOutput(GetOutputRequest(job_id=job.id, follow=True)) for _ in range(3)),
            *(client.stub.Attach(iter([attach])) for _ in range(3)),
        ]
        for call in calls:
            while not next(call).chunks:  # it has begun then, and nothing more of it is read
                pass
        wait_until(lambda: open_files_of(own_server, job.id) >= len(calls))
        put(own_certs / "crl.pem", authority.crl(eve))
        wait_until(lambda: open_files_of(own_server, job.id) == 0)
        for call in calls:
            with failing() as failure:
                list(call)
            assert failure.reason == "CERTIFICATE_REVOKED"


def test_a_list_that_expires_refuses_everybody(
    own_server: ServerProcess, own_certs: Path, own_client: Client, authority: Authority
) -> None:
    stream = Following(own_client)
    put(own_certs / "crl.pem", authority.crl(valid=timedelta(seconds=3)))
    wait_until(lambda: "; 0 revoked" in own_server.log)
    assert stream.end() == "CERTIFICATE_NOT_TRUSTED"
    failure = refusal_of(own_client)
    assert failure.reason == "CERTIFICATE_NOT_TRUSTED"
    assert "the CRL of its CA expired on" in failure.message
    wait_until(lambda: "WARNING the CRL of 'CN=test CA' expired on" in own_server.log)
    put(own_certs / "crl.pem", authority.crl())
    wait_until(lambda: own_server.log.count("; 0 revoked") == 2)
    list_jobs(own_client)
    own_client.stop_all()


@pytest.mark.parametrize("content", ["foreign", "cut", "gone"])
def test_a_list_that_can_not_be_used_leaves_the_old_one_in_use(
    own_server: ServerProcess, own_certs: Path, own_client: Client, authority: Authority, content: str
) -> None:
    eve = authority.client("eve", "full")
    put(own_certs / "crl.pem", authority.crl(eve))
    wait_until(lambda: "; 1 revoked" in own_server.log)
    if content == "gone":
        (own_certs / "crl.pem").unlink()
    else:
        put(own_certs / "crl.pem", Authority("test CA").crl() if content == "foreign" else authority.crl()[:-30])
    wait_until(lambda: "ERROR the trust in clients was not reloaded, the old one stays in use: " in own_server.log)
    assert "crl.pem" in own_server.log
    list_jobs(own_client)
    with connected(own_server, eve, authority) as client:
        assert refusal_of(client).reason == "CERTIFICATE_REVOKED"


def test_a_list_that_is_older_than_the_one_in_use_is_not_gone_back_to(
    own_server: ServerProcess, own_certs: Path, own_client: Client, authority: Authority, tmp_path: Path
) -> None:
    eve, bob = authority.client("eve", "full"), authority.client("bob", "full")
    old = authority.crl(made=timedelta(hours=-3), number=1)
    put(own_certs / "crl.pem", authority.crl(eve, made=timedelta(hours=-2), number=2))
    wait_until(lambda: "; 1 revoked" in own_server.log)
    put(own_certs / "crl.pem", old)
    wait_until(lambda: own_server.log.count("; 1 revoked") == 2)
    assert "crl.pem holds an older CRL of 'CN=test CA', number 1 of " in own_server.log
    assert "restart the server to go back to the older one" in own_server.log
    with connected(own_server, eve, authority) as client:
        assert refusal_of(client).reason == "CERTIFICATE_REVOKED"
    own_server.send(signal.SIGHUP)
    wait_until(lambda: own_server.log.count("; 1 revoked") == 3)
    list_jobs(own_client)
    put(own_certs / "crl.pem", authority.crl(eve, bob, number=3))
    wait_until(lambda: "; 2 revoked" in own_server.log)
    for pair in (eve, bob):
        with connected(own_server, pair, authority) as client:
            assert refusal_of(client).reason == "CERTIFICATE_REVOKED"
    put(own_certs / "crl.pem", old)
    with (
        ServerProcess(own_certs, tmp_path / "again") as started_anew,
        connected(started_anew, eve, authority) as client,
    ):
        list_jobs(client)


def test_a_server_does_not_start_with_a_foreign_list(own_certs: Path, tmp_path: Path) -> None:
    (own_certs / "crl.pem").write_bytes(Authority("foreign").crl())
    server = ServerProcess(own_certs, tmp_path / "state")
    assert server.process.wait(TIMEOUT) == 1
    server.stop()
    assert "crl.pem holds a CRL of 'CN=foreign', which is no CA of this server" in server.log


def test_a_ca_is_rotated_with_an_overlap(
    own_server: ServerProcess, own_certs: Path, own_client: Client, authority: Authority, tmp_path: Path
) -> None:
    new = Authority("the next CA")
    stream = Following(own_client)
    put(own_certs / "ca.pem", authority.ca.cert_pem + new.ca.cert_pem)
    wait_until(lambda: "was reloaded: CN=test CA, CN=the next CA;" in own_server.log)
    with connected(own_server, new.client("bob", "full"), authority) as client:
        list_jobs(client)
        list_jobs(own_client)
        put(own_certs / "ca.pem", new.ca.cert_pem)
        assert stream.end() == "CERTIFICATE_NOT_TRUSTED"
        assert refusal_of(own_client).reason == "CERTIFICATE_NOT_TRUSTED"
        list_jobs(client)
    with connected(own_server, new.client("cleaner", "full"), authority) as client:
        client.stop_all()
    put(own_certs / "ca.pem", authority.ca.cert_pem)
    wait_until(lambda: own_server.log.count("the trust in clients was reloaded") == 3)


def test_certificate_and_key_may_come_one_after_the_other(
    own_server: ServerProcess, own_certs: Path, own_client: Client, authority: Authority, tmp_path: Path
) -> None:
    stream = Following(own_client)
    (tmp_path / "new").mkdir()
    authority.write_server_files(tmp_path / "new")
    before = serial_of(own_certs)
    put(own_certs / "server.pem", (tmp_path / "new" / "server.pem").read_bytes())
    ann = authority.client("ann", "full")
    assert serial_shown_by(own_server, ann, authority, tmp_path) == before, "the pair is not whole yet"
    shutil.copy2(tmp_path / "new" / "server.key", own_certs / "server.key")
    wait_until(lambda: "the server's certificate was reloaded: valid until" in own_server.log)
    assert serial_shown_by(own_server, ann, authority, tmp_path) == serial_of(tmp_path / "new") != before
    own_client.stop_all()
    stream.stays()


def test_a_directory_that_is_exchanged_by_its_link_is_taken(authority: Authority, tmp_path: Path) -> None:
    """As Kubernetes does with secrets: files are links into ..data, which is a link to a directory of the moment."""
    certs = tmp_path / "certs"
    certs.mkdir()
    for name in ("first", "second"):
        (certs / name).mkdir()
        authority.write_server_files(certs / name)
    (certs / "..data").symlink_to("first")
    for name in ("ca.pem", "server.pem", "server.key"):
        (certs / name).symlink_to(f"..data/{name}")
    with ServerProcess(certs, tmp_path / "state") as server:
        (certs / "..new").symlink_to("second")
        os.replace(certs / "..new", certs / "..data")
        wait_until(lambda: "the server's certificate was reloaded" in server.log)
        shown = serial_shown_by(server, authority.client("ann", "full"), authority, tmp_path)
        assert shown == serial_of(certs / "second")


def test_intermediate_cas_are_taken_and_their_revocation_holds(
    own_server: ServerProcess, own_certs: Path, authority: Authority
) -> None:
    between = Authority("between", authority)
    ann = between.client("ann", "full").followed_by(between.ca)
    with connected(own_server, ann, authority) as client:
        stream = Following(client)
        put(own_certs / "crl.pem", authority.crl(between.ca))
        assert stream.end() == "CERTIFICATE_REVOKED"
        assert "the CA 'CN=between' is revoked" in refusal_of(client).message
    with connected(own_server, authority.client("cleaner", "full"), authority) as client:
        client.stop_all()


def test_what_expires_soon_is_told_at_the_start(own_certs: Path, authority: Authority, tmp_path: Path) -> None:
    pair = authority.issue(["localhost"], valid=timedelta(minutes=30))
    pair.write(own_certs / "server.pem", own_certs / "server.key")
    with ServerProcess(own_certs, tmp_path / "state") as server:
        wait_until(lambda: f"WARNING the server's certificate {own_certs}/server.pem expires on" in server.log)
        assert "the CA " not in server.log


class Files:
    """Something that is loaded from a file, and says what was loaded when."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.loaded: list[str] = []
        path.write_text("first")
        self.watch = reloading._Watch(Reloadable("it", (path,), self.load))

    def load(self) -> str:
        text = self.path.read_text()
        if text == "bad":
            raise CertificateError("it is bad")
        self.loaded.append(text)
        return text


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path / "file")


def test_a_file_that_is_being_written_is_not_loaded(files: Files) -> None:
    for text in ("s", "se", "sec"):
        files.path.write_text(text)
        assert not files.watch.look()
    assert files.watch.look()
    assert not files.watch.look()
    assert files.loaded == ["sec"]


def test_a_file_is_loaded_when_that_is_asked_for(files: Files) -> None:
    assert files.watch.load()
    assert files.loaded == ["first"]


def test_a_change_before_the_watch_began_is_not_missed(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("first")
    reloadable = Reloadable("it", (path,), path.read_text)
    path.write_text("second")
    watch = reloading._Watch(reloadable)
    assert [watch.look() for _ in range(3)] == [False, True, False]


def test_what_stays_bad_is_told_once(
    files: Files, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.path.write_text("bad")
    assert not files.watch.look()
    assert not files.watch.look()
    assert not caplog.records, "the rest of it may come yet"
    monkeypatch.setattr(reloading, "_PATIENCE_SECONDS", 0.0)
    for _ in range(3):
        assert not files.watch.look()
    assert [record.getMessage() for record in caplog.records] == [
        "it was not reloaded, the old one stays in use: it is bad"
    ]
    files.path.write_text("good")
    assert [files.watch.look() for _ in range(2)] == [False, True]


def test_a_fault_after_loading_does_not_end_the_watch(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "file"
    path.write_text("first")
    called = asyncio.Event()

    def fault() -> None:
        called.set()
        raise RuntimeError("a fault")

    async def work() -> None:
        watch = reloading.Reloading([Reloadable("it", (path,), path.read_text)], fault)
        task = asyncio.ensure_future(watch.run())
        for _ in range(2):
            watch.ask()
            await called.wait()
            called.clear()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(asyncio.wait_for(work(), TIMEOUT))
    assert "a fault in looking at files" in caplog.text


def test_a_fault_does_not_end_the_watch(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    files.path.write_bytes(b"\xff")
    assert [files.watch.look() for _ in range(3)] == [False, False, False]
    assert [record.exc_info is not None for record in caplog.records] == [True]
    files.path.write_text("good")
    assert [files.watch.look() for _ in range(2)] == [False, True]
