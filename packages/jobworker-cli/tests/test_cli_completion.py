"""What may stand at the cursor, asked for as the shells do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobworker.v1 import worker_service_pb2 as api
from scripted_server import ScriptedServer, job

if TYPE_CHECKING:
    from cli_process import Cli


def offered(cli: Cli, *words: str, **variables: str) -> list[str]:
    done = cli("completion", "words", "--", *words, **variables)
    assert (done.returncode, done.stderr) == (0, "")
    return [line.partition("\t")[0] for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("sto", ["stop"]),
        ("list --state e", ["exited"]),
        ("list --state=e", ["--state=exited"]),
        ("list --state exited --state lo", ["lost"]),
        ("logs --stream s", ["stdout", "stderr"]),
        ("list -o y", ["yaml"]),
        ("start --restart ", ["never", "on-failure", "on-failure:5"]),
        ("--server x:1 list --wa", ["--watch"]),
        ("config se", ["set"]),
        ("config set serverC", ["serverCA"]),
        ("signal abc HU", ["HUP"]),
        ("signal abc SIGHU", ["SIGHUP"]),
        ("start --cwd /x m", [":commands"]),
        ("start make --state", [":files"]),
        ("start make -", [":files"]),
        ("start --file ", [":files"]),
        ("--certs ", [":directories"]),
        ("run --tt", ["--tty"]),
        ("run --network h", ["host"]),
        ("completion b", ["bash"]),
        ("nonsense x", []),
    ],
)
def test_without_a_server(cli: Cli, line: str, words: list[str]) -> None:
    assert offered(cli, *line.split(" ")) == words


def test_contexts_of_the_file(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    file.write_text("contexts: {work: {}, home: {}}")
    assert offered(cli, "--config", str(file), "--context", "") == ["work", "home"]
    assert offered(cli, "config", "use", "h", JOBWORKER_CONFIG=str(file)) == ["home"]
    file.write_text("contexts: [")
    assert offered(cli, "config", "use", "h", JOBWORKER_CONFIG=str(file)) == []


def test_jobs_that_the_command_is_for(cli: Cli, server: ScriptedServer) -> None:
    server.service.jobs = [job(labels={"a": "1"}), job(labels={"a": "2"})]
    first, second = (known.id for known in server.service.jobs)
    assert offered(cli, "stop", "") == [first, second]
    assert offered(cli, "stop", first, "") == [second]
    assert offered(cli, "rm", first[:6]) == [first]
    assert offered(cli, "list", "--label", "a=") == ["a=1", "a=2"]
    stop, _, rm, *_ = server.service.requests_of(api.ListJobsRequest)
    assert (3 in stop.states, 3 in rm.states) != (True, True)
    assert not set(stop.states) & set(rm.states)


def test_no_server_is_no_candidate(cli: Cli) -> None:
    assert offered(cli, "--server", "localhost:1", "stop", "") == []


@pytest.mark.parametrize("line", ["list --state r", "--con", "config use x", "signal x H"])
def test_imports_nothing_large(line: str) -> None:
    code = (
        "import sys; sys.argv = ['jobworker-cli', 'completion', 'words', '--', *sys.argv[1:]]\n"
        "from jobworker_cli.main import main\n"
        "try: main()\n"
        "except SystemExit: print([m for m in ('grpc', 'rich', 'google', 'pydantic', 'textual') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, *line.split()], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
