"""Who did what, and who was refused what, as the audit of a server tells it."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives import hashes

from jobworker.v1 import job_pb2
from jobworker.v1.worker_service_pb2 import (
    AttachRequest,
    AttachStart,
    DeleteRequest,
    GetOutputRequest,
    ListJobsRequest,
    QueryStatusRequest,
    SignalRequest,
    StartRequest,
    StopRequest,
    UpdateRequest,
)
from server_testing import TIMEOUT, Authority, Client, Pair, ServerProcess, failing, wait_until


class Audited:
    """A server with an audit in a file, and what is new in it."""

    def __init__(self, server: ServerProcess, path: Path, authority: Authority) -> None:
        self.server = server
        self.path = path
        self._authority = authority
        self._seen = 0
        self._clients: list[Client] = []

    def connect(self, pair: Pair) -> Client:
        self._clients.append(Client(self.server.address, pair, self._authority))
        return self._clients[-1]

    def lines(self, count: int) -> list[dict[str, Any]]:
        """The next ``count`` lines; there must be no more."""
        wait_until(lambda: len(self.path.read_bytes().splitlines()) >= self._seen + count)
        found = [json.loads(line) for line in self.path.read_bytes().splitlines()[self._seen :]]
        self._seen += len(found)
        assert len(found) == count, found
        return found

    def line(self) -> dict[str, Any]:
        (found,) = self.lines(1)
        return found

    def close(self) -> None:
        for client in self._clients:
            client.close()


@pytest.fixture
def options() -> str:
    """More of ``audit`` in the configuration."""
    return ""


@pytest.fixture
def audited(server_certs: Path, authority: Authority, tmp_path: Path, options: str) -> Iterator[Audited]:
    (tmp_path / "server.yaml").write_text(
        f"audit: {{file: audit.log{options}}}\nmaxRunningPerOwner: 2\nwhenFull: refuse\n"
    )
    path = tmp_path / "audit.log"
    with ServerProcess(
        server_certs, tmp_path / "state", "localhost:0", "--config", str(tmp_path / "server.yaml")
    ) as server:
        found = Audited(server, path, authority)
        yield found
        found.connect(authority.client("cleaner", "full")).stop_all()
        found.close()


@pytest.fixture
def ann(authority: Authority) -> Pair:
    return authority.client("ann", "user")


def fields(line: dict[str, Any]) -> tuple[object, ...]:
    return line["operation"], line["decision"], line["outcome"], line["reason"]


def test_each_call_that_changes_something_is_told_once(audited: Audited, ann: Pair) -> None:
    client = audited.connect(ann)
    request_id = str(uuid.uuid4())
    job = client.start("sleep", "1000", request_id=request_id, stdin=True)
    line = audited.line()
    assert fields(line) == ("start", "allowed", "OK", None)
    peer, time = line.pop("peer"), line.pop("time")
    assert line == {
        "name": "ann",
        "fingerprint": ann.certificate.fingerprint(hashes.SHA256()).hex(),
        "serial": f"{ann.certificate.serial_number:X}",
        "owner": "ann",
        "role": "user",
        "roleSource": "extension",
        "operation": "start",
        "job": job.id,
        "decision": "allowed",
        "outcome": "OK",
        "reason": None,
        "requestId": request_id,
    }
    assert peer.startswith(("ipv4:127.0.0.1:", "ipv6:[::1]:"))
    assert time.endswith("Z")

    requests = iter([AttachRequest(start=AttachStart(job_id=job.id, input=True)), AttachRequest(detach=True)])
    list(client.stub.Attach(requests, timeout=TIMEOUT))
    assert fields(audited.line()) == ("input", "allowed", "OK", None)
    client.stub.Update(UpdateRequest(job_id=job.id, no_timeout=True), timeout=TIMEOUT)
    assert fields(audited.line()) == ("update", "allowed", "OK", None)
    client.stub.Signal(SignalRequest(job_id=job.id, signal="SIGCONT"), timeout=TIMEOUT)
    assert fields(audited.line()) == ("signal", "allowed", "OK", None)
    client.stub.Stop(StopRequest(job_id=job.id, force=True), timeout=TIMEOUT)
    assert fields(audited.line()) == ("stop", "allowed", "OK", None)
    with failing():
        client.stub.Signal(SignalRequest(job_id=job.id, signal="SIGCONT"), timeout=TIMEOUT)
    assert fields(audited.line()) == ("signal", "allowed", "FAILED_PRECONDITION", "JOB_NOT_RUNNING")
    client.stub.Delete(DeleteRequest(job_id=job.id), timeout=TIMEOUT)
    line = audited.line()
    assert fields(line) == ("delete", "allowed", "OK", None)
    assert line["job"] == job.id


def test_who_only_looks_is_not_told(audited: Audited, ann: Pair) -> None:
    client = audited.connect(ann)
    job = client.start("echo", "hi")
    client.wait(job.id)
    assert client.output(job.id) == b"hi\n"
    client.stub.QueryStatus(QueryStatusRequest(job_id=job.id), timeout=TIMEOUT)
    client.stub.ListJobs(ListJobsRequest(), timeout=TIMEOUT)
    client.stub.Delete(DeleteRequest(job_id=job.id), timeout=TIMEOUT)
    assert [line["operation"] for line in audited.lines(2)] == ["start", "delete"]


def test_a_command_that_can_not_be_executed_is_told_with_its_job(audited: Audited, ann: Pair) -> None:
    with failing() as failure:
        audited.connect(ann).start("/nowhere/at/all")
    line = audited.line()
    assert fields(line) == ("start", "allowed", "FAILED_PRECONDITION", "COMMAND_NOT_FOUND")
    assert failure.metadata is not None
    assert line["job"] == failure.metadata["job_id"]


Call = Callable[[Client], object]
REFUSALS: dict[str, tuple[str, str, Call, tuple[str, str, str]]] = {
    "permission": (
        "eve", "readonly", lambda client: client.start("true"), ("start", "PERMISSION_DENIED", "NOT_ALLOWED"),
    ),
    "input": (
        "eve", "readonly",
        lambda client: list(
            client.stub.Attach(iter([AttachRequest(start=AttachStart(job_id=str(uuid.uuid4()), input=True))]))
        ),
        ("input", "PERMISSION_DENIED", "NOT_ALLOWED"),
    ),
    "role": (
        "eve", "stranger", lambda client: client.stub.ListJobs(ListJobsRequest()),
        ("list", "PERMISSION_DENIED", "UNKNOWN_ROLE"),
    ),
    "bad request": (
        "ann", "user", lambda client: client.start("true", cwd="not/absolute"),
        ("start", "INVALID_ARGUMENT", "INVALID_ARGUMENT"),
    ),
    "bad id": (
        "ann", "user", lambda client: client.stub.Stop(StopRequest(job_id="../../etc")),
        ("stop", "INVALID_ARGUMENT", "INVALID_ARGUMENT"),
    ),
    "not found": (
        "ann", "user", lambda client: list(client.stub.GetOutput(GetOutputRequest(job_id=str(uuid.uuid4())))),
        ("output", "NOT_FOUND", "JOB_NOT_FOUND"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSALS)
def test_each_refusal_is_told_once(audited: Audited, authority: Authority, kind: str) -> None:
    name, role, call, expected = REFUSALS[kind]
    with failing():
        call(audited.connect(authority.client(name, role)))
    line = audited.line()
    operation, outcome, reason = expected
    assert fields(line) == (operation, "refused", outcome, reason)
    assert (line["name"], line["role"]) == (name, role)


@pytest.mark.parametrize("options", [", argv: true"])
def test_what_a_role_does_not_allow_is_told_with_what_was_asked(audited: Audited, authority: Authority) -> None:
    job_id, request_id = str(uuid.uuid4()), str(uuid.uuid4())
    client = audited.connect(authority.client("eve", "observer"))
    attach = AttachRequest(start=AttachStart(job_id=job_id, input=True))
    for call in (
        lambda: client.stub.Stop(StopRequest(job_id=job_id), timeout=TIMEOUT),
        lambda: list(client.stub.GetOutput(GetOutputRequest(job_id=job_id), timeout=TIMEOUT)),
        lambda: client.start("rm", "-r", "/", request_id=request_id),
    ):
        with failing():
            call()
    stop, output, start = audited.lines(3)
    assert [fields(line)[1:3] for line in (stop, output, start)] == [("refused", "PERMISSION_DENIED")] * 3
    assert (stop["job"], output["job"]) == (job_id, job_id)
    assert (start["job"], start["requestId"], start["argv"]) == (None, request_id, ["rm", "-r", "/"])

    with failing():
        list(audited.connect(authority.client("eve", "readonly")).stub.Attach(iter([attach]), timeout=TIMEOUT))
    assert audited.line()["job"] == job_id
    with failing():
        audited.connect(authority.client("eve", "stranger")).stub.Stop(StopRequest(job_id=job_id), timeout=TIMEOUT)
    assert audited.line()["job"] is None, "of whom nothing is read"


def test_a_request_that_can_not_be_read_is_told(audited: Audited, ann: Pair) -> None:
    call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = audited.connect(ann).channel.unary_unary(
        "/jobworker.v1.WorkerService/Start"
    )
    with failing():
        call(b"\xff\xff\xff", timeout=TIMEOUT)
    line = audited.line()
    assert (line["operation"], line["decision"], line["outcome"]) == ("start", "refused", "INVALID_ARGUMENT")


def test_quotas_that_are_used_up_are_told(audited: Audited, ann: Pair) -> None:
    client = audited.connect(ann)
    for _ in range(2):
        client.start("sleep", "1000")
    with failing():
        client.start("sleep", "1000")
    assert fields(audited.lines(3)[-1]) == ("start", "refused", "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED")


def test_who_has_no_identity_is_told_by_the_certificate(audited: Audited, authority: Authority) -> None:
    pair = authority.issue(["eve"])
    with failing():
        audited.connect(pair).start("true")
    line = audited.line()
    assert fields(line) == ("start", "refused", "UNAUTHENTICATED", "NO_ROLE")
    assert (line["name"], line["owner"], line["role"], line["roleSource"]) == (None, None, None, None)
    assert line["serial"] == f"{pair.certificate.serial_number:X}"
    assert line["fingerprint"] == pair.certificate.fingerprint(hashes.SHA256()).hex()


def test_a_stream_that_is_ended_for_its_certificate_is_told(
    own_certs: Path, authority: Authority, tmp_path: Path
) -> None:
    (tmp_path / "server.yaml").write_text("audit: {file: audit.log}")
    eve = authority.client("eve", "full")
    config = str(tmp_path / "server.yaml")
    with ServerProcess(own_certs, tmp_path / "state", "localhost:0", "--config", config) as server:
        audited = Audited(server, tmp_path / "audit.log", authority)
        client = audited.connect(eve)
        job = client.start("sleep", "1000", stdin=True)
        more = threading.Event()

        def requests() -> Iterator[AttachRequest]:
            yield AttachRequest(start=AttachStart(job_id=job.id, input=True))
            more.wait(TIMEOUT)

        stream = client.stub.Attach(requests(), timeout=TIMEOUT)
        next(stream)
        assert [fields(line) for line in audited.lines(2)] == [
            ("start", "allowed", "OK", None),
            ("input", "allowed", "OK", None),
        ]
        (own_certs / "crl.new").write_bytes(authority.crl(eve))
        (own_certs / "crl.new").rename(own_certs / "crl.pem")
        with failing():
            list(stream)
        more.set()
        line = audited.line()
        assert fields(line) == ("input", "refused", "UNAUTHENTICATED", "CERTIFICATE_REVOKED")
        assert (line["name"], line["job"]) == ("eve", job.id)
        audited.connect(authority.client("cleaner", "full")).stop_all()
        audited.close()


def test_what_runs_to_its_end_without_its_client_is_told_when_it_has_ended(audited: Audited, ann: Pair) -> None:
    client = audited.connect(ann)
    job = client.start("sh", "-c", "trap 'echo heard' TERM; echo ready; exec 2>&-; while :; do sleep 0.1; done")
    chunks = client.chunks(job.id)
    assert next(chunks).data == b"ready\n"
    request = StopRequest(job_id=job.id)
    request.grace_period.FromMilliseconds(1500)
    stop = client.stub.Stop.future(request, timeout=TIMEOUT)
    assert next(chunks).data == b"heard\n"
    stop.cancel()
    (ended,) = client.wait(job.id)
    assert ended.state == job_pb2.JOB_STATE_STOPPED
    assert [fields(line) for line in audited.lines(2)] == [
        ("start", "allowed", "OK", None),
        ("stop", "allowed", "OK", None),
    ]


HOSTILE = ['"}\n{"time":"2026"', "\r\n", "\x1b[2J", "\u2028", "x" * 100_000, "\x00"]


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_that_a_client_sends_forges_or_bloats_a_line(audited: Audited, ann: Pair, text: str) -> None:
    client = audited.connect(ann)
    with failing():
        client.stub.Signal(SignalRequest(job_id=text, signal=text), timeout=TIMEOUT)
    with failing():
        client.stub.Start(StartRequest(argv=["true", text], request_id=text, cwd=text), timeout=TIMEOUT)
    signal, start = audited.lines(2)
    assert text.startswith(signal["job"].removesuffix("…"))
    assert text.startswith(start["requestId"].removesuffix("…"))
    assert all(len(line) < 2048 for line in audited.path.read_bytes().splitlines())
    assert all(0x20 <= byte < 0x7F or byte == 0x0A for byte in audited.path.read_bytes())


@pytest.mark.parametrize("options", ["", ", argv: true"])
def test_command_lines_are_told_only_where_that_is_wanted(audited: Audited, ann: Pair, options: str) -> None:
    audited.connect(ann).start("sh", "-c", "echo secret")
    assert audited.line().get("argv") == (["sh", "-c", "echo secret"] if options else None)


@pytest.mark.parametrize("options", [", maxBytes: 64K, keep: 2"])
def test_the_file_is_rotated(audited: Audited, ann: Pair, options: str) -> None:
    client = audited.connect(ann)

    def refuse() -> None:
        with failing():
            client.stub.Stop(StopRequest(job_id="x" * 300), timeout=TIMEOUT)

    refuse()
    lines = (3 * 64 << 10) // audited.path.stat().st_size
    for _ in range(lines + 100):
        refuse()
    names = sorted(path.name for path in audited.path.parent.glob("audit.log*"))
    assert names == ["audit.log", "audit.log.1", "audit.log.2"]
    for name in names:
        path = audited.path.with_name(name)
        assert path.stat().st_size <= 64 << 10
        assert path.stat().st_mode & 0o777 == 0o600
        assert all(json.loads(line)["reason"] == "INVALID_ARGUMENT" for line in path.read_bytes().splitlines())


def fill(disk: Path) -> None:
    with suppress(OSError), (disk / "filler").open("wb", buffering=0) as filler:
        while True:
            filler.write(bytes(4096))


def test_a_full_disk_stops_no_call_and_loses_no_line_without_a_word(
    server_certs: Path, authority: Authority, tmp_path: Path, ann: Pair
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(disk)]
    if subprocess.run(mount, check=False, capture_output=True, timeout=TIMEOUT).returncode != 0:
        pytest.skip("only root can mount a filesystem")
    try:
        config = tmp_path / "server.yaml"
        config.write_text(f"audit: {{file: {disk}/audit.log}}")
        with ServerProcess(server_certs, tmp_path / "state", "localhost:0", "--config", str(config)) as server:
            client = Client(server.address, ann, authority)
            fill(disk)
            job = client.start("sleep", "1000")
            client.stub.Stop(StopRequest(job_id=job.id, force=True), timeout=TIMEOUT)
            problem = "a line of the audit was not written: No space left on device: "
            wait_until(lambda: server.log.count(problem) == 2)
            told = [line for line in server.log.splitlines() if problem in line]
            assert [json.loads(line[line.index("{") :])["operation"] for line in told] == ["start", "stop"]
            (disk / "filler").unlink()
            client.stub.Delete(DeleteRequest(job_id=job.id), timeout=TIMEOUT)
            assert [json.loads(line)["operation"] for line in (disk / "audit.log").read_bytes().splitlines()] == [
                "delete"
            ]
            client.close()
    finally:
        subprocess.run(["umount", str(disk)], check=True, timeout=TIMEOUT)


def test_a_server_does_not_start_without_its_audit(server_certs: Path, tmp_path: Path) -> None:
    (tmp_path / "audit.log").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "server.yaml").write_text("audit: {file: audit.log}")
    server = ServerProcess(server_certs, tmp_path / "state", "localhost:0", "--config", str(tmp_path / "server.yaml"))
    assert server.process.wait(TIMEOUT) == 1
    server.stop()
    assert f"the audit can't be written to {tmp_path}/audit.log: " in server.log


def test_a_client_with_too_many_calls_open_is_told(
    server_certs: Path, authority: Authority, tmp_path: Path, ann: Pair
) -> None:
    config = tmp_path / "server.yaml"
    config.write_text("audit: {file: audit.log}\nquotas: {streams: 1}")
    with ServerProcess(server_certs, tmp_path / "state", "localhost:0", "--config", str(config)) as server:
        audited = Audited(server, tmp_path / "audit.log", authority)
        client = audited.connect(ann)
        job = client.start("sleep", "1000")
        audited.line()
        stream = client.stub.GetOutput(GetOutputRequest(job_id=job.id, follow=True), timeout=TIMEOUT)
        stream.initial_metadata()
        with failing():
            client.stub.ListJobs(ListJobsRequest(), timeout=TIMEOUT)
        assert fields(audited.line()) == ("list", "refused", "RESOURCE_EXHAUSTED", "TOO_MANY_STREAMS")
        stream.cancel()
        audited.connect(authority.client("cleaner", "full")).stop_all()
        audited.close()


def test_the_system_log_is_told_by_the_socket_of_the_configuration(
    server_certs: Path, authority: Authority, tmp_path: Path, ann: Pair
) -> None:
    with tempfile.TemporaryDirectory(prefix="jw") as directory, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.settimeout(TIMEOUT)
        log.bind(f"{directory}/log")
        config = tmp_path / "server.yaml"
        config.write_text(f"audit: {{syslog: {directory}/log}}")
        with ServerProcess(server_certs, tmp_path / "state", "localhost:0", "--config", str(config)) as server:
            wait_until(lambda: f"the audit goes to {directory}/log" in server.log)
            client = Client(server.address, ann, authority)
            job = client.start("true")
            with failing():
                client.stub.Stop(StopRequest(job_id=str(uuid.uuid4())), timeout=TIMEOUT)
            header, _, line = log.recv(9000).decode().partition(": ")
            assert re.fullmatch(r"<85>[A-Z][a-z]{2} [ 0-9]\d \d\d:\d\d:\d\d jobworker-audit\[\d+\]", header)
            assert json.loads(line)["job"] == job.id
            header, _, line = log.recv(9000).decode().partition(": ")
            assert header.startswith("<84>")
            assert fields(json.loads(line)) == ("stop", "refused", "NOT_FOUND", "JOB_NOT_FOUND")
            log.close()
            client.wait(job.id)
            client.stub.Delete(DeleteRequest(job_id=job.id), timeout=TIMEOUT)
            wait_until(lambda: "a line of the audit was not written: Connection refused: {" in server.log)
            client.close()
