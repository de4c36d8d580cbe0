"""Input through server and command line: whole, bounded, and nobody held up who has nothing to do with it."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest

from conformance.jobs import SLEEPER, awaiting, sh
from conformance.processes import PATIENCE_SECONDS, open_files, wait_until
from harness.api import Api, failing
from harness.certs import Certs, around_now
from harness.cli import Cli
from harness.memory import PeakMemory
from harness.server import Server
from jobworker.v1.worker_service_pb2 import AttachRequest, AttachStart

MIB = 1 << 20
LARGE = 200 * MIB
COUNTER = sh('while read line; do echo "got $line"; done; echo end')


def fed(cli: Cli, *arguments: object, stdin: Any) -> subprocess.CompletedProcess[bytes]:
    """Run a command with a standard input, to its end."""
    return subprocess.run(
        cli.command(*arguments),
        env=cli.environment(),
        **({"input": stdin} if isinstance(stdin, bytes) else {"stdin": stdin}),
        capture_output=True,
        timeout=2 * PATIENCE_SECONDS,
        check=False,
    )


@pytest.fixture(scope="module")
def large_file(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """200 MiB of which no part is like another."""
    path = tmp_path_factory.mktemp("input") / "large"
    with path.open("wb") as file:
        for _ in range(LARGE // MIB):
            file.write(os.urandom(MIB))
    yield path
    path.unlink()


def test_a_large_file_arrives_whole_and_is_kept_in_nobody_s_memory(
    own_cli: Cli, own_server: Server, large_file: Path
) -> None:
    before = own_server.memory("VmRSS")
    own_server.forget_peak_memory()
    with large_file.open("rb") as file, subprocess.Popen(
        own_cli.command("run", "--stdin", "sha256sum"),
        env=own_cli.environment(), stdin=file, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process, PeakMemory(process.pid) as peak:  # fmt: skip
        assert process.stdout
        assert process.stderr
        output = process.stdout.read()
        assert process.stderr.read() == b""
        assert process.wait() == 0
    with large_file.open("rb") as file:
        assert output.split()[0].decode() == hashlib.file_digest(file, "sha256").hexdigest()
    assert own_server.memory("VmHWM") - before < 48 * MIB
    assert 0 < peak.bytes < 160 * MIB


def test_a_job_that_does_not_read_is_waited_for_without_filling_memory(
    own_cli: Cli, own_server: Server, large_file: Path, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    before = own_server.memory("VmRSS")
    own_server.forget_peak_memory()
    script = f"echo ready; {awaiting(gate)}; exec wc -c"
    with large_file.open("rb") as file, own_cli.running("run", "-i", *sh(script), stdin=file) as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        wait_until(lambda: os.lseek(file.fileno(), 0, os.SEEK_CUR) > 0)  # the file's position is shared
        assert own_cli("list").out  # others are served meanwhile
        taken = os.lseek(file.fileno(), 0, os.SEEK_CUR)
        assert taken < 64 * MIB
        gate.touch()
        assert process.stdout.read() == b"%d\n" % LARGE
        assert process.wait(PATIENCE_SECONDS) == 0
    assert own_server.memory("VmHWM") - before < 48 * MIB


def test_input_of_a_pipe_ends_as_it_does(cli: Cli) -> None:
    done = fed(cli, "run", "--stdin", *COUNTER, stdin=b"one\ntwo\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"got one\ngot two\nend\n", b"")


def test_no_input_is_an_end_too(cli: Cli) -> None:
    done = fed(cli, "run", "-i", *COUNTER, stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"end\n", b"")


def test_a_job_that_has_enough_ends_an_endless_input(cli: Cli) -> None:
    with subprocess.Popen(["yes"], stdout=subprocess.PIPE) as source:
        done = fed(cli, "run", "--stdin", "head", "-n", "2", stdin=source.stdout)
        source.kill()
    assert (done.returncode, done.stdout, done.stderr) == (0, b"y\ny\n", b"")


def test_a_terminal_without_a_user_is_fed_from_a_pipe(cli: Cli) -> None:
    done = fed(cli, "run", "-it", *sh('read line; echo "got $line"; stty size; cat'), stdin=b"typed\n")
    assert (done.returncode, done.stdout) == (0, b"typed\r\ngot typed\r\n24 80\r\n"), done


def test_a_terminal_without_stdin_is_only_watched(cli: Cli) -> None:
    done = fed(cli, "run", "--tty", "sh", "-c", "[ -t 0 ] && echo yes", stdin=b"typed\n")
    assert (done.returncode, done.stdout) == (0, b"yes\r\n"), done


def test_attach_feeds_a_job_and_exits_as_it_does(cli: Cli) -> None:
    job_id = cli.start(sh("cat; exit 3"), "--stdin")
    done = fed(cli, "attach", job_id[:12], stdin=b"hello\n")
    assert (done.returncode, done.stdout, done.stderr) == (3, b"hello\n", b"")


def test_attach_that_only_watches_leaves_the_input_alone(cli: Cli) -> None:
    job_id = cli.start(COUNTER, "--stdin")
    with cli.running("attach", "--no-stdin", "--tail", 10, job_id) as watcher:
        assert fed(cli, "attach", job_id, stdin=b"hello\n").returncode == 0
        assert watcher.stdout
        assert watcher.stdout.read().endswith(b"end\n")
        assert watcher.wait(PATIENCE_SECONDS) == 0


def test_input_to_a_job_without_is_refused_and_not_dropped(cli: Cli) -> None:
    job_id = cli.start(SLEEPER)
    refused = cli("attach", job_id, status=1)
    assert f"error: job {job_id} takes no input" in refused.err
    assert "--no-stdin only watches" in refused.err
    cli("stop", job_id)
    assert cli("attach", "--no-stdin", job_id, status=128 + signal.SIGTERM).stdout == b""


def test_attach_shows_the_lines_that_are_asked_for(cli: Cli) -> None:
    job_id = cli.start(sh("printf 'a\\nb\\nc\\n'; read line; echo over"), "--stdin")
    wait_until(lambda: cli("logs", "--no-follow", job_id).stdout == b"a\nb\nc\n")
    with cli.running("attach", "--no-stdin", "--tail", 2, job_id) as watcher:
        assert watcher.stdout
        assert watcher.stdout.readline() == b"b\n"
        assert fed(cli, "attach", job_id, stdin=b"\n").stdout == b"over\n"
        assert watcher.stdout.read() == b"c\nover\n"


def test_attach_shows_no_more_than_a_screenful_of_a_terminal(cli: Cli) -> None:
    """However few lines a program writes that draws on it."""
    job_id = cli.start(sh("head -c 300000 /dev/zero | tr '\\0' x; echo end; seq 10; exec sleep 1000"), "--tty")
    wait_until(lambda: cli("logs", "--no-follow", job_id).stdout.endswith(b"10\r\n"))
    with cli.running("attach", "--no-stdin", job_id) as watcher:
        assert watcher.stdout
        begin = watcher.stdout.read(1)
        cli("stop", job_id)
        output = begin + watcher.stdout.read()
    assert output.lstrip(b"x").split() == [b"end", *(b"%d" % number for number in range(1, 11))]
    assert len(output) == 64 << 10


def test_ctrl_c_stops_a_job_that_is_run_and_leaves_one_that_is_attached(cli: Cli) -> None:
    job_id = cli.start(sh("echo ready; exec cat"), "--stdin")
    with cli.running("attach", "--tail", "10", job_id, stdin=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_SECONDS) == 130
    assert cli("status", job_id).out == "running"
    cli("stop", job_id)
    with cli.running("run", "--stdin", *sh("echo ready; exec cat"), stdin=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_SECONDS) == 128 + signal.SIGTERM


def test_a_killed_server_leaves_the_input_open(own_cli: Cli, own_server: Server) -> None:
    with own_cli.running("run", "--stdin", *COUNTER, stdin=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdin.write(b"before\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"got before\n"
        own_server.kill()
        assert process.wait(PATIENCE_SECONDS) == 125
        told = process.stderr.read().decode()
    own_server.start()
    job = own_cli.json("list")[0]
    assert "error: the connection was lost" in told
    assert f"`jobworker-cli attach {job['id']}`" in told
    assert job["state"] == "running"
    done = fed(own_cli, "attach", job["id"], stdin=b"after\n")
    assert (done.returncode, done.stdout) == (0, b"got after\nend\n")


def test_a_server_that_stops_ends_the_call_and_nothing_else(own_server: Server, own_cli: Cli, certs: Certs) -> None:
    with Api(own_server, certs.full) as api:
        job_id = api.start(SLEEPER, stdin=True).id
        call = api.stub.Attach(iter([AttachRequest(start=AttachStart(job_id=job_id, input=True))]))
        assert next(call).job.id == job_id
        assert own_server.terminate() == 0
        with failing() as failure:
            list(call)
    assert (failure.code, failure.reason) == (grpc.StatusCode.UNAVAILABLE, "SERVER_STOPPING")
    own_server.start()
    assert own_cli("status", job_id).out == "running"


def test_a_certificate_that_expires_ends_the_call_and_nothing_else(server: Server, certs: Certs) -> None:
    soon = certs.by_hand("soon-attached", "full", *around_now(timedelta(hours=1), timedelta(seconds=8)))
    with Api(server, soon) as api:
        job_id = api.start(SLEEPER, stdin=True).id
        with failing() as failure:
            api.attach(AttachRequest(input=b"hello\n"), job_id=job_id, input=True)
    assert (failure.code, failure.reason) == (grpc.StatusCode.UNAUTHENTICATED, "CERTIFICATE_EXPIRED")
    with Api(server, certs.full) as api:
        assert api.status(job_id).stdin
        api.stop(job_id, force=True)


def test_output_that_is_not_read_does_not_hold_up_input(api: Api, tmp_path: Path) -> None:
    count = tmp_path / "count"
    job_id = api.start(sh(f"head -c 200M /dev/zero & wc -c >'{count}'"), stdin=True).id
    data = bytes(MIB)

    def requests() -> Iterator[AttachRequest]:
        yield AttachRequest(start=AttachStart(job_id=job_id, input=True))
        for _ in range(16):
            yield AttachRequest(input=data)
        yield AttachRequest(end_of_input=True)

    call = api.stub.Attach(requests(), timeout=PATIENCE_SECONDS)
    wait_until(lambda: count.exists() and count.read_text())
    call.cancel()
    assert int(count.read_text()) == 16 * MIB


def test_input_that_is_not_taken_does_not_hold_up_output(api: Api) -> None:
    job_id = api.start(sh("echo ready; sleep 0.3; seq 100000; exec sleep 1000"), stdin=True).id

    def requests() -> Iterator[AttachRequest]:
        yield AttachRequest(start=AttachStart(job_id=job_id, input=True))
        while True:
            yield AttachRequest(input=bytes(MIB))

    call = api.stub.Attach(requests(), timeout=PATIENCE_SECONDS)
    output = b""
    for response in call:
        output += b"".join(chunk.data for chunk in response.chunks)
        if output.endswith(b"100000\n"):
            break
    call.cancel()
    api.stop(job_id, force=True)


@pytest.mark.parametrize(
    "requests",
    [
        [AttachRequest(input=b"x")],
        [AttachRequest()],
        [AttachRequest(start=AttachStart(job_id="nonsense"))],
        [AttachRequest(start=AttachStart())],
    ],
)
def test_a_bad_beginning_is_refused(api: Api, requests: list[AttachRequest]) -> None:
    with failing() as failure:
        list(api.stub.Attach(iter(requests), timeout=PATIENCE_SECONDS))
    assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT")


def test_who_only_watches_can_not_send(api: Api) -> None:
    job_id = api.start(SLEEPER, stdin=True).id
    for request in (AttachRequest(input=b"x"), AttachRequest(end_of_input=True)):
        with failing() as failure:
            api.attach(request, job_id=job_id)
        assert failure.fields == ["start.input"]
    api.stop(job_id, force=True)


def test_a_client_that_says_nothing_is_let_go(api: Api) -> None:
    assert list(api.stub.Attach(iter([]), timeout=PATIENCE_SECONDS)) == []


def test_a_client_that_has_said_all_goes_on_seeing(api: Api) -> None:
    job_id = api.start(["cat"], stdin=True).id
    responses = api.attach(AttachRequest(input=b"hello"), AttachRequest(end_of_input=True), job_id=job_id, input=True)
    assert b"".join(chunk.data for response in responses for chunk in response.chunks) == b"hello"
    assert [response.input_closed for response in responses].count(True) <= 1
    assert responses[0].job.id == job_id
    assert responses[-1].job.HasField("ended_at")


def test_a_client_that_reads_nothing_is_let_go_when_it_is_gone_and_when_the_server_stops(
    own_server: Server, certs: Certs
) -> None:
    with Api(own_server, certs.full) as api:
        job_id = api.start(sh("head -c 100M /dev/zero; exec sleep 1000"), stdin=True).id
        output = str(own_server.state_dir / "jobs" / job_id / "output.log")
        for end in ("client", "server"):
            with Api(own_server, certs.full) as silent:
                requests = iter([AttachRequest(start=AttachStart(job_id=job_id, input=True))])
                call = silent.stub.Attach(requests, timeout=PATIENCE_SECONDS)
                assert next(call).job.id == job_id
                wait_until(lambda: output in open_files(own_server.pid))
                if end == "client":
                    call.cancel()
                    wait_until(lambda: output not in open_files(own_server.pid))
                    continue
                assert own_server.terminate() == 0
    own_server.start()
    with Api(own_server, certs.full) as api:
        api.stop(job_id, force=True)
