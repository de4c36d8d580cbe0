"""Guards promises 2 and 6: no byte is lost or changed, no reader holds up the job or another, memory stays flat.

Random bytes on both streams are compared by hash with what the job itself computed.
"""

from __future__ import annotations

import base64
import hashlib
import json
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from subprocess import Popen
from typing import IO

import pytest

from conformance.jobs import SLEEPER, awaiting, python, sh
from conformance.processes import PATIENCE_SECONDS, open_files, wait_until
from harness.api import Api
from harness.cli import Cli
from harness.memory import PeakMemory
from harness.server import Server
from jobworker.v1.worker_service_pb2 import GetOutputRequest

MIB = 1 << 20

_RANDOM_WRITER = """
import hashlib, json, os, random, sys, time
size, gate, report = int(sys.argv[1]), sys.argv[2], sys.argv[3]
chosen = random.Random(size)
hashes = hashlib.sha256(), hashlib.sha256()
written = turn = 0
while written < size:
    block = chosen.randbytes(min(size - written, chosen.choice((1, 4096, 65536, 1 << 20))))
    hashes[turn].update(block)
    rest = memoryview(block)
    while rest:
        rest = rest[os.write(1 + turn, rest):]
    if written == 0:
        while not os.path.exists(gate):
            time.sleep(0.01)
    written += len(block)
    turn = 1 - turn
with open(report, "w") as file:
    json.dump([each.hexdigest() for each in hashes], file)
"""


class RandomJob:
    """Writes random bytes to both streams, a first block at once and the others when it is let."""

    def __init__(self, cli: Cli, directory: Path, size: int) -> None:
        self._gate, self._report = directory / "gate", directory / "hashes.json"
        self._cli = cli
        self.id = cli.start(python(_RANDOM_WRITER, size, self._gate, self._report))

    def go_on(self) -> None:
        self._gate.touch()

    def hashes(self) -> list[str]:
        """Of stdout and stderr, as the job told them at its end."""
        with self._cli.running("wait", self.id) as waiting:
            assert waiting.wait(3 * PATIENCE_SECONDS) == 0
        return list(json.loads(self._report.read_text()))


class Reader:
    """A ``logs`` command whose two outputs are hashed as they come."""

    def __init__(self, process: Popen[bytes], pool: ThreadPoolExecutor) -> None:
        self.process = process
        assert process.stdout
        assert process.stderr
        self._first = process.stdout.read(1)  # the stream is open, and followed
        self._hashes = [
            pool.submit(_hash, process.stdout, self._first),
            pool.submit(_hash, process.stderr, b""),
        ]

    def hashes(self) -> list[str]:
        """Of stdout and stderr, when the command is done."""
        found = [future.result(PATIENCE_SECONDS) for future in self._hashes]
        assert self.process.wait(PATIENCE_SECONDS) == 0
        return found


def _hash(file: IO[bytes], first: bytes) -> str:
    digest = hashlib.sha256(first)
    while block := file.read(MIB):
        digest.update(block)
    return digest.hexdigest()


def test_three_clients_get_200_mib_while_the_memory_of_the_server_stays_flat(
    own_server: Server, own_cli: Cli, tmp_path: Path
) -> None:
    job = RandomJob(own_cli, tmp_path, 200 * MIB)
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor())
        readers = [Reader(stack.enter_context(own_cli.running("logs", job.id)), pool) for _ in range(3)]
        own_server.forget_peak_memory()
        before = own_server.memory("VmRSS")
        job.go_on()
        expected = job.hashes()
        for reader in readers:
            assert reader.hashes() == expected
    # 600 MiB went through; what gRPC buffers for a client is bounded by some 20 MiB.
    assert own_server.memory("VmHWM") - before < 96 * MIB
    assert own_server.memory("VmRSS") - before < 64 * MIB


def test_a_client_that_is_killed_harms_neither_the_job_nor_another(cli: Cli, tmp_path: Path) -> None:
    job = RandomJob(cli, tmp_path, 48 * MIB)
    with ThreadPoolExecutor() as pool, cli.running("logs", job.id) as victim, cli.running("logs", job.id) as other:
        reader = Reader(other, pool)
        assert victim.stdout
        victim.stdout.read(1)
        job.go_on()
        victim.stdout.read(MIB)
        victim.kill()
        assert reader.hashes() == job.hashes()
    assert cli("status", job.id).out == "exited (exit code: 0)"


def test_a_reader_that_stands_still_does_not_slow_the_job(cli: Cli, server: Server, tmp_path: Path) -> None:
    job = RandomJob(cli, tmp_path, 128 * MIB)
    with ThreadPoolExecutor() as pool, cli.running("logs", job.id) as slow, cli.running("logs", job.id) as quick:
        stopped, reader = Reader(slow, pool), Reader(quick, pool)
        slow.send_signal(signal.SIGSTOP)
        server.forget_peak_memory()
        before = server.memory("VmRSS")
        job.go_on()
        expected = job.hashes()
        assert reader.hashes() == expected
        assert server.memory("VmHWM") - before < 64 * MIB
        slow.send_signal(signal.SIGCONT)
        assert stopped.hashes() == expected


def test_the_memory_of_a_client_stays_flat(cli: Cli) -> None:
    job_id = cli.start(["head", "-c", str(200 * MIB), "/dev/zero"])
    cli("wait", job_id)
    with cli.running("logs", job_id) as process, PeakMemory(process.pid) as peak:
        assert process.stdout
        while process.stdout.read(MIB):
            pass
        assert process.wait() == 0
    assert 0 < peak.bytes < 160 * MIB


def test_chunks_follow_one_another_and_streams_can_be_resumed_at_any_offset(api: Api, cli: Cli, tmp_path: Path) -> None:
    job = RandomJob(cli, tmp_path, 4 * MIB)
    job.go_on()
    expected = job.hashes()
    chunks = list(api.chunks(job.id))
    ends = [0, *(chunk.offset + len(chunk.data) for chunk in chunks)]
    assert [chunk.offset for chunk in chunks] == ends[:-1]
    assert ends[-1] == 4 * MIB == api.status(job.id).output_bytes
    for stream, digest in zip((1, 2), expected, strict=True):
        data = b"".join(chunk.data for chunk in chunks if chunk.stream == stream)
        assert hashlib.sha256(data).hexdigest() == digest
    whole = b"".join(chunk.data for chunk in chunks)
    for offset in (0, 1, ends[1] - 1, ends[1], ends[2] + 1, 3 * MIB, 4 * MIB - 1, 4 * MIB, 5 * MIB):
        assert b"".join(chunk.data for chunk in api.chunks(job.id, offset=offset)) == whole[offset:]


def test_a_line_arrives_while_the_job_runs(cli: Cli) -> None:
    job_id = cli.start(sh("echo early; exec sleep 1000"))
    with cli.running("logs", job_id) as reader:
        assert reader.stdout
        assert reader.stdout.readline() == b"early\n"
    assert cli("logs", "--no-follow", job_id).stdout == b"early\n"
    assert cli("status", job_id).out == "running"
    cli("stop", "--force", job_id)


def test_the_streams_are_told_apart(cli: Cli) -> None:
    job_id = cli.start(sh("echo out; echo err >&2; printf '\\377\\000' >&2"))
    cli("wait", job_id)
    assert (cli("logs", job_id).stdout, cli("logs", job_id).stderr) == (b"out\n", b"err\n\xff\0")
    only_out, only_err = cli("logs", "--stream", "stdout", job_id), cli("logs", "--stream", "stderr", job_id)
    assert (only_out.stdout, only_out.stderr) == (b"out\n", b"")
    assert (only_err.stdout, only_err.stderr) == (b"err\n\xff\0", b"")


def test_offsets_of_the_command_line_count_both_streams(cli: Cli) -> None:
    job_id = cli.start(["printf", "0123456789"])
    cli("wait", job_id)
    for offset in (0, 4, 10, 11):
        assert cli("logs", "--offset", offset, job_id).out == "0123456789"[offset:]
    cli("logs", "--offset", -1, job_id, status=2)


def test_json_holds_every_byte(cli: Cli, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    job_id = cli.start(sh(f"printf 'grün\\n'; {awaiting(gate)}; printf '\\377\\376' >&2"))
    with cli.running("logs", "--json", job_id) as reader:
        assert reader.stdout
        first = json.loads(reader.stdout.readline())
        gate.touch()
        second = json.loads(reader.stdout.readline())
        assert reader.stdout.read() == b""
    assert list(first) == ["log", "stream", "time", "offset"]
    assert (first["log"], first["stream"], first["offset"]) == ("grün\n", "stdout", 0)
    assert list(second) == ["log_base64", "stream", "time", "offset"]
    assert (base64.b64decode(second["log_base64"]), second["stream"], second["offset"]) == (b"\xff\xfe", "stderr", 6)
    assert first["time"] < second["time"]
    assert second["time"].endswith("Z")


def test_a_job_without_output_ends_its_stream(cli: Cli) -> None:
    job_id = cli.start(["true"])
    result = cli("logs", job_id)
    assert (result.stdout, result.stderr) == (b"", b"")


@pytest.mark.parametrize("code", [0, 3])
def test_the_last_bytes_before_the_exit_arrive(code: int, cli: Cli) -> None:
    tail = "x" * 70_000
    result = cli("run", sys.executable, "-c", f"import os; os.write(1, b'x' * 70000); os._exit({code})", status=code)
    assert result.out == tail


def test_a_reader_that_hangs_up_is_let_go(server: Server, api: Api) -> None:
    job = api.start(SLEEPER)

    def files_of_job() -> int:
        return sum(job.id in path for path in open_files(server.pid))

    stream = api.stub.GetOutput(GetOutputRequest(job_id=job.id, follow=True), timeout=PATIENCE_SECONDS)
    wait_until(files_of_job, "the reader's files")
    stream.cancel()
    wait_until(lambda: not files_of_job(), "the end of the reader")
    api.stop(job.id, force=True)
