"""Commands on several jobs: which are meant, what is asked, and what becomes of the others where one fails."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from jobworker.v1 import job_pb2
from jobworker.v1 import worker_service_pb2 as api
from scripted_server import ScriptedServer, chunk, exited, job, refusal

if TYPE_CHECKING:
    from pathlib import Path

    from cli_process import Cli

RUNNING = [job_pb2.JOB_STATE_QUEUED, job_pb2.JOB_STATE_STARTING, job_pb2.JOB_STATE_RUNNING]


def test_stop_and_rm_take_several_ids(cli: Cli, server: ScriptedServer) -> None:
    server.service.jobs = [job() for _ in range(3)]
    ids = [known.id for known in server.service.jobs]
    for command, kind in (("stop", api.StopRequest), ("rm", api.DeleteRequest)):
        done = cli(command, ids[0], ids[1][:9], ids[2], ids[0])
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        assert sorted(request.job_id for request in server.service.requests_of(kind)) == sorted(ids)


def test_one_that_fails_keeps_none_of_the_others(cli: Cli, server: ScriptedServer) -> None:
    server.service.jobs = [job() for _ in range(3)]
    ids = [known.id for known in server.service.jobs]
    refuse = refusal("FAILED_PRECONDITION", "JOB_NOT_RUNNING", "it has ended")

    def stop(request: api.StopRequest, context: Any) -> Any:
        return refuse(request, context) if request.job_id == ids[1] else api.StopResponse(job=server.service.jobs[0])

    server.service.answers["Stop"] = stop
    done = cli("stop", *ids)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"job {ids[1]}:\nerror: it has ended\n")
    assert len(server.service.requests_of(api.StopRequest)) == 3


def test_a_label_needs_yes_without_a_terminal(cli: Cli, server: ScriptedServer) -> None:
    server.service.jobs = [job(labels={"batch": "7"})]
    refused = cli("stop", "--label", "batch=7")
    assert refused.returncode == 2
    assert "--yes confirms to stop 1 job" in refused.stderr
    assert server.service.requests_of(api.StopRequest) == []
    assert cli("stop", "--label", "batch=7", "--yes").returncode == 0
    listed = server.service.requests_of(api.ListJobsRequest)[-1]
    assert (dict(listed.labels), list(listed.states), listed.all_owners) == ({"batch": "7"}, RUNNING, False)
    assert len(server.service.requests_of(api.StopRequest)) == 1


def test_a_label_that_no_job_has(cli: Cli, server: ScriptedServer) -> None:
    server.service.jobs = []
    done = cli("rm", "--label", "a=b", "--label", "c=d")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "there is nothing to remove: none of your jobs has a=b and c=d\n"


@pytest.mark.parametrize("arguments", [["stop"], ["rm"], ["stop", "--label", "a=b", "3f2a"], ["wait"]])
def test_wrong_usage(cli: Cli, arguments: list[str]) -> None:
    assert cli(*arguments).returncode == 2


def test_wait_tells_several_as_they_end(cli: Cli, server: ScriptedServer) -> None:
    server.service.jobs = [job(), job()]
    late, early = (known.id for known in server.service.jobs)
    answers = [exited(0, job_id=late), exited(4, job_id=early)]
    server.service.answers["Wait"] = lambda *_: api.WaitResponse(jobs=[answers.pop()])
    waited = cli("wait", late, early)
    assert waited.returncode == 4
    assert waited.stdout == f"{early}  exited (exit code: 4)\n{late}  exited (exit code: 0)\n"


def test_wait_for_any(cli: Cli, server: ScriptedServer) -> None:
    server.service.jobs = [job(), job()]
    ids = [known.id for known in server.service.jobs]
    server.service.answers["Wait"] = lambda *_: api.WaitResponse(jobs=[exited(0, job_id=ids[1])])
    waited = cli("wait", "--any", "-o", "id", *ids)
    assert (waited.returncode, waited.stdout) == (0, f"{ids[1]}\n")


def test_formats(cli: Cli, server: ScriptedServer) -> None:
    server.service.jobs = [exited(3, labels={"b": "2", "a": "1"}, output_bytes=7), job(("sh", "-c", "echo ä"))]
    first, second = (known.id for known in server.service.jobs)
    as_json = json.loads(cli("list", "-o", "json").stdout)
    assert yaml.safe_load(cli("list", "-o", "yaml").stdout) == as_json
    assert yaml.safe_load(cli("status", "-o", "yaml", first).stdout) == as_json[0]
    assert cli("list", "-o", "id").stdout == f"{first}\n{second}\n"
    assert cli("status", "-o", "id", first[:9]).stdout == f"{first}\n"
    header, row = cli("status", "-o", "wide", first).stdout.splitlines()
    assert header.split() == ["ID", "STATUS", "OWNER", "CREATED", "STARTED", "ENDED", "OUTPUT", "LABELS", "COMMAND"]
    assert row == f"{first}  exited (exit code: 3)  full   2026-01-02T03:04:05Z  -        -      7       a=1,b=2  true"
    assert cli("list", "--limit", "1", "-o", "id").stdout == f"{first}\n"


def test_run_detach_prints_the_id(cli: Cli, server: ScriptedServer) -> None:
    server.service.jobs = [job()]
    assert cli("run", "-d", "true").stdout == f"{server.service.jobs[0].id}\n"
    assert [type(request) for request in server.service.requests] == [api.StartRequest]


def test_timestamps_begin_lines_of_each_stream(cli: Cli, server: ScriptedServer) -> None:
    server.service.batches = [
        [chunk(b"a\nb"), chunk(b"e", 3, "stderr")],
        [chunk(b"c\r\nd\n", 4), chunk(b"\n", 9, "stderr")],
    ]
    written = cli("logs", "-T", "3f2a91c0-0000-4000-8000-000000000000")
    stamp = "2026-01-02T03:04:05.678901Z "
    assert written.stdout == f"{stamp}a\n{stamp}bc\n{stamp}d\n"  # text mode reads \r\n as \n
    assert written.stderr == f"{stamp}e\n"


JOBS = """\
defaults: {label: {batch: 7, team: a}, memory: 64M}
jobs:
  - command: [make, yes]
    cwd: /srv/a
    label: {team: b}
  - {command: "make lint | tee log", timeout: 600, env: [A=1, B=2], read-only: true, stdin: no}
"""


def test_jobs_from_a_file(cli: Cli, server: ScriptedServer, tmp_path: Path) -> None:
    (tmp_path / "jobs.yaml").write_text(JOBS)

    def start(request: api.StartRequest, _context: object) -> api.StartResponse:
        return api.StartResponse(job=job(tuple(request.argv)))

    server.service.answers["Start"] = start
    done = cli("start", "--file", "jobs.yaml", "-o", "json")
    assert (done.returncode, done.stderr) == (0, "")
    assert [made["command"] for made in json.loads(done.stdout)] == [
        ["make", "yes"],
        ["sh", "-c", "make lint | tee log"],
    ]
    first, second = sorted(server.service.requests_of(api.StartRequest), key=lambda request: len(request.argv))
    assert (first.cwd, dict(first.labels), first.limits.memory_bytes) == (
        "/srv/a",
        {"batch": "7", "team": "b"},
        64 << 20,
    )
    assert (second.timeout.seconds, dict(second.env)) == (600, {"A": "1", "B": "2"})
    assert (dict(second.labels), second.isolation.read_only) == ({"batch": "7", "team": "a"}, True)


def test_a_job_of_a_file_that_can_not_be_started(cli: Cli, server: ScriptedServer, tmp_path: Path) -> None:
    (tmp_path / "jobs.yaml").write_text("[{command: [a]}, {command: [nope]}, {command: [b]}]")
    refuse = refusal("FAILED_PRECONDITION", "COMMAND_NOT_FOUND", "command not found: nope")
    server.service.jobs = [job()]

    def start(request: api.StartRequest, context: Any) -> Any:
        return refuse(request, context) if request.argv[0] == "nope" else api.StartResponse(job=server.service.jobs[0])

    server.service.answers["Start"] = start
    done = cli("start", "-f", "jobs.yaml")
    assert (done.returncode, done.stdout) == (1, f"{server.service.jobs[0].id}\n" * 2)
    assert done.stderr == "job 2:\nerror: command not found: nope\n1 of 3 jobs were not started\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[{comand: [x]}]", "jobs.yaml: job 1: unknown key 'comand'\nhint: did you mean command?"),
        ("[{command: [x]}, {command: [x], memry: 1M}]", "job 2: unknown key 'memry'\nhint: did you mean memory?"),
        ("[{command: [x], memory: lots}]", "job 1: --memory: expected a size, such as 64M or 1G"),
        ("[{command: [x], priority: high}]", "job 1: --priority: expected a whole number from -1000 to 1000"),
        ("[{command: [x], read-only: maybe}]", "job 1: read-only: expected true or false"),
        ("[{cwd: /}]", "job 1: it needs a command"),
        ("[]", "jobs.yaml: it lists no jobs"),
        ("jobs: [x]", "job 1: a job is a mapping"),
        ("job: []", "jobs.yaml: unknown key 'job'\nhint: did you mean jobs?"),
        ("{defaults: {request-id: a}, jobs: [{command: x}]}", "jobs.yaml: request-id can't be a default"),
        (
            "[{command: x, request-id: a}, {command: x}, {command: x}, {command: y, request-id: a}]",
            "jobs.yaml: jobs 1 and 4 have the same request-id",
        ),
        ("[{", "jobs.yaml, line 1: this is not YAML"),
        ("- command: a\n  cwd: /a\n  cwd: /b", "jobs.yaml, lines 2 and 3: the key 'cwd' is there twice"),
        ("[{command: a, env: {A: 1, A: 2}}]", "jobs.yaml, line 1: the key 'A' is there twice"),
    ],
)
def test_a_bad_file_starts_nothing(
    cli: Cli, server: ScriptedServer, tmp_path: Path, content: str, message: str
) -> None:
    (tmp_path / "jobs.yaml").write_text(content)
    refused = cli("start", "--file", "jobs.yaml")
    assert (refused.returncode, refused.stdout, server.service.requests) == (2, "", [])
    assert message in refused.stderr
