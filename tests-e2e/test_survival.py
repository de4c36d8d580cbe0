"""Guards promise 1: jobs outlive the server. They run on, and all of them is there when it is back."""

from __future__ import annotations

import os
import shutil
import signal
import ssl
from pathlib import Path

import pytest

from conformance.jobs import SLEEPER, awaiting, sh
from conformance.processes import PATIENCE_SECONDS, job_processes, wait_until
from harness.api import Api
from harness.certs import Certs, pki
from harness.cli import Cli
from harness.server import Server
from lib_testing import parent


def test_a_killed_server_loses_no_byte_and_no_exit_code(own_server: Server, own_cli: Cli, tmp_path: Path) -> None:
    meanwhile, later = tmp_path / "meanwhile", tmp_path / "later"
    count = "i=0; while [ $i -lt 2000 ]; do i=$((i + 1)); echo line $i; echo err $i >&2; done"
    ends_meanwhile = own_cli.start(sh(f"echo before; {awaiting(meanwhile)}; {count}; exit 7"))
    ends_later = own_cli.start(sh(f"echo before; {awaiting(later)}; {count}; kill -KILL $$"))
    prints = own_cli.start(sh("i=0; while :; do i=$((i + 1)); echo $i; sleep 0.01; done"))
    with own_cli.running("--reconnect", 0, "logs", prints) as reader:
        assert reader.stdout
        assert reader.stderr
        seen = reader.stdout.readline()
        own_server.kill()
        seen += reader.stdout.read()
        err = reader.stderr.read()
        assert reader.wait(PATIENCE_SECONDS) == 5
    assert f"go on with --offset {len(seen)}".encode() in err
    meanwhile.touch()
    wait_until(lambda: not job_processes(ends_meanwhile), "the end of a job without a server")
    assert job_processes(ends_later)
    own_server.start()

    lines = [f"line {i}" for i in range(1, 2001)]
    errors = [f"err {i}" for i in range(1, 2001)]
    later.touch()
    for job_id, status in ((ends_meanwhile, 7), (ends_later, 128 + signal.SIGKILL)):
        own_cli("wait", job_id, status=status)
        output = own_cli("logs", job_id)
        assert output.out.splitlines() == ["before", *lines]
        assert output.err.splitlines() == errors
    own_cli("stop", "--force", prints)
    continued = seen + own_cli("logs", "--offset", len(seen), prints).stdout
    numbers = [int(line) for line in continued.split(b"\n")[:-1]]
    assert numbers == list(range(1, len(numbers) + 1))


def test_wait_and_stop_work_on_jobs_of_the_server_before(own_server: Server, own_cli: Cli, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    waited, stopped = own_cli.start(sh(f"{awaiting(gate)}; exit 3")), own_cli.start(SLEEPER)
    own_server.kill()
    own_server.start()
    with own_cli.running("wait", waited) as wait:
        gate.touch()
        assert wait.wait(PATIENCE_SECONDS) == 3
    own_cli("stop", stopped)
    assert not job_processes(stopped)
    own_cli("rm", stopped)
    own_cli("status", stopped, status=3)


def test_the_fork_server_can_be_killed(own_server: Server, own_cli: Cli, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    before = own_cli.start(sh(f"{awaiting(gate)}; echo alive; exit 3"))
    killed = own_server.fork_server()
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: not Path(f"/proc/{killed}").exists(), "the end of the fork server")
    assert own_cli("run", "echo", "hi").out == "hi"
    assert own_server.fork_server() != killed
    gate.touch()
    own_cli("wait", before, status=3)
    assert own_cli("logs", before).out == "alive"


def test_server_and_fork_server_can_be_killed_at_once(own_server: Server, own_cli: Cli) -> None:
    job_id = own_cli.start(SLEEPER)
    os.kill(own_server.fork_server(), signal.SIGKILL)
    own_server.kill()
    assert job_processes(job_id)
    own_server.start()
    assert own_cli("status", job_id).out == "running"
    assert own_cli("run", "echo", "hi").out == "hi"
    own_cli("stop", job_id)
    assert not job_processes(job_id)


def test_sigterm_ends_the_server_alone(own_server: Server, own_cli: Cli, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    job_id = own_cli.start(sh(f"echo before; {awaiting(gate)}; echo after; exit 3"))
    with own_cli.running("--reconnect", 0, "logs", job_id) as reader:
        assert reader.stdout
        assert reader.stdout.readline() == b"before\n"
        assert own_server.terminate() == 0
        assert reader.wait(PATIENCE_SECONDS) == 5
    assert job_processes(job_id)
    assert "Traceback" not in own_server.log
    gate.touch()
    own_server.start()
    own_cli("wait", job_id, status=3)
    assert own_cli("logs", job_id).out == "before\nafter"


@pytest.fixture
def served(certs: Certs, tmp_path: Path) -> Path:
    """A server's directory of certificates that the test may change."""
    return certs.copy(tmp_path / "served")


def test_sighup_takes_a_renewed_certificate_without_cutting_a_stream(
    certs: Certs, served: Path, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    server = Server(certs, tmp_path, served)
    try:
        with Api(server, certs.full) as api:
            job = api.start(sh(f"echo before; {awaiting(gate)}; echo after"))
            chunks = api.chunks(job.id)
            assert next(chunks).data == b"before\n"
            old = _certificate(server)
            pki("server", "--dir", served, "--force")
            server.send_signal(signal.SIGHUP)
            wait_until(lambda: "the server's certificate was reloaded" in server.log, "the line in the log")
            wait_until(lambda: _certificate(server) != old, "the new certificate")
            gate.touch()
            assert b"".join(chunk.data for chunk in chunks) == b"after\n"
            assert api.wait(job.id).exit_code == 0
        with Api(server, certs.full) as again:
            assert again.status(job.id).id == job.id
    finally:
        server.close()


def test_sighup_keeps_the_old_certificate_where_the_new_one_can_not_be_used(
    certs: Certs, served: Path, tmp_path: Path
) -> None:
    server = Server(certs, tmp_path, served)
    try:
        shutil.copy(certs.full.key, served / "server.key")
        server.send_signal(signal.SIGHUP)
        wait_until(lambda: "was not reloaded, the old one stays in use" in server.log, "the line in the log")
        with Api(server, certs.full) as api:
            assert api.list() == []
    finally:
        server.close()


def test_a_start_that_is_sent_again_starts_no_second_job(own_server: Server, certs: Certs) -> None:
    with Api(own_server, certs.full) as api:
        first = api.start(["true"], request_id="once")
    own_server.kill()
    own_server.start()
    with Api(own_server, certs.full) as api, Api(own_server, certs.client("user", "ann")) as ann:
        assert api.start(["true"], request_id="once").id == first.id
        assert ann.start(["true"], request_id="once").id != first.id, "request ids are each client's own"
        assert len(api.list(all_owners=True)) == 2


def test_a_job_whose_shim_was_killed_is_lost_and_leaves_nothing(own_server: Server, own_cli: Cli) -> None:
    job_id = own_cli.start(sh("sleep 1000 & setsid sleep 1000 & wait"))
    wait_until(lambda: len(job_processes(job_id)) == 3, "the whole tree")
    (shim,) = {parent(pid) for pid in job_processes(job_id)} - set(job_processes(job_id))
    os.kill(shim, signal.SIGKILL)
    wait_until(lambda: own_cli("status", job_id).out == "lost (its supervisor was killed)", "the state lost")
    wait_until(lambda: not job_processes(job_id), "the end of its processes")
    own_cli("wait", job_id, status=125)


def _certificate(server: Server) -> str:
    host, _, port = server.address.rpartition(":")
    return ssl.get_server_certificate((host, int(port)))
