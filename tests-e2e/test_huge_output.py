"""Guards promise 6 where output is ten times any memory: 10 GiB are read at any place, told of and removed at once.

They are zeros that were never written, so they take next to nothing of the disk.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from subprocess import Popen

import pytest

from conformance.processes import PATIENCE_SECONDS, wait_until
from harness.cli import Cli
from harness.server import Server
from jobworker_lib.output.format import RECORD, segment_names

MIB = 1 << 20
SIZE = 10 << 30
BEGINNING = b"the beginning\n"
MIDDLE, MIDDLE_OFFSET = b"the middle", (6 << 30) + 12_345
END = b"".join(b"line %d\n" % number for number in range(1, 11))
MOST_ON_DISK = 16 * MIB
MOST_MEMORY = 96 * MIB


@pytest.fixture
def huge_job(own_server: Server, own_cli: Cli) -> str:
    """An ended job whose records tell of 10 GiB."""
    job_id = own_cli.start(["printf", BEGINNING.decode()])
    own_cli("wait", job_id)
    assert own_server.terminate() == 0
    directory = own_server.state_dir / "jobs" / job_id
    log, index = (directory / name for name in segment_names(0))
    _require_sparse_files(directory)
    _extend(log)
    index.write_bytes(_records(RECORD.unpack(index.read_bytes())[1]))
    exit_record = directory / "exit.json"
    exit_record.write_text(json.dumps(json.loads(exit_record.read_text()) | {"output_bytes": SIZE}))
    for derived in own_server.state_dir.glob("index.db*"):
        derived.unlink()
    own_server.start()
    return job_id


def _require_sparse_files(directory: Path) -> None:
    probe = directory.parent.parent / "sparse"
    with probe.open("xb") as file:
        file.truncate(64 * MIB)
    is_sparse = _on_disk(probe) < MIB
    probe.unlink()
    if not is_sparse:
        pytest.skip("this file system has no sparse files")


def _extend(log: Path) -> None:
    with log.open("r+b") as file:
        file.truncate(SIZE)
        for offset, data in ((MIDDLE_OFFSET, MIDDLE), (SIZE - len(END), END)):
            file.seek(offset)
            file.write(data)


def _records(time_ns: int) -> bytes:
    """The index of one stream, captured a MiB at a time."""
    return b"".join(RECORD.pack(offset, time_ns + offset // MIB, MIB, 0) for offset in range(0, SIZE, MIB))


def _on_disk(file: Path) -> int:
    return os.stat(file).st_blocks * 512


def _beginning_of(reader: Popen[bytes], length: int) -> bytes:
    """What a reader like ``head -c`` gets, which goes then; the command ends as one whose pipe is broken."""
    assert reader.stdout
    assert reader.stderr
    data = reader.stdout.read(length)
    reader.stdout.close()
    assert reader.wait(PATIENCE_SECONDS) == 141
    assert reader.stderr.read() == b""
    return data


def test_ten_gib_of_output_behave(huge_job: str, own_server: Server, own_cli: Cli) -> None:
    directory = own_server.state_dir / "jobs" / huge_job
    assert sum(map(_on_disk, directory.iterdir())) < MOST_ON_DISK
    before = own_server.memory("VmRSS")

    assert own_cli("status", huge_job).out == "exited (exit code: 0)"
    assert own_cli.json("status", huge_job)["output_bytes"] == SIZE
    assert own_cli("logs", "--tail", 5, huge_job).stdout == b"".join(END.splitlines(keepends=True)[-5:])
    assert own_cli("logs", "--offset", SIZE - len(END), huge_job).stdout == END
    assert own_cli("logs", "--offset", SIZE, huge_job).stdout == b""
    with own_cli.running("logs", "--offset", MIDDLE_OFFSET, huge_job) as reader:
        assert _beginning_of(reader, len(MIDDLE) + 1) == MIDDLE + b"\0"
    with own_cli.running("logs", huge_job) as reader:
        assert _beginning_of(reader, 1000) == BEGINNING.ljust(1000, b"\0")

    assert own_server.memory("VmHWM") - before < MOST_MEMORY
    own_cli("rm", huge_job)
    own_cli("status", huge_job, status=3)
    wait_until(lambda: not list(own_server.state_dir.glob(f"*/{huge_job}")), "the removal of its files")
