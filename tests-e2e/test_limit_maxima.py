"""The maxima of a server's configuration hold for jobs that ask for nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.api import Api, failing
from harness.certs import Certs
from harness.server import Server
from jobworker.v1 import job_pb2
from jobworker_lib import LimitNotEnforceableError
from jobworker_lib.cgroup import devices, place

MIB = 1 << 20
CONFIG = "limits: {max: {io: [{read: 2M}]}}"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """One on a disk, with 4 MiB to read."""
    here = place.find()
    controller = "blkio" if here.version == 1 else "io"
    if controller not in here.parents:
        pytest.skip(f"no disk can be bounded here: {here.problems[controller]}")
    found = tmp_path / "file"
    found.write_bytes(os.urandom(4 * MIB))
    try:
        devices.resolve(str(found), "/")
    except LimitNotEnforceableError as error:
        pytest.skip(str(error))
    with found.open("rb") as opened:
        os.fsync(opened.fileno())
    return found


@pytest.fixture
def bounded_api(certs: Certs, tmp_path: Path) -> Iterator[Api]:
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG)
    server = Server(certs, tmp_path, options=("--config", str(config)))
    with Api(server, certs.full) as api:
        yield api
    server.close()


def seconds_to_read(api: Api, file: Path, limits: job_pb2.Limits | None = None) -> float:
    job_id = api.start(["dd", f"if={file}", "of=/dev/null", "bs=256K", "iflag=direct"], limits=limits).id
    told = b"".join(chunk.data for chunk in api.chunks(job_id)).decode().split(", ")
    assert api.wait(job_id).exit_code == 0, told
    return float(next(word.removesuffix(" s") for word in told if word.endswith(" s")))


def test_reads_of_a_disk_that_no_start_names(bounded_api: Api, api: Api, file: Path) -> None:
    disk = devices.resolve(str(file), "/")
    job = bounded_api.start(["true"])
    assert {limit.device: limit.read_bytes_per_second for limit in job.limits.io}[disk] == 2 * MIB
    assert 1.4 < seconds_to_read(bounded_api, file) < 10
    other = job_pb2.IoLimit(device=str(file), read_operations_per_second=1000)
    assert seconds_to_read(bounded_api, file, job_pb2.Limits(io=[other])) > 1.4
    assert any(seconds_to_read(api, file) < 1 for _ in range(10)), "others may keep the disk busy"


def test_more_is_refused(bounded_api: Api, file: Path) -> None:
    more = job_pb2.IoLimit(device=str(file), read_bytes_per_second=3 * MIB)
    with failing() as failure:
        bounded_api.start(["true"], limits=job_pb2.Limits(io=[more]))
    assert (failure.code.name, failure.fields) == ("INVALID_ARGUMENT", ["limits.io[0].read_bytes_per_second"])
