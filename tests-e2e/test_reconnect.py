"""A client's bad day: servers that are killed and connections that are cut in mid-stream cost and double no byte."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import random
import re
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from subprocess import PIPE, Popen

import pytest

from conformance.jobs import awaiting, python, sh
from conformance.processes import PATIENCE_SECONDS, wait_until
from harness.certs import Certs
from harness.cli import Cli
from harness.relay import Relay
from harness.server import Server

MIB = 1 << 20
ACCIDENTS = 5

_WRITER = """
import hashlib, os, random, sys, time
chosen = random.Random(int(sys.argv[1]))
hashes = hashlib.sha256(), hashlib.sha256()
while not os.path.exists(sys.argv[2]):
    for stream in (0, 1):
        block = chosen.randbytes(chosen.choice((1, 100, 4096, 65536)))
        hashes[stream].update(block)
        while block:
            block = block[os.write(1 + stream, block):]
    time.sleep(0.005)
with open(sys.argv[3], "w") as file:
    file.write(" ".join(each.hexdigest() for each in hashes))
sys.exit(7)
"""


class Writer:
    """A job that writes random bytes to both streams until it is told to end, with 7."""

    def __init__(self, directory: Path) -> None:
        self._end, self._report = directory / "end", directory / "hashes"
        self.command = python(_WRITER, 1, self._end, self._report)

    def end(self) -> None:
        self._end.touch()

    def hashes(self) -> list[str]:
        wait_until(self._report.exists, "the end of the job")
        return self._report.read_text().split()


def hash_of(process: Popen[bytes], got: Callable[[int], None]) -> str:
    """Of its standard output, of which each piece is told as it comes."""
    digest = hashlib.sha256()
    assert process.stdout
    while block := os.read(process.stdout.fileno(), MIB):
        digest.update(block)
        got(len(block))
    return digest.hexdigest()


def accidents(server: Server, relay: Relay) -> Iterator[None]:
    """Something bad at each step: the server is killed and started again, or connections are cut."""
    for number in range(ACCIDENTS):
        if number % 2:
            relay.cut()
        else:
            server.kill()
            server.start()
            relay.to(server.address)
        yield


def follow(process: Popen[bytes], server: Server, relay: Relay, writer: Writer, seed: str) -> tuple[str, bytes]:
    """Through all accidents: the hash of what came out, and what was said meanwhile. The writer is ended."""
    chosen = random.Random(seed)  # noqa: S311  # to be repeated, not to be secret
    received = 0

    def got(count: int) -> None:
        nonlocal received
        received += count

    with ThreadPoolExecutor() as pool:
        messages = pool.submit(lambda: process.stderr.read() if process.stderr else b"")
        hashes = pool.submit(hash_of, process, got)
        wait_until(lambda: received, "the first bytes")
        for _ in accidents(server, relay):
            before = received
            wait_until(lambda: received > before + chosen.randrange(MIB), "more bytes")  # noqa: B023  # called at once
        writer.end()
        return hashes.result(PATIENCE_SECONDS), messages.result(PATIENCE_SECONDS)


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_logs_lose_and_double_nothing(
    own_server: Server, relay: Relay, far_cli: Cli, own_cli: Cli, tmp_path: Path, stream: str
) -> None:
    writer = Writer(tmp_path)
    job_id = own_cli.start(writer.command)
    with far_cli.running("logs", "--stream", stream, job_id) as logs:
        found, messages = follow(logs, own_server, relay, writer, f"logs {stream}")
        assert logs.wait(PATIENCE_SECONDS) == 0
    assert found == dict(zip(("stdout", "stderr"), writer.hashes(), strict=True))[stream]
    lines = messages.decode().splitlines()
    lost = f"the connection to {relay.address} was lost; trying again for 30 seconds"
    assert lines[0::2] == [lost] * len(lines[0::2])
    assert lines[1::2] == [f"connected to {relay.address} again"] * len(lines[0::2])
    assert 1 <= len(lines[0::2]) <= 2 * ACCIDENTS


def test_run_ends_as_its_job(own_server: Server, relay: Relay, far_cli: Cli, tmp_path: Path) -> None:
    writer = Writer(tmp_path)
    with far_cli.running("run", "--", *writer.command) as run:
        found, messages = follow(run, own_server, relay, writer, "run")
        assert run.wait(PATIENCE_SECONDS) == 7
    assert found == writer.hashes()[0]
    assert b"connected to" in messages


def test_attach_goes_on_with_the_next_byte(
    own_server: Server, relay: Relay, far_cli: Cli, own_cli: Cli, tmp_path: Path
) -> None:
    """Also one that hands input on, as long as there was none."""
    writer, gate = Writer(tmp_path), tmp_path / "gate"
    job_id = own_cli.start(sh(f'{awaiting(gate)}; exec "$@"', *writer.command), "--stdin")
    with far_cli.running("attach", job_id, stdin=PIPE) as attach:
        wait_until(lambda: own_server.reads_output_of(job_id), "the attachment")
        gate.touch()
        found, _ = follow(attach, own_server, relay, writer, "attach")
        assert attach.wait(PATIENCE_SECONDS) == 7
    assert found == writer.hashes()[0]


def test_attach_goes_on_when_its_input_has_ended(own_server: Server, relay: Relay, far_cli: Cli) -> None:
    script = "cat; exec <&-; echo read; while :; do echo more; sleep 0.05; done"
    with far_cli.running("run", "--stdin", *sh(script), stdin=PIPE) as run:
        assert run.stdin
        assert run.stdout
        run.stdin.write(b"input\n")
        run.stdin.close()
        assert [run.stdout.readline() for _ in range(2)] == [b"input\n", b"read\n"]
        for _ in range(20):  # by then it has also been told that the job has closed its input
            assert run.stdout.readline() == b"more\n"
        relay.cut()
        assert run.stderr
        assert run.stderr.readline().startswith(b"the connection to ")
        assert run.stderr.readline().startswith(b"connected to ")
        assert run.stdout.readline() == b"more\n"
        run.send_signal(signal.SIGINT)
        assert run.wait(PATIENCE_SECONDS) == 128 + signal.SIGTERM


def test_input_from_a_pipe_is_not_guessed_at(own_server: Server, relay: Relay, far_cli: Cli, own_cli: Cli) -> None:
    with far_cli.running("run", "--stdin", "cat", stdin=PIPE) as run:
        assert run.stdin
        assert run.stdout
        run.stdin.write(b"input\n")
        run.stdin.flush()
        assert run.stdout.readline() == b"input\n"
        relay.cut()
        assert run.wait(PATIENCE_SECONDS) == 125
        assert run.stderr
        hint = run.stderr.read().decode()
    found = re.search(r"`jobworker-cli attach (\S+)`", hint)
    assert found, hint
    assert own_cli("status", found[1]).out == "running"


def test_json_lines_are_contiguous(
    own_server: Server, relay: Relay, far_cli: Cli, own_cli: Cli, tmp_path: Path
) -> None:
    chosen = random.Random("json")  # noqa: S311  # to be repeated, not to be secret
    writer = Writer(tmp_path)
    job_id = own_cli.start(writer.command)
    digests = {"stdout": hashlib.sha256(), "stderr": hashlib.sha256()}
    place = 0
    troubles = accidents(own_server, relay)
    wanted = MIB
    with far_cli.running("logs", "--json", job_id) as logs:
        assert logs.stdout
        for line in logs.stdout:
            chunk = json.loads(line)
            data = base64.b64decode(chunk["log_base64"]) if "log_base64" in chunk else chunk["log"].encode()
            assert chunk["offset"] == place
            digests[chunk["stream"]].update(data)
            place += len(data)
            if place > wanted:
                wanted += chosen.randrange(MIB)
                if next(troubles, "over") == "over":
                    writer.end()
        assert logs.wait(PATIENCE_SECONDS) == 0
    assert [digest.hexdigest() for digest in digests.values()] == writer.hashes()


def test_what_a_silent_job_says_during_the_outage_arrives(
    own_server: Server, relay: Relay, far_cli: Cli, own_cli: Cli, tmp_path: Path
) -> None:
    gates = tmp_path / "first", tmp_path / "second"
    job_id = own_cli.start(sh(f"echo early; {awaiting(gates[0])}; echo meanwhile; {awaiting(gates[1])}; echo late"))
    wait_until(lambda: own_cli.json("status", job_id)["output_bytes"], "its first line")
    with far_cli.running("logs", "--tail", 0, job_id) as logs:
        assert logs.stdout
        wait_until(lambda: own_server.reads_output_of(job_id), "the reader")
        own_server.kill()
        gates[0].touch()
        own_server.start()
        relay.to(own_server.address)
        assert logs.stdout.readline() == b"meanwhile\n"
        gates[1].touch()
        out, err = logs.communicate(timeout=PATIENCE_SECONDS)
        assert (out, err.count(b"connected to")) == (b"late\n", 1)


def test_run_says_how_to_go_on_when_it_gives_up(own_server: Server, far_cli: Cli, own_cli: Cli, certs: Certs) -> None:
    with far_cli.running("--reconnect", 0.5, "run", "sh", "-c", "echo early; sleep 1000") as run:
        assert run.stdout
        assert run.stderr
        assert run.stdout.readline() == b"early\n"
        own_server.kill()
        assert run.wait(PATIENCE_SECONDS) == 125
        hint = run.stderr.read().decode().splitlines()[-1]
    own_server.start()
    found = re.search(r"`jobworker-cli logs --offset 6 (\S+)`", hint)
    assert found, hint
    job_id = found[1]
    assert own_cli("status", job_id).out == "running"
    own_cli("stop", "--force", job_id)
    assert own_cli.json("status", job_id)["state"] == "stopped"
