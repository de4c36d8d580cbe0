"""The command line as a process: what it writes where, and how it exits."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from typing import TYPE_CHECKING

import pytest

from jobworker.v1 import job_pb2
from jobworker.v1 import worker_service_pb2 as api
from scripted_server import ScriptedServer, chunk, exited, job, refusal

if TYPE_CHECKING:
    from cli_process import Cli

COMMANDS = [
    "start", "run", "attach", "status", "stats", "logs", "stop", "signal", "update", "list", "wait", "top", "events",
    "rm", "config", "completion",
]  # fmt: skip
ALIASES = ["query", "stream", "output"]


@pytest.mark.parametrize("command", [[], *([name] for name in [*COMMANDS, *ALIASES])])
def test_help_is_fast_and_fits(cli: Cli, command: list[str]) -> None:
    shown = cli(*command, "--help")
    assert shown.returncode == 0
    assert "Usage: jobworker-cli" in shown.stdout
    assert max(map(len, shown.stdout.splitlines())) <= 80


@pytest.mark.parametrize(
    ("command", "arguments"),
    [("run", "COMMAND [ARG ...]"), ("status", "ID"), ("signal", "ID SIGNAL"), ("events", "[ID ...]"), ("list", "")],
)
def test_help_shows_the_arguments_and_an_example_on_a_line(cli: Cli, command: str, arguments: str) -> None:
    lines = cli(command, "--help").stdout.splitlines()
    assert lines[0] == f"Usage: jobworker-cli {command} [OPTIONS] {arguments}".rstrip()
    assert any(line.startswith(f"      jobworker-cli {command} ") for line in lines)
    assert (["  ID" in line[:4] for line in lines].count(True) == 1) == ("ID" in arguments.split()[:1])


def test_help_imports_neither_grpc_nor_rich() -> None:
    code = "import sys, jobworker_cli.main; print([m for m in ('grpc', 'rich', 'yaml', 'google') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_call_that_succeeds_imports_nothing_that_only_others_need(cli: Cli, server: ScriptedServer) -> None:
    server.service.jobs = [job()]
    told = cli("status", server.service.jobs[0].id, PYTHONPROFILEIMPORTTIME="1").stderr
    imported = {line.rpartition("|")[2].strip() for line in told.splitlines() if line.startswith("import time:")}
    assert "grpc" in imported
    of_others = {"pydantic", "rich", "textual", "yaml", "google.rpc", "grpc_status"}
    of_others |= {f"jobworker_cli.{name}" for name in ("client.diagnosis", "config_file", "render", "table")}
    assert not imported & of_others


def test_version(cli: Cli) -> None:
    assert cli("--version").stdout.startswith("jobworker-cli 0.")


def test_start_prints_the_id_alone(cli: Cli, server: ScriptedServer) -> None:
    server.service.jobs = [job(("ls", "-l"))]
    started = cli(
        "start", "--env", "A=b=c", "--label", "team=a", "--cwd", "/srv", "--timeout", "5", "ls", "-l", "--", "-o"
    )
    assert (started.stdout, started.stderr) == (f"{server.service.jobs[0].id}\n", "")
    (request,) = server.service.requests
    assert (list(request.argv), dict(request.env)) == (["ls", "-l", "--", "-o"], {"A": "b=c"})
    assert (dict(request.labels), request.cwd, request.timeout.seconds) == ({"team": "a"}, "/srv", 5)


def test_start_takes_two_dashes_before_the_command(cli: Cli, server: ScriptedServer) -> None:
    server.service.jobs = [job()]
    assert json.loads(cli("start", "-o", "json", "--", "true", "-x").stdout)["id"] == server.service.jobs[0].id
    assert list(server.service.requests[0].argv) == ["true", "-x"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["start"],
        ["start", "--env", "SECRET", "true"],
        ["start", "--label", "=v", "true"],
        ["run", "--timeout", "0", "true"],
        ["run", "--timeout", "nan", "true"],
        ["start", "--restart", "-1", "true"],
        ["start", "--priority", "1001", "true"],
        ["run", "--start-deadline", "0", "true"],
        ["start", "--restart-backoff", "1", "true"],
        ["run", "--restart", "1", "--restart-max-backoff", "0", "true"],
        ["stop", "--force", "--grace", "5", "3f2a"],
        ["stop", "--grace", "-1", "3f2a"],
        ["logs", "--offset", "-1", "3f2a"],
        ["logs", "--attempt", "0", "3f2a"],
        ["logs", "--attempt", "1", "--offset", "1", "3f2a"],
        ["update", "3f2a"],
        ["update", "--timeout", "0", "3f2a"],
        ["update", "--timeout", "soon", "3f2a"],
        ["list", "--state", "asleep"],
        ["status"],
        ["no-such-command"],
        ["--server", "nonsense", "list"],
    ],
)
def test_wrong_usage(cli: Cli, arguments: list[str]) -> None:
    refused = cli(*arguments)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "rror: " in refused.stderr
    assert "SECRET" not in refused.stderr
    assert "Traceback" not in refused.stderr


def test_update(cli: Cli, server: ScriptedServer) -> None:
    server.service.jobs = [job()]
    job_id = server.service.jobs[0].id
    assert cli("update", "--timeout", "1.5", job_id).stdout == ""
    assert json.loads(cli("update", job_id, "--timeout", "none", "-o", "json").stdout)["id"] == job_id
    changed, removed = server.service.requests_of(api.UpdateRequest)
    assert (changed.job_id, changed.timeout.ToMilliseconds(), changed.no_timeout) == (job_id, 1500, False)
    assert (removed.HasField("timeout"), removed.no_timeout) == (False, True)


@pytest.mark.parametrize("command", ["start", "run"])
def test_restart_policy_is_sent(cli: Cli, server: ScriptedServer, command: str) -> None:
    server.service.jobs = [exited(0)]
    cli(command, "--restart", "3", "--restart-backoff", "0.5", "--restart-max-backoff", "60", "true")
    policy = server.service.requests[0].restart
    assert (policy.max_restarts, policy.backoff.ToMilliseconds(), policy.max_backoff.seconds) == (3, 500, 60)


@pytest.mark.parametrize(
    ("policy", "most"), [("on-failure", 1000), ("on-failure:7", 7), ("7", 7), ("never", 0), ("0", 0)]
)
def test_restart_policy_by_name(cli: Cli, server: ScriptedServer, policy: str, most: int) -> None:
    server.service.jobs = [job()]
    assert cli("start", "--restart", policy, "true").returncode == 0
    (request,) = server.service.requests
    assert (request.HasField("restart"), request.restart.max_restarts) == (most > 0, most)


@pytest.mark.parametrize("command", ["start", "run"])
def test_priority_and_deadline_are_sent(cli: Cli, server: ScriptedServer, command: str) -> None:
    server.service.jobs = [exited(0)]
    cli(command, "--priority", "-7", "--start-deadline", "1.5", "true")
    request = server.service.requests[0]
    assert (request.priority, request.start_deadline.ToMilliseconds()) == (-7, 1500)


def test_quota_that_is_used_up(cli: Cli, server: ScriptedServer) -> None:
    server.service.answers["Start"] = refusal("RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", "as many jobs run as may: 2")
    for command in ("start", "run"):
        refused = cli(command, "true")
        assert (refused.returncode, refused.stdout) == (1, "")
        assert "error: as many jobs run as may: 2\nhint: try again when one has ended" in refused.stderr


def test_too_many_calls_are_told_with_what_to_do(cli: Cli, server: ScriptedServer) -> None:
    server.service.answers["ListJobs"] = refusal(
        "RESOURCE_EXHAUSTED", "RATE_LIMITED", "too many calls: this server takes 2 a second", retry_seconds=1.5
    )
    refused = cli("list")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "error: too many calls: this server takes 2 a second\nhint: try again in a moment" in refused.stderr


def test_output_of_one_attempt(cli: Cli, server: ScriptedServer) -> None:
    attempts = [job_pb2.Attempt(number=number, output_offset=10 * number) for number in (7, 8, 9)]
    server.service.jobs = [exited(1, attempts=attempts)]
    job_id = server.service.jobs[0].id
    for number in ("8", "9"):
        assert cli("logs", "--attempt", number, job_id).returncode == 0
    middle, last = server.service.requests_of(api.GetOutputRequest)
    assert (middle.offset, middle.end_offset, middle.follow) == (80, 90, False)
    assert (last.offset, last.HasField("end_offset"), last.follow) == (90, False, False)
    refused = cli("logs", "--attempt", "6", job_id)
    assert refused.returncode == 2
    assert "there are 7 to 9" in refused.stderr


@pytest.mark.parametrize("command", ["status", "query"])
def test_status(cli: Cli, server: ScriptedServer, command: str) -> None:
    server.service.jobs = [exited(3)]
    job_id = server.service.jobs[0].id
    assert cli(command, job_id[:9]).stdout == "exited (exit code: 3)\n"
    assert json.loads(cli(command, "-o", "json", job_id).stdout)["exit_code"] == 3


def test_ambiguous_ids_are_listed(cli: Cli, server: ScriptedServer) -> None:
    server.service.jobs = [job(("echo", "\x1b[2J"), job_id=f"aaaa000{n}-0000-4000-8000-000000000000") for n in (1, 2)]
    refused = cli("status", "aaaa")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert all(known.id in refused.stderr for known in server.service.jobs)
    assert "\x1b" not in refused.stderr


@pytest.mark.parametrize("job_id", ["abc", "nonsense"])
@pytest.mark.usefixtures("server")
def test_no_such_job(cli: Cli, job_id: str) -> None:
    refused = cli("status", job_id)
    assert refused.returncode == 3
    assert refused.stderr.startswith("error: there is no job")


@pytest.mark.parametrize(
    ("code", "reason", "status"),
    [
        ("PERMISSION_DENIED", "NOT_ALLOWED", 4),
        ("FAILED_PRECONDITION", "JOB_NOT_RUNNING", 1),
        ("INTERNAL", "INTERNAL", 1),
    ],
)
def test_refusals(cli: Cli, server: ScriptedServer, code: str, reason: str, status: int) -> None:
    server.service.answers["Stop"] = refusal(code, reason, "what \x1b happened")
    refused = cli("stop", str(uuid.uuid4()))
    assert (refused.returncode, refused.stdout) == (status, "")
    assert refused.stderr.startswith("error: what \\x1b happened\n")


def test_stop_signal_and_rm_print_nothing(cli: Cli, server: ScriptedServer) -> None:
    server.service.jobs = [job(state=job_pb2.JOB_STATE_STOPPED, signal=9)]
    job_id = server.service.jobs[0].id
    for arguments in (["stop", "--grace", "0.5", job_id], ["signal", job_id, "hup"], ["rm", job_id]):
        done = cli(*arguments)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    stop, signal, delete = server.service.requests
    assert (stop.grace_period.ToMilliseconds(), signal.signal, delete.job_id) == (500, "SIGHUP", job_id)


@pytest.mark.parametrize(("given", "sent"), [("9", "SIGKILL"), ("sigterm", "SIGTERM"), ("99", "SIG99")])
def test_signal_takes_names_and_numbers(cli: Cli, server: ScriptedServer, given: str, sent: str) -> None:
    server.service.jobs = [job()]
    assert cli("signal", server.service.jobs[0].id, given).returncode == 0
    assert server.service.requests[-1].signal == sent


@pytest.mark.parametrize(("given", "hint"), [("HUPP", "hint: did you mean HUP?\n"), ("nothing", ""), ("9" * 5000, "")])
def test_a_signal_that_there_is_not(cli: Cli, server: ScriptedServer, given: str, hint: str) -> None:
    server.service.jobs = [job()]
    server.service.answers["Signal"] = refusal("INVALID_ARGUMENT", "INVALID_ARGUMENT", "give a name", "signal")
    refused = cli("signal", server.service.jobs[0].id, given)
    assert (refused.returncode, refused.stderr) == (2, f"error: signal: give a name\n{hint}")


def test_list(cli: Cli, server: ScriptedServer) -> None:
    server.service.jobs = [exited(0, argv=("printf", "\x1b]0;x\x07\n")), job()]
    listed = cli("list", "--state", "running", "--state", "exited", "--label", "a=b", "--all-owners")
    assert [line.split()[0] for line in listed.stdout.splitlines()] == ["ID", *(j.id for j in server.service.jobs)]
    assert "\x1b" not in listed.stdout
    (request,) = server.service.requests
    assert (list(request.states), dict(request.labels), request.all_owners) == ([2, 3], {"a": "b"}, True)
    as_json = json.loads(cli("list", "-o", "json").stdout)
    assert [item["command"] for item in as_json] == [["printf", "\x1b]0;x\x07\n"], ["true"]]


def test_output_in_a_locale_without_utf_8(cli: Cli, server: ScriptedServer) -> None:
    server.service.jobs = [job(("echo", "日"))]
    listed = cli("list", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0", PYTHONIOENCODING="ascii")
    assert listed.returncode == 0
    assert "echo '\\u65e5'" in listed.stdout


@pytest.mark.parametrize(
    ("ended", "status"),
    [
        (exited(0), 0),
        (exited(42), 42),
        (job(state=job_pb2.JOB_STATE_STOPPED, signal=15), 143),
        (job(state=job_pb2.JOB_STATE_FAILED, error="command not found: x"), 127),
        (job(state=job_pb2.JOB_STATE_FAILED, error="x: permission denied"), 126),
        (job(state=job_pb2.JOB_STATE_LOST, reason=job_pb2.EXIT_REASON_LOST), 125),
    ],
)
def test_wait_exits_as_the_job_did(cli: Cli, server: ScriptedServer, ended: job_pb2.Job, status: int) -> None:
    server.service.jobs = [job(job_id=ended.id)]
    server.service.answers["Wait"] = lambda *_: api.WaitResponse(jobs=[ended])
    waited = cli("wait", ended.id)
    assert waited.returncode == status
    assert waited.stdout.split()[0] == ("exited", "stopped", "failed", "lost")[ended.state - 3]


def test_wait_for_a_job_that_is_removed_meanwhile(cli: Cli, server: ScriptedServer) -> None:
    server.service.jobs = [job()]
    server.service.answers["Wait"] = refusal("NOT_FOUND", "JOB_NOT_FOUND", "there is no job x")
    waited = cli("wait", server.service.jobs[0].id)
    assert (waited.returncode, waited.stdout) == (125, "")
    assert "error: there is no job x" in waited.stderr


def test_logs_json(cli: Cli, server: ScriptedServer) -> None:
    server.service.batches = [[chunk("é".encode()), chunk(b"\xff", 2, "stderr")]]
    lines = [json.loads(line) for line in cli("logs", "--json", str(uuid.uuid4())).stdout.splitlines()]
    time = "2026-01-02T03:04:05.678901Z"
    assert lines == [
        {"log": "é", "stream": "stdout", "time": time, "offset": 0},
        {"log_base64": "/w==", "stream": "stderr", "time": time, "offset": 2},
    ]


@pytest.mark.parametrize("command", ["logs", "stream", "output"])
def test_logs_keep_the_streams_apart(cli: Cli, server: ScriptedServer, command: str) -> None:
    server.service.batches = [[chunk(b"out\n"), chunk(b"err\n", 4, "stderr"), chunk(b"more\n", 8)]]
    shown = cli(command, str(uuid.uuid4()))
    assert (shown.returncode, shown.stdout, shown.stderr) == (0, "out\nmore\n", "err\n")


def test_logs_of_one_stream_are_on_stdout(cli: Cli, server: ScriptedServer) -> None:
    server.service.batches = [[chunk(b"err\n", 4, "stderr")]]
    shown = cli("logs", "--stream", "stderr", "--no-follow", "--offset", "4", str(uuid.uuid4()))
    assert (shown.stdout, shown.stderr) == ("err\n", "")
    (request,) = server.service.requests
    assert (request.stream, request.follow, request.offset) == (2, False, 4)


@pytest.mark.parametrize(
    ("reason", "status"),
    [("COMMAND_NOT_FOUND", 127), ("COMMAND_NOT_EXECUTABLE", 126), ("BAD_WORKING_DIRECTORY", 126), ("LIMIT", 1)],
)
def test_run_of_what_can_not_be_started(cli: Cli, server: ScriptedServer, reason: str, status: int) -> None:
    server.service.answers["Start"] = refusal("FAILED_PRECONDITION", reason, "why")
    assert cli("run", "x").returncode == status
    assert cli("start", "x").returncode == 1


@pytest.mark.parametrize("command", ["run", "start"])
def test_a_command_line_in_one_argument_is_told_that_there_is_no_shell(
    cli: Cli, server: ScriptedServer, command: str
) -> None:
    server.service.answers["Start"] = refusal("FAILED_PRECONDITION", "COMMAND_NOT_FOUND", "why")
    assert "hint: there is no shell: give the command and its arguments apart" in cli(command, "ls -l").stderr
    assert "hint" not in cli(command, "ls", "-l x").stderr


def test_run_exits_as_the_job_did(cli: Cli, server: ScriptedServer) -> None:
    server.service.jobs = [exited(7)]
    server.service.batches = [[chunk(b"out"), chunk(b"err", 3, "stderr")]]
    ran = cli("run", "x")
    assert (ran.returncode, ran.stdout, ran.stderr) == (7, "out", "err")


def test_run_tells_which_process_was_killed_for_its_memory(cli: Cli, server: ScriptedServer) -> None:
    reason = job_pb2.EXIT_REASON_OUT_OF_MEMORY
    killed = job(state=job_pb2.JOB_STATE_EXITED, signal=9, reason=reason, out_of_memory_process="python3 (77)")
    server.service.jobs = [killed]
    ran = cli("run", "x")
    assert ran.returncode == 137
    assert ran.stderr.endswith(": exited (signal: 9, out of memory); killed was python3 (77)\n")


def test_run_tells_why_a_job_was_ended(cli: Cli, server: ScriptedServer) -> None:
    server.service.jobs = [job(state=job_pb2.JOB_STATE_STOPPED, signal=15, reason=job_pb2.EXIT_REASON_TIMED_OUT)]
    ran = cli("run", "x")
    assert ran.returncode == 143
    assert ran.stderr == f"job {server.service.jobs[0].id}: stopped (signal: 15, timed out)\n"
