"""What `jobworker-server policy` tells of a policy file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from server_testing import TIMEOUT

POLICY = """
roles:
  operator:
    like: readonly
    start: own
    running: 10
    queued: 100
    priority: 5
    commands: [/bin/sleep]
    users: [nobody, games]
    limits: {default: {memory: 64M, io: [{read: 50M, writeOps: 20}]}, max: {memory: 4G, cpus: 0.5, nice: -5}}
    isolation: full
    writable: [/usr]
owners:
  ann: {running: 2, queued: 0, environment: []}
"""
OVERVIEW = """\
role      start  stop  signal  delete  update  query  list  wait  output  input
full      any    any   any     any     any     any    any   any   any     any
admin     any    any   any     any     any     any    any   any   any     any
user      own    own   own     own     own     own    own   own   own     own
readonly  -      -     -       -       -       any    any   any   any     -
observer  -      -     -       -       -       any    any   any   -       -
operator  own    -     -       -       -       any    any   any   any     -

role operator, in what it starts
  running      10 at once of one owner
  queued       100 at once of one owner
  priority     at most 5
  commands     /bin/sleep
  environment  none
  users        nobody (where none is named), games
  limits       by default memory 64M, io read 50M writeOps 20 a second; at most memory 4G, cpus 0.5, nice -5
  isolation    full
  writable     /usr

owner ann, in what it starts
  running      2 at once of one owner
  queued       0 at once of one owner
  environment  none
"""
OF_ANN = """
what it starts  may be
running         2 at once of one owner
queued          0 at once of one owner
priority        at most 5
commands        /bin/sleep
environment     none
users           nobody (where none is named), games
limits          by default memory 64M, io read 50M writeOps 20 a second; at most memory 1G, cpus 0.5, nice -5
isolation       full
writable        /usr
newPrivileges   can't be gained
"""


def run(*arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JOBWORKER_")}
    command = [sys.executable, "-m", "jobworker_server", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False, env=environment)
    assert done.returncode == status, done
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_text(POLICY)
    return path


def test_check_tells_all_of_a_policy(path: Path) -> None:
    assert run("policy", "check", str(path)).stdout == OVERVIEW


def test_explain_tells_what_holds_for_one_with_the_limits_of_the_configuration(path: Path, tmp_path: Path) -> None:
    config = tmp_path / "server.yaml"
    config.write_text("policy: policy.yaml\nlimits: {max: {memory: 1G}}")
    told = run("--config", str(config), "policy", "explain", "--role", "operator", "--owner", "ann").stdout
    assert told.endswith(OF_ANN)
    assert "start      own\n" in told
    everything = run("--config", str(config), "policy", "explain").stdout
    assert everything == OVERVIEW + "\nall roles, by the configuration: at most memory 1G\n"


def test_explain_knows_the_built_in_roles() -> None:
    of_user = run("policy", "explain", "--role", "user").stdout
    for line in ("running         any number at once", "queued          any number at once", "priority        any, by"):
        assert f"\n{line}" in of_user
    assert run("policy", "explain", "--role", "observer").stdout.endswith("\nIt starts no jobs.\n")
    assert run("policy", "explain").stdout == "\n".join(OVERVIEW.splitlines()[:6]) + "\n"


def test_what_can_not_be_used_leaves_with_1(path: Path) -> None:
    missing = run("policy", "explain", str(path), "--role", "operatr", status=1)
    assert missing.stderr.startswith("jobworker-server: this server knows no role 'operatr', only full, admin")
    path.write_text("roles: {a: {strat: own}}")
    refused = run("policy", "check", str(path), status=1)
    expected = f"{path}, line 1: roles.a: there is no operation or bound 'strat'; did you mean 'start'?"
    assert refused.stderr == f"jobworker-server: {expected}\n"


@pytest.mark.parametrize("arguments", [["check"], ["explain", "--owner", "ann"], ["chek"], ["check", "a", "b"]])
def test_wrong_usage_leaves_with_2(arguments: list[str]) -> None:
    run("policy", *arguments, status=2)


def test_what_is_most_likely_not_meant_is_a_warning(path: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.write_text("#!/bin/sh\n")
    mine.chmod(0o777)
    circle = tmp_path / "circle"
    circle.symlink_to(circle)
    path.write_text(
        f"roles: {{a: {{commands: [/bin/sleep, /no/such, /etc, {mine}, {circle}], users: [nobody, no-such],"
        " isolation: full, writable: [/no/such]}}"
    )
    told = run("policy", "check", str(path)).stderr.splitlines()
    warnings = [warning for warning in told if "/bin/sleep" not in warning]  # in a user namespace it is this user's
    expected = [
        "a.commands: /no/such can't be executed: No such file or directory",
        "a.commands: /etc is no program that can be executed",
        f"a.commands: {mine} is only as safe as {mine}, which",
        f"a.commands: {circle} can't be executed: Too many levels of symbolic links",
        "a.users: this host has no user no-such",
        *([] if os.geteuid() == 0 else ["a.users: only a server that runs as root can start jobs of a user"]),
        "a.writable: there is no directory /no/such",
    ]
    assert len(warnings) == len(expected)
    for warning, beginning in zip(warnings, expected, strict=True):
        assert warning.startswith(f"warning: roles.{beginning}")
