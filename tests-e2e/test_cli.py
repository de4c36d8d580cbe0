"""Guards the interface that users and scripts rely on: ids by prefix, lists, JSON, exit statuses, configuration."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import uuid
from pathlib import Path

import pytest

from conformance.jobs import SLEEPER, UNKNOWN_ID, awaiting, sh
from conformance.processes import PATIENCE_SECONDS
from harness.api import Api
from harness.certs import Certs
from harness.cli import Cli
from harness.server import Server

KEYS = [
    "id", "command", "owner", "state", "exit_code", "signal", "reason", "created_at", "started_at", "ended_at",
    "labels", "limits", "usage", "timeout", "stdin", "tty", "priority", "output_bytes", "output_dropped_bytes",
    "output_limit", "attempts", "isolation", "user", "groups", "out_of_memory_process",
    "no_new_privileges",
]  # fmt: skip


def test_start_prints_the_id_alone(cli: Cli) -> None:
    job_id = cli("start", "true").stdout.decode()
    assert job_id == f"{uuid.UUID(job_id.strip())}\n"


def test_run_is_as_if_the_job_were_here(cli: Cli, tmp_path: Path) -> None:
    script = "pwd; echo $WHO >&2; cat; exit 3"
    result = cli("run", "--cwd", tmp_path, "--env", "WHO=ann", "--", *sh(script), status=3)
    assert (result.out, result.err) == (str(tmp_path), "ann\n")


def test_status_tells_how_a_job_is_and_was(cli: Cli) -> None:
    running = cli.start(SLEEPER)
    assert cli("status", running).out == cli("query", running).out == "running"
    cli("stop", running)
    assert cli("status", running).out == "stopped (signal: 15)"


def test_the_json_of_a_job(cli: Cli, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    command = sh(f"{awaiting(gate)}; exit 3", "ä b")
    started = cli.json("start", "--label", "a=1", "--label", "b=", command=command)
    assert list(started) == KEYS
    assert (started["state"], started["ended_at"], started["exit_code"]) == ("running", None, None)
    assert started["command"] == command
    gate.touch()
    ended = json.loads(cli("wait", started["id"], "-o", "json", status=3).stdout)
    assert ended == started | {
        "state": "exited", "exit_code": 3, "reason": "exited", "ended_at": ended["ended_at"], "usage": ended["usage"],
        "attempts": [started["attempts"][0] | {"exit_code": 3, "ended_at": ended["ended_at"]}],
    }  # fmt: skip
    assert (ended["owner"], ended["labels"], ended["signal"]) == ("full", {"a": "1", "b": ""}, None)
    assert ended["created_at"] <= ended["started_at"] <= ended["ended_at"]
    assert cli.json("status", started["id"]) == ended
    assert cli.json("list", "--label", "a=1") == [ended]


def test_an_id_may_be_shortened_until_it_is_ambiguous(cli: Cli, api: Api) -> None:
    by_prefix: dict[str, str] = {}
    job_id = twin = api.start(["true"]).id
    while job_id == twin:  # until two ids begin with the same digit
        job_id = api.start(["true"]).id
        twin = by_prefix.setdefault(job_id[0], job_id)
    length = next(i for i in range(37) if job_id[:i] != twin[:i])
    assert cli.json("status", job_id[: max(length, 13)])["id"] == job_id
    assert cli.json("status", job_id.upper())["id"] == job_id
    ambiguous = cli("status", job_id[: length - 1], status=2)
    assert job_id in ambiguous.err
    assert twin in ambiguous.err
    cli("status", "00000000", status=3)


def test_list_filters_and_pages(own_server: Server, own_cli: Cli, certs: Certs) -> None:
    with Api(own_server, certs.full) as api, Api(own_server, certs.client("user", "ann")) as ann:
        mine = [api.start(["true"], labels={"number": str(number % 2)}).id for number in range(205)]
        running = api.start(SLEEPER).id
        theirs = ann.start(["true"]).id
        for job_id in mine:
            api.wait(job_id)
    listed = [job["id"] for job in own_cli.json("list")]
    assert listed == [running, *reversed(mine)], "all pages, the newest first"
    assert [job["id"] for job in own_cli.json("list", "--state", "running")] == [running]
    assert [job["id"] for job in own_cli.json("list", "--label", "number=1")] == [*reversed(mine[1::2])]
    assert [job["id"] for job in own_cli.json("list", "--all-owners")][:2] == [theirs, running]
    lines = own_cli("list", "--state", "running").out.splitlines()
    assert lines[0].split() == ["ID", "STATUS", "OWNER", "CREATED", "COMMAND"]
    assert lines[1].startswith(f"{running}  running  full  ")
    assert lines[1].endswith("sleep 1000")
    assert len(lines) == 2


def test_rm_removes_an_ended_job(cli: Cli, server: Server) -> None:
    job_id = cli.start(SLEEPER)
    refused = cli("rm", job_id, status=1)
    assert "has not ended" in refused.err
    cli("stop", job_id)
    cli("rm", job_id)
    cli("status", job_id, status=3)
    assert not (server.state_dir / "jobs" / job_id).exists()


def test_exit_statuses(cli: Cli, certs: Certs) -> None:
    cli("list", status=0)
    cli("start", "no-such-command", status=1)
    for wrong in (
        ["--bogus"],
        ["bogus"],
        ["status"],
        ["start", "--label", "no-value", "true"],
        ["list", "--state", "x"],
    ):
        cli(*wrong, status=2)
    for command in ("status", "logs", "stop", "wait", "rm"):
        assert "there is no job" in cli(command, UNKNOWN_ID, status=3).err
    cli("signal", UNKNOWN_ID, "HUP", status=3)
    cli("start", "true", client=certs.client("readonly", "ann"), status=4)


def test_no_server_leaves_with_5(cli: Cli) -> None:
    refused = cli("--server", "localhost:1", "list", status=5)
    assert "localhost:1" in refused.err
    assert cli("--server", "localhost:1", "run", "true", status=5).stdout == b""


def test_a_pipe_that_is_closed_ends_logs_quietly(cli: Cli) -> None:
    job_id = cli.start(sh("i=0; while :; do i=$((i + 1)); echo $i; done"))
    with cli.running("logs", job_id) as logs:
        with subprocess.Popen(["head", "-n", "1"], stdin=logs.stdout, stdout=subprocess.PIPE) as head:
            assert logs.stdout
            logs.stdout.close()
            assert head.communicate(timeout=PATIENCE_SECONDS)[0] == b"1\n"
        assert logs.stderr
        assert logs.stderr.read() == b""
        assert logs.wait(PATIENCE_SECONDS) == 128 + signal.SIGPIPE
    assert cli("status", job_id).out == "running"
    cli("stop", "--force", job_id)


def redirected(cli: Cli, redirection: str, *arguments: object) -> tuple[int, str]:
    """Exit status and standard error of a command whose descriptors a shell has redirected."""
    process = subprocess.run(
        ["sh", "-c", f'exec "$@" {redirection}', "sh", *cli.command(*arguments)],
        env=cli.environment(),
        stdin=subprocess.PIPE,
        capture_output=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    return process.returncode, process.stderr.decode()


def test_a_standard_input_that_is_closed_is_at_its_end(cli: Cli) -> None:
    assert redirected(cli, "<&-", "run", "--stdin", "cat") == (0, "")
    assert redirected(cli, "<&-", "run", "--tty", "true") == (0, "")


@pytest.mark.parametrize(
    ("redirection", "problem"), [(">&-", "Bad file descriptor"), (">/dev/full", "No space left on device")]
)
def test_a_standard_output_that_can_not_be_written_to_is_told(cli: Cli, redirection: str, problem: str) -> None:
    told = f"error: the standard output can't be written to: {problem}"
    for command in (["list"], ["logs", cli.start(["echo", "hi"])]):
        assert redirected(cli, redirection, *command) == (1, f"{told}\n")
    status, err = redirected(cli, redirection, "run", "--", *sh("while :; do echo line; done"))
    assert (status, err) == (128 + signal.SIGTERM, f"{told}; the job is stopped\n")


def test_a_standard_output_that_does_not_block_is_waited_for(cli: Cli) -> None:
    job_id = cli.start(["seq", "200000"])
    reading, writing = os.pipe2(os.O_NONBLOCK)
    with open(reading, "rb") as shown, cli.running("logs", job_id, stdout=writing):
        os.close(writing)
        os.set_blocking(reading, True)
        assert shown.read().count(b"\n") == 200000


@pytest.fixture
def outside(server: Server, tmp_path: Path) -> Cli:
    """The command line without settings in the environment: what it finds, it finds in a file."""

    class WithoutSettings(Cli):
        def environment(self, client: object = None) -> dict[str, str]:  # noqa: ARG002  # there is none
            settings = super().environment()
            return {name: value for name, value in settings.items() if not name.startswith("JOBWORKER_")}

    return WithoutSettings(server, tmp_path)


def test_a_configuration_file_with_contexts(outside: Cli, server: Server, certs: Certs, tmp_path: Path) -> None:
    file = tmp_path / "jobworker" / "config.yaml"
    file.parent.mkdir()
    readonly = certs.client("readonly", "ann")
    file.write_text(
        f"serverAddress: {server.address}\nserverCA: {certs.ca}\n"
        "contexts:\n"
        f"  boss:\n    clientCertificate: {certs.full.cert}\n    clientKey: {certs.full.key}\n"
        f"  guest:\n    clientCertificate: {readonly.cert}\n    clientKey: {readonly.key}\n"
    )
    assert outside("--context", "boss", "run", "echo", "hi").out == "hi"
    outside("--context", "guest", "run", "echo", "hi", status=4)
    assert "boss, guest" in outside("--context", "nobody", "list", status=2).err
    flat = tmp_path / "flat.yaml"
    flat.write_text(
        f"serverAddress: {server.address}\nserverCA: {certs.ca}\n"
        f"clientCertificate: {certs.full.cert}\nclientKey: {certs.full.key}\n"
    )
    assert outside("--config", flat, "run", "echo", "hi").out == "hi"
    assert "localhost:1" in outside("--config", flat, "--server", "localhost:1", "list", status=5).err


def test_a_directory_of_certificates_and_a_name(outside: Cli, server: Server, certs: Certs) -> None:
    settings = ["--server", server.address, "--certs", certs.directory]
    assert outside(*settings, "run", "echo", "hi").out == "hi"
    outside(*settings, "--name", "readonly", "run", "echo", "hi", status=4)
    missing = outside(*settings, "--name", "nobody", "list", status=2)
    assert str(certs.directory / "nobody.pem") in missing.err


def test_last_lines_and_times_from_the_command_line(cli: Cli) -> None:
    job_id = cli.start(sh("seq 1000"))
    cli("wait", job_id)
    assert cli("logs", "--tail", 3, job_id).out == "998\n999\n1000"
    assert cli("logs", "--tail", 0, job_id).out == ""
    assert cli("logs", "--since", "1h", "--no-follow", job_id).out == "\n".join(map(str, range(1, 1001)))
    assert cli("logs", "--since", "2999-01-01T00:00:00Z", job_id).out == ""
    for wrong in (
        ["--tail", -1],
        ["--since", "yesterday"],
        ["--tail", 1, "--offset", 1],
        ["--tail", 1, "--since", "1h"],
    ):
        cli("logs", *wrong, job_id, status=2)


def test_a_job_is_stopped_at_its_output_limit(cli: Cli) -> None:
    result = cli("run", "--output-limit", "64K", "seq", "-w", "1000000", status=128 + 15)
    assert len(result.stdout) == 65536
    assert result.err.endswith(": stopped (signal: 15, output limit)\n")
    (job,) = [job for job in cli.json("list", "--state", "stopped") if job["reason"] == "output_limit"]
    assert (job["output_limit"], job["output_bytes"]) == ({"bytes": 65536, "action": "stop"}, 65536)
    assert job["output_dropped_bytes"] > 0


def test_dropped_output_is_told(cli: Cli) -> None:
    options = "--output-limit", "128K", "--output-limit-action", "drop-oldest"
    job_id = cli.start(["seq", "-w", "100000"], *options)
    cli("wait", job_id)
    dropped = cli.json("status", job_id)["output_dropped_bytes"]
    assert dropped >= 700_000 - (128 << 10)
    text = cli("logs", job_id)
    assert text.stdout == b"".join(b"%06d\n" % number for number in range(1, 100_001))[dropped:]
    assert text.err == f"{dropped} bytes from offset 0 on were dropped to keep the job's output limit\n"
    first, second = cli("logs", "--json", job_id).out.splitlines()[:2]
    assert json.loads(first) == {"gap": {"begin": 0, "end": dropped}}
    assert json.loads(second)["offset"] == dropped


@pytest.mark.parametrize(
    "options", [["--output-limit", "1K"], ["--output-limit", "much"], ["--output-limit-action", "stop"]]
)
def test_an_output_limit_that_can_not_be_used(cli: Cli, options: list[str]) -> None:
    cli("start", *options, "true", status=2)
