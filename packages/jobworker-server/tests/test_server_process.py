"""The command and its process: flags, readiness, signals, and jobs that outlive it."""

from __future__ import annotations

import fcntl
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import grpc
import pytest

from jobworker.v1 import job_pb2
from jobworker.v1.worker_service_pb2 import GetOutputRequest, StartRequest, WaitRequest
from jobworker.v1.worker_service_pb2_grpc import WorkerServiceStub
from server_testing import TIMEOUT, Authority, Client, ServerProcess, failing, wait_until


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A command that ends by itself."""
    return subprocess.run(
        [sys.executable, "-m", "jobworker_server", *arguments],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


@pytest.fixture
def state_dir(server_certs: Path, tmp_path: Path, authority: Authority) -> Iterator[Path]:
    """A state directory whose jobs are stopped when the test has ended, however it does."""
    yield tmp_path / "state"
    with ServerProcess(server_certs, tmp_path / "state") as server:
        client = Client(server.address, authority.client("cleaner", "full"), authority)
        client.stop_all()
        client.close()


def test_version() -> None:
    result = run("--version")
    assert (result.returncode, result.stdout) == (0, "jobworker-server 0.1.0\n")


def test_help_names_each_flag() -> None:
    result = run("--help")
    assert result.returncode == 0
    for flag in ("--listen", "--certs", "--ca", "--cert", "--key", "--state-dir", "--config", "--version"):
        assert flag in result.stdout


def test_doctor_tells_whom_a_server_would_trust(own_certs: Path, authority: Authority, tmp_path: Path) -> None:
    (own_certs / "crl.pem").write_bytes(authority.crl(authority.client("eve", "full")))
    (tmp_path / "server.yaml").write_text("audit: {file: audit.log}")
    found = run("--certs", str(own_certs), "--config", str(tmp_path / "server.yaml"), "doctor").stdout
    assert f"  yes  the server's certificate: {own_certs}/server.pem, valid until " in found
    assert "  yes  clients' CAs: CN=test CA; 1 revoked by CN=test CA (until " in found
    assert "  yes  policy: built in, with the roles full, " in found
    assert f"  yes  audit: {tmp_path}/audit.log" in found
    (own_certs / "crl.pem").write_bytes(Authority("foreign").crl())
    (own_certs / "server.key").unlink()
    found = run("--certs", str(own_certs), "doctor").stdout
    assert f"  NO   the server's certificate: {own_certs}/server.key does not exist" in found
    assert f"  NO   clients' CAs: {own_certs}/crl.pem holds a CRL of 'CN=foreign'" in found
    assert "  --   audit: none" in found


def test_doctor_looks_at_the_key_of_tokens(own_certs: Path, tmp_path: Path) -> None:
    (tmp_path / "server.yaml").write_text("identity: {roleSources: [token], tokens: {key: token.pub}}")
    found = run("--certs", str(own_certs), "--config", str(tmp_path / "server.yaml"), "doctor").stdout
    assert f"  NO   keys of tokens: the key of tokens {tmp_path}/token.pub does not exist" in found


def test_doctor_tells_what_a_server_with_these_options_could_enforce(tmp_path: Path) -> None:
    path = tmp_path / "server.yaml"
    path.write_text("cgroup: /no-such-cgroup")
    result = run("--config", str(path), "doctor")
    assert result.returncode == 0
    assert "  NO   memory_bytes\n" in result.stdout
    assert "no-such-cgroup" in result.stdout
    assert "  yes  open_files\n" in result.stdout


@pytest.mark.parametrize("arguments", [["--bogus"], ["argument"], ["--listen"], ["--listen", "nowhere"]])
def test_wrong_usage_leaves_with_2(arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr


def test_a_bad_configuration_file_leaves_with_2(tmp_path: Path) -> None:
    path = tmp_path / "server.yaml"
    path.write_text("lissen: localhost:0")
    result = run("--config", str(path))
    assert result.returncode == 2
    assert result.stderr == f"jobworker-server: {path}: there is no setting 'lissen'; did you mean 'listen'?\n"


def test_missing_certificates_are_named_with_the_command_that_makes_them(tmp_path: Path) -> None:
    result = run("--certs", str(tmp_path))
    assert result.returncode == 1
    assert result.stderr.startswith(
        f"jobworker-server: {tmp_path}/ca.pem does not exist; make it with jobworker-pki init"
    )


def test_a_taken_port_leaves_with_1(server_certs: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        result = run("--listen", address, "--certs", str(server_certs), "--state-dir", str(tmp_path))
    assert result.returncode == 1
    assert f"can't listen on {address}: Address already in use" in result.stderr
    assert "Traceback" not in result.stderr


def test_a_port_is_not_shared_with_another_server(server: ServerProcess, server_certs: Path, tmp_path: Path) -> None:
    result = run("--listen", server.address, "--certs", str(server_certs), "--state-dir", str(tmp_path))
    assert result.returncode == 1
    assert "Address already in use" in result.stderr


def test_a_state_directory_that_can_not_be_used_leaves_with_1(server_certs: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = run("--listen", "localhost:0", "--certs", str(server_certs), "--state-dir", str(tmp_path / "file/state"))
    assert result.returncode == 1
    assert str(tmp_path / "file") in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("listen", ["localhost:0", "127.0.0.1:0", "[::1]:0"])
def test_calls_are_taken_where_the_ready_line_says(
    listen: str, server_certs: Path, tmp_path: Path, authority: Authority
) -> None:
    with ServerProcess(server_certs, tmp_path, listen) as server:
        assert server.address.rpartition(":")[0] == listen.rpartition(":")[0]
        assert server.port > 0
        client = Client(server.address, authority.client("ann", "full"), authority)
        assert client.wait(client.start("true").id)[0].exit_code == 0
        client.close()


def test_localhost_is_served_on_ipv4_and_ipv6(server: ServerProcess) -> None:
    families = {found[0] for found in socket.getaddrinfo("localhost", 1, type=socket.SOCK_STREAM)}
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        if family in families:
            socket.create_connection((host, server.port), TIMEOUT).close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_ends_streams_with_unavailable_and_leaves_jobs(
    number: signal.Signals, server_certs: Path, tmp_path: Path, state_dir: Path, authority: Authority
) -> None:
    pair = authority.client("ann", "full")
    go = tmp_path / "go"
    script = f"echo before; until [ -e {go} ]; do sleep 0.05; done; echo after; exit 7"
    with ServerProcess(server_certs, state_dir) as server:
        client = Client(server.address, pair, authority)
        job = client.start("sh", "-c", script)
        chunks = client.chunks(job.id)
        assert next(chunks).data == b"before\n"
        waiting = client.stub.Wait.future(WaitRequest(job_ids=[job.id]), timeout=TIMEOUT)
        client.wait(client.start("true").id)  # the call before it on the connection has arrived, then
        server.send(number)
        with failing() as failure:
            list(chunks)
        assert (failure.code, failure.reason) == (grpc.StatusCode.UNAVAILABLE, "SERVER_STOPPING"), failure
        assert waiting.code() is grpc.StatusCode.UNAVAILABLE
        assert server.process.wait(TIMEOUT) == 0
        client.close()
    go.touch()
    with ServerProcess(server_certs, state_dir) as server:
        client = Client(server.address, pair, authority)
        (ended,) = client.wait(job.id)
        assert (ended.state, ended.exit_code) == (job_pb2.JOB_STATE_EXITED, 7)
        assert client.output(job.id) == b"before\nafter\n"
        client.close()


def test_a_stop_in_the_midst_of_much_output_is_told_as_such(
    server_certs: Path, state_dir: Path, authority: Authority
) -> None:
    with ServerProcess(server_certs, state_dir) as server:
        client = Client(server.address, authority.client("ann", "full"), authority)
        job = client.start("sh", "-c", "head -c 1G /dev/zero; exec sleep 1000")
        size = 0
        with failing() as failure:
            for chunk in client.chunks(job.id):
                if size == 0:
                    server.send(signal.SIGTERM)
                size += len(chunk.data)
        assert (failure.code, failure.reason) == (grpc.StatusCode.UNAVAILABLE, "SERVER_STOPPING"), failure
        assert 0 < size < 1 << 30
        client.close()
    assert "ERROR" not in server.log


def test_certificates_of_jobworker_pki_are_taken(tmp_path: Path) -> None:
    for arguments in (["init"], ["issue", "--role", "user", "--name", "ann"]):
        command = [sys.executable, "-m", "jobworker_pki", *arguments, "--dir", str(tmp_path / "certs")]
        subprocess.run(command, check=True, capture_output=True, timeout=TIMEOUT)
    certs = tmp_path / "certs"
    expected: list[str] = []
    with ServerProcess(certs, tmp_path / "state") as server:
        for name, role in (("full", "full"), ("ann", "user")):
            pems = [(certs / file).read_bytes() for file in ("ca.pem", f"{name}.key", f"{name}.pem")]
            with grpc.secure_channel(server.address, grpc.ssl_channel_credentials(*pems)) as channel:
                job = WorkerServiceStub(channel).Start(StartRequest(argv=["true"]), timeout=TIMEOUT).job
            assert job.owner == name
            expected.append(f"job {job.id} started by {name} ({role})")
        wait_until(lambda: all(line in server.log for line in expected))


def test_a_stuck_client_does_not_hold_up_the_end(server_certs: Path, state_dir: Path, authority: Authority) -> None:
    with ServerProcess(server_certs, state_dir) as server:
        client = Client(server.address, authority.client("ann", "full"), authority)
        job = client.start("sh", "-c", "head -c 64M /dev/zero; sleep 1000")
        stuck = client.stub.GetOutput(GetOutputRequest(job_id=job.id, follow=True))
        next(stuck)
        started = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - started < 20
        client.close()


def test_a_client_that_is_gone_frees_its_reader(server: ServerProcess, full: Client, authority: Authority) -> None:
    job = full.start("sh", "-c", "head -c 64M /dev/zero; sleep 1000")

    def open_files_of_job() -> int:
        return sum(job.id in path for path in server.open_files())

    before = open_files_of_job()
    client = Client(server.address, authority.client("ann", "full"), authority)
    stream = client.stub.GetOutput(GetOutputRequest(job_id=job.id, follow=True))
    next(stream)
    wait_until(lambda: open_files_of_job() > before)
    client.close()
    wait_until(lambda: open_files_of_job() <= before)


@contextmanager
def unread_server(certs: Path, state_dir: Path) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes], str]]:
    """A server whose log nobody reads on after the readiness line, in a pipe that holds little: it, the pipe, where."""
    arguments = ["--listen", "localhost:0", "--certs", str(certs), "--state-dir", str(state_dir)]
    with subprocess.Popen([sys.executable, "-m", "jobworker_server", *arguments], stderr=subprocess.PIPE) as process:
        try:
            assert process.stderr is not None
            fcntl.fcntl(process.stderr, fcntl.F_SETPIPE_SZ, 4096)
            yield process, process.stderr, process.stderr.readline().decode().rpartition(" ")[2].strip()
        finally:
            process.kill()


def test_a_log_that_nobody_reads_holds_up_no_call(server_certs: Path, state_dir: Path, authority: Authority) -> None:
    with unread_server(server_certs, state_dir) as (process, log, address):
        client = Client(address, authority.client("ann", "full"), authority)
        jobs = [client.start("true") for _ in range(100)]  # a line for each, 11 KB together
        assert [job.exit_code for job in client.wait(*(job.id for job in jobs))] == [0] * 100
        client.close()
        process.terminate()
        lines = log.read().decode().splitlines()
        assert process.wait(TIMEOUT) == 0
    assert [line.split()[4] for line in lines if " started by ann " in line] == [job.id for job in jobs]
    assert lines[-1].endswith("INFO stopping; jobs run on")


def test_a_log_that_nobody_reads_does_not_hold_up_the_end(
    server_certs: Path, state_dir: Path, authority: Authority
) -> None:
    with unread_server(server_certs, state_dir) as (process, _, address):
        client = Client(address, authority.client("ann", "full"), authority)
        for _ in range(100):
            client.start("true")
        client.close()
        process.terminate()
        assert process.wait(TIMEOUT) == 0


def test_the_key_must_be_closed_to_others(server_certs: Path, tmp_path: Path) -> None:
    certs = Path(shutil.copytree(server_certs, tmp_path / "certs"))
    (certs / "server.key").chmod(0o644)
    result = run("--certs", str(certs), "--listen", "localhost:0", "--state-dir", str(tmp_path / "state"))
    assert result.returncode == 1
    assert f"chmod 600 {certs}/server.key" in result.stderr


def test_a_state_directory_of_a_newer_version_is_refused(server_certs: Path, tmp_path: Path) -> None:
    state_dir = tmp_path / "state"
    state_dir.mkdir()
    (state_dir / "version").write_text("1000\n")
    result = run("--listen", "localhost:0", "--certs", str(server_certs), "--state-dir", str(state_dir))
    assert result.returncode == 1
    assert result.stderr.startswith(f"jobworker-server: {state_dir} was used by a newer version of jobworker")
    assert result.stderr.count("\n") == 1


def test_limits_of_the_configuration_hold_for_each_start(
    server_certs: Path, authority: Authority, tmp_path: Path
) -> None:
    config = tmp_path / "server.yaml"
    config.write_text("limits: {default: {openFiles: 50, nice: 3}, max: {openFiles: 60}}")
    with ServerProcess(server_certs, tmp_path / "state", "localhost:0", "--config", str(config)) as server:
        client = Client(server.address, authority.client("ann", "full"), authority)
        job = client.start("sh", "-c", "ulimit -n; nice")
        assert (job.limits.open_files, job.limits.nice) == (50, 3)
        assert client.output(job.id) == b"50\n3\n"
        assert client.output(client.start("sh", "-c", "ulimit -n", limits=job_pb2.Limits(open_files=60)).id) == b"60\n"
        with failing() as failure:
            client.start("true", limits=job_pb2.Limits(open_files=61))
        assert (failure.code, failure.fields) == (grpc.StatusCode.INVALID_ARGUMENT, ("limits.open_files",))
        assert failure.message == "limits.open_files: this server allows at most 60"
        client.close()
