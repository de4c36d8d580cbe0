"""Memory does not grow with output: not the shim's that captures it, nor that of a program that reads it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from jobworker_lib import Engine, OutputLimit
from lib_testing import finish, program, sh, shim_of, wait_until

MIB = 1 << 20
OUTPUT_BYTES = 128 * MIB
WRITER = f"head -c {OUTPUT_BYTES} /dev/zero"

READER = """
import asyncio, pathlib, re, sys
from jobworker_lib import Engine, aio

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+) kB", pathlib.Path("/proc/self/status").read_text())[1]) << 10

def read():
    with Engine(sys.argv[1]) as engine:
        return sum(len(chunk.data) for chunk in engine.get(sys.argv[2]).output())

async def read_in_asyncio():
    async with aio.Engine(sys.argv[1]) as engine:
        job = await engine.get(sys.argv[2])
        return sum([len(chunk.data) async for chunk in job.output()])

before = peak()
size = read() if sys.argv[3] == "sync" else asyncio.run(read_in_asyncio())
print(size, peak() - before)
"""


@pytest.mark.parametrize("limit", [None, OutputLimit(32 * MIB, "drop_oldest")], ids=["all kept", "oldest dropped"])
def test_of_the_shim(engine: Engine, tmp_path: Path, limit: OutputLimit | None) -> None:
    gate = tmp_path / "gate"
    job = engine.start(
        sh(f"echo ready; until [ -e {gate} ]; do sleep 0.01; done; {WRITER}; exec sleep 1000"), output_limit=limit
    )
    wait_until(lambda: job.status().output_bytes)
    started = engine._core.directory(job.id).read_started()
    assert started is not None
    shim = Path(f"/proc/{shim_of(job.id, started.pid)}")
    (shim / "clear_refs").write_text("5")  # forgets the peak until now
    before = peak(shim)
    (tmp_path / "gate").touch()
    wait_until(lambda: job.status().output_bytes > OUTPUT_BYTES)
    assert peak(shim) - before < 8 * MIB


@pytest.mark.parametrize("face", ["sync", "asyncio"])
def test_of_a_reader(state_dir: Path, engine: Engine, face: str) -> None:
    job = engine.start(sh(WRITER))
    job.wait()
    with program(READER, state_dir, job.id, face) as reader:
        size, grown = map(int, finish(reader).split())
    assert size == OUTPUT_BYTES
    assert grown < 32 * MIB


def peak(process: Path) -> int:
    """The most memory that a process has had, in bytes."""
    found = re.search(r"^VmHWM:\s+(\d+) kB$", (process / "status").read_text(), re.MULTILINE)
    assert found
    return int(found[1]) << 10
