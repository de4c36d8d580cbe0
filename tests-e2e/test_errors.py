"""Guards the API's table of errors: the code, the reason and the fields for each mistake, and words that help.

Promise 5: what is asked for and can't be enforced is refused. A user's mistake never shows a traceback, and no argument
or variable of a job is ever in an error or the log.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest

from conformance.jobs import SLEEPER, UNKNOWN_ID, sh
from conformance.processes import PATIENCE_SECONDS, wait_until
from harness.api import Api, Failure, failing
from harness.cli import Cli
from harness.server import Server
from jobworker.v1 import job_pb2

INVALID_ARGUMENT = grpc.StatusCode.INVALID_ARGUMENT
FAILED_PRECONDITION = grpc.StatusCode.FAILED_PRECONDITION

BAD_REQUESTS: list[tuple[str, dict[str, Any], str]] = [
    *((rpc, {"job_id": bad}, "job_id")
      for rpc in ("QueryStatus", "GetOutput", "Stop", "Signal", "Delete", "Update")
      for bad in ("", "7", "../" + UNKNOWN_ID, UNKNOWN_ID + "0")),
    ("Wait", {"job_ids": ["7"]}, "job_id"),
    ("Wait", {"job_ids": []}, "job_ids"),
    ("Wait", {"job_ids": [UNKNOWN_ID] * 1001}, "job_ids"),
    ("Start", {"argv": []}, "argv"),
    ("Start", {"argv": [""]}, "argv"),
    ("Start", {"argv": ["echo", "a\0b"]}, "argv"),
    ("Start", {"argv": ["true"], "cwd": "relative"}, "cwd"),
    ("Start", {"argv": ["true"], "env": {"": "x"}}, "env"),
    ("Start", {"argv": ["true"], "env": {"A=B": "x"}}, "env"),
    ("Start", {"argv": ["true"], "env": {"JOBWORKER_JOB_ID": "x"}}, "env"),
    ("Start", {"argv": ["true"], "labels": {"": "x"}}, "labels"),
    ("Start", {"argv": ["true"], "labels": {"a": "x" * 300}}, "labels.a"),
    ("Start", {"argv": ["true"], "timeout": {"seconds": 0}}, "timeout"),
    ("Start", {"argv": ["true"], "timeout": {"seconds": -1}}, "timeout"),
    ("Start", {"argv": ["true"], "limits": {"memory_bytes": 0}}, "limits.memory_bytes"),
    ("Start", {"argv": ["true"], "limits": {"cpus": -1}}, "limits.cpus"),
    ("Start", {"argv": ["true"], "limits": {"cpus": float("nan")}}, "limits.cpus"),
    ("Start", {"argv": ["true"], "request_id": "x" * 129}, "request_id"),
    ("ListJobs", {"page_size": -1}, "page_size"),
    ("ListJobs", {"page_token": "bogus"}, "page_token"),
    ("ListJobs", {"id_prefix": "%"}, "id_prefix"),
    ("ListJobs", {"states": [99]}, "states"),
]  # fmt: skip


def failure_of(api: Api, rpc: str, **fields: Any) -> Failure:
    with failing() as failure:
        api.call(rpc, **fields)
    return failure


@pytest.mark.parametrize(("rpc", "fields", "field"), BAD_REQUESTS)
def test_a_bad_field_is_named(rpc: str, fields: dict[str, Any], field: str, api: Api) -> None:
    failure = failure_of(api, rpc, **fields)
    assert (failure.code, failure.reason, failure.fields) == (INVALID_ARGUMENT, "INVALID_ARGUMENT", [field])
    assert failure.message.startswith(f"{field}: ")


@pytest.mark.parametrize(
    ("rpc", "fields", "field"),
    [
        ("GetOutput", {"stream": 9}, "stream"),
        ("Stop", {"grace_period": {"seconds": -1}}, "grace_period"),
        ("Signal", {"signal": "SIGNONSENSE"}, "signal"),
        ("Signal", {"signal": ""}, "signal"),
    ],
)
def test_a_bad_field_beside_a_good_id_is_named(rpc: str, fields: dict[str, Any], field: str, api: Api) -> None:
    job = api.start(SLEEPER)
    failure = failure_of(api, rpc, job_id=job.id, **fields)
    assert (failure.code, failure.reason, failure.fields) == (INVALID_ARGUMENT, "INVALID_ARGUMENT", [field])
    api.stop(job.id, force=True)


@pytest.mark.parametrize("rpc", ["QueryStatus", "GetOutput", "Stop", "Signal", "Delete", "Update", "Wait"])
def test_an_unknown_job_is_not_found(rpc: str, api: Api) -> None:
    fields = {"job_ids": [UNKNOWN_ID]} if rpc == "Wait" else {"job_id": UNKNOWN_ID}
    failure = failure_of(api, rpc, **fields | ({"signal": "SIGHUP"} if rpc == "Signal" else {}))
    assert (failure.code, failure.reason) == (grpc.StatusCode.NOT_FOUND, "JOB_NOT_FOUND")
    assert failure.metadata == {"job_id": UNKNOWN_ID}


def test_a_limit_that_can_not_be_enforced_is_refused(api: Api) -> None:
    before = len(api.list())
    failure = failure_of(api, "Start", argv=["true"], limits={"io": [{"device": "/proc", "read_bytes_per_second": 1}]})
    assert (failure.code, failure.reason) == (FAILED_PRECONDITION, "LIMIT_NOT_ENFORCEABLE")
    assert failure.metadata == {"limit": "io"}
    assert len(api.list()) == before


def test_what_needs_the_other_state_is_refused(api: Api) -> None:
    running, ended = api.start(SLEEPER), api.wait(api.start(["true"]).id)
    for rpc, job, reason in (
        ("Delete", running, "JOB_RUNNING"),
        ("Stop", ended, "JOB_NOT_RUNNING"),
        ("Signal", ended, "JOB_NOT_RUNNING"),
    ):
        failure = failure_of(api, rpc, job_id=job.id, **({"signal": "SIGHUP"} if rpc == "Signal" else {}))
        assert (failure.code, failure.reason, failure.metadata) == (FAILED_PRECONDITION, reason, {"job_id": job.id})
    api.stop(running.id, force=True)


@pytest.fixture
def not_executable(tmp_path: Path) -> Path:
    file = tmp_path / "file"
    file.write_text("just text")
    return file


def test_why_a_command_could_not_be_executed(api: Api, not_executable: Path) -> None:
    for fields, reason in (
        ({"argv": ["no-such-command"]}, "COMMAND_NOT_FOUND"),
        ({"argv": [str(not_executable)]}, "COMMAND_NOT_EXECUTABLE"),
        ({"argv": [str(not_executable.parent)]}, "COMMAND_NOT_EXECUTABLE"),
        ({"argv": ["true"], "cwd": str(not_executable)}, "BAD_WORKING_DIRECTORY"),
        ({"argv": ["true"], "cwd": "/no/such/directory"}, "BAD_WORKING_DIRECTORY"),
    ):
        failure = failure_of(api, "Start", **fields)
        assert (failure.code, failure.reason) == (FAILED_PRECONDITION, reason)
        kept = api.status(failure.metadata["job_id"])
        assert (kept.state, kept.error) == (job_pb2.JOB_STATE_FAILED, failure.message)


@pytest.mark.parametrize("argument_size", [2 << 20, 99_000], ids=["one of 2 MiB", "many that make 2 MiB"])
def test_more_arguments_than_the_kernel_takes_are_refused(argument_size: int, api: Api) -> None:
    count = 1 if argument_size == 2 << 20 else 22
    failure = failure_of(api, "Start", argv=["true", *["x" * argument_size] * count])
    assert (failure.code, failure.reason) == (INVALID_ARGUMENT, "ARGUMENTS_TOO_LONG")
    assert "xxx" not in failure.message
    kept = api.status(failure.metadata["job_id"])
    assert len(kept.argv) == 1 + count
    assert kept.id in {job.id for job in api.list()}
    api.call("Delete", job_id=kept.id)


# A program with a larger stack can hand on more arguments than the jobs of the server can take.
_WITH_LONG_ARGUMENTS = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_STACK, (resource.getrlimit(resource.RLIMIT_STACK)[1],) * 2)
os.execv(sys.executable, [sys.executable, *sys.argv[1:], *["x" * 99_000] * 22])
"""


def test_the_command_line_tells_of_too_many_arguments(cli: Cli) -> None:
    arguments = cli.command("start", "--", "true")[1:]
    result = subprocess.run(
        [sys.executable, "-c", _WITH_LONG_ARGUMENTS, *arguments],
        env=cli.environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    if "Argument list too long: '" in result.stderr:
        pytest.skip("the limit of the stack's size can't be raised here")
    assert (result.returncode, result.stdout) == (1, "")
    assert "longer than the kernel takes" in result.stderr
    assert "xxx" not in result.stderr
    assert len(result.stderr) < 1000


def test_the_command_line_tells_why_a_command_could_not_be_executed(cli: Cli, not_executable: Path) -> None:
    assert "not found" in cli("run", "no-such-command", status=127).err
    assert "not executable" in cli("run", not_executable, status=126).err
    assert "/no/such/directory" in cli("run", "--cwd", "/no/such/directory", "true", status=126).err
    assert "absolute" in cli("run", "--cwd", "relative", "true", status=2).err
    cli("start", "no-such-command", status=1)
    cli("start", "", status=2)
    cli("start", "--", status=2)
    cli("status", "not-an-id", status=3)


def test_arguments_and_environment_stay_out_of_messages_and_log(api: Api, server: Server, cli: Cli) -> None:
    secret = "hunter2-" + "a" * 8
    cli.start(sh("exit 0", secret), "--env", f"TOKEN={secret}")
    failed = cli("start", "--env", f"TOKEN={secret}", "no-such-command", secret, status=1)
    bad = failure_of(api, "Start", argv=["true", secret + "\0"], env={"TOKEN": secret})
    assert secret not in failed.err + bad.message
    last = cli.start(["true"])
    wait_until(lambda: last in server.log)
    assert secret not in server.log


def test_a_fault_of_the_server_tells_clients_no_details(own_server: Server, own_cli: Cli) -> None:
    own_cli.start(["true"])
    jobs = own_server.state_dir / "jobs"
    jobs.rename(own_server.state_dir / "elsewhere")
    jobs.write_text("not a directory")
    failed = own_cli("start", "true", status=1)
    jobs.unlink()
    (own_server.state_dir / "elsewhere").rename(jobs)
    assert str(own_server.state_dir) not in failed.err
    (error_id,) = [word for word in failed.err.split() if len(word) == 16]
    wait_until(lambda: f"error {error_id} in start" in own_server.log)
    own_cli.start(["true"])
