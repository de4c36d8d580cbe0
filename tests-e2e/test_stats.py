"""What jobs use, over the API and with the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance.jobs import SLEEPER, python
from conformance.processes import PATIENCE_SECONDS
from harness.api import Api
from harness.certs import Certs
from harness.cli import Cli
from harness.server import Server
from jobworker.v1.worker_service_pb2 import GetStatsRequest, GetStatsResponse

BUSY = python("while True: pass")
TENTH = {"nanos": 100_000_000}


def stats(api: Api, job_id: str) -> Iterator[GetStatsResponse]:
    request = GetStatsRequest(job_id=job_id, interval=TENTH)  # type: ignore[arg-type]  # a dictionary is taken, too
    return iter(api.stub.GetStats(request, timeout=PATIENCE_SECONDS))


def test_a_busy_job_from_its_start_to_its_end(api: Api) -> None:
    job_id = api.start(BUSY).id
    seen = stats(api, job_id)
    used = 0.0
    while used < 0.2:
        response = next(seen)
        assert response.usage.cpu_user.ToNanoseconds() / 1e9 >= used
        used = response.usage.cpu_user.ToNanoseconds() / 1e9
    assert response.usage.pids == 1
    assert response.usage.memory_bytes > 0
    ended = api.stop(job_id, force=True)
    *_, last = seen
    assert (last.time, last.usage) == (ended.ended_at, ended.usage)
    assert last.usage.cpu_user.ToNanoseconds() / 1e9 >= used
    assert not last.usage.HasField("memory_bytes")


@pytest.fixture
def narrow_server(certs: Certs, tmp_path: Path) -> Iterator[Server]:
    """One that runs one job at a time."""
    server = Server(certs, tmp_path, options=("--max-running", "1"))
    yield server
    server.close()


def test_a_queued_job_has_none_until_it_is_started(narrow_server: Server, certs: Certs) -> None:
    with Api(narrow_server, certs.full) as api:
        first, second = api.start(SLEEPER).id, api.start(SLEEPER).id
        seen = stats(api, second)
        assert not next(seen).HasField("usage")
        api.stop(first, force=True)
        while not (response := next(seen)).HasField("usage"):
            pass
        assert response.usage.pids == 1


def test_the_table_and_the_lines(cli: Cli, api: Api) -> None:
    job_id = api.start(BUSY).id
    with cli.running("stats", "-o", "json", "--interval", "0.1", job_id) as process:
        assert process.stdout
        while (json.loads(process.stdout.readline())["usage"]["cpu_user"] or 0) < 0.2:
            pass
        api.stop(job_id, force=True)
        last = json.loads(process.stdout.readlines()[-1])
        assert process.wait(PATIENCE_SECONDS) == 0
    status = json.loads(cli("status", "-o", "json", job_id).stdout)
    assert (last["time"], last["usage"]) == (status["ended_at"], status["usage"])
    header, row = cli("stats", job_id).out.splitlines()
    assert header.split()[:3] == ["TIME", "CPU", "CPU"]
    assert row.split()[2].endswith("s")


@pytest.mark.parametrize("role", ["observer", "readonly"])
def test_who_may_look_may_see_what_jobs_use(role: str, server: Server, certs: Certs, api: Api) -> None:
    job_id = api.start(SLEEPER).id
    with Api(server, certs.client(role, "ann")) as looker:
        (response,) = looker.call("GetStats", job_id=job_id, once=True)
    assert response.usage.pids == 1


def test_limits_by_the_command_line(cli: Cli) -> None:
    job_id = cli("start", "--open-files", "33", "--nice", "5", "sh", "-c", "ulimit -n; nice").out
    assert cli("logs", job_id).out == "33\n5"
    assert json.loads(cli("status", "-o", "json", job_id).stdout)["limits"] == {"open_files": 33, "nice": 5}
    refused = cli("start", "--io-read", "/proc=1M", "true", status=1)
    assert refused.err.startswith("error: the limit io can't be enforced here: ")
    assert "hint: `jobworker-server doctor`" in refused.err
