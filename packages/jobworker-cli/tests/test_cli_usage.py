"""Wrong usage: what is wrong, what is taken instead, and where to read on, with each version of typer the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from cli_process import Cli

ID = "0" * 36


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (f"logs --tail x {ID}", "--tail: expected a whole number, 0 or more"),
        (f"logs --tail -1 {ID}", "--tail: expected a whole number, 0 or more"),
        (f"logs --stream out {ID}", "--stream: expected stdout or stderr"),
        (f"logs --tail 1 --offset 2 {ID}", "--tail: it can't go with --offset"),
        (f"stats --interval 0 {ID}", "--interval: expected a number of seconds from 0.1 to 86400"),
        (f"stats --interval soon {ID}", "--interval: expected a number of seconds from 0.1 to 86400"),
        (
            "start --restart always true",
            "--restart: expected never, on-failure or on-failure:N; did you mean on-failure?",
        ),
        ("start --restart no true", "--restart: expected never, on-failure or on-failure:N; did you mean never?"),
        (
            "run --restart On-Fail:3 true",
            "--restart: expected never, on-failure or on-failure:N; did you mean on-failure?",
        ),
        ("start --restart soon true", "--restart: expected never, on-failure or on-failure:N"),
        ("start --restart on-failure: true", "--restart: expected on-failure:N with a whole number from 1 to 1000"),
        ("start --restart on-failure:0 true", "--restart: expected on-failure:N with a whole number from 1 to 1000"),
        ("start --restart 1001 true", "--restart: expected on-failure:N with a whole number from 1 to 1000"),
        ("start --restart-backoff 1 true", "--restart: a pause between restarts needs --restart on-failure"),
        (f"stats -o yaml {ID}", "--output: expected json or wide"),
        (f"stop --grace x {ID}", "--grace: expected a number of seconds, 0 or more"),
        ("stop", "ID: give ids, or --label K=V"),
        ("list -o xml", "--output: expected json, yaml, wide or id"),
        ("list --label team", "--label: expected K=V"),
        ("start --priority high true", "--priority: expected a whole number from -1000 to 1000"),
        ("start --nice 50 true", "--nice: expected a whole number from -20 to 19"),
        ("start --cpus many true", "--cpus: expected a number"),
        ("start --timeout x true", "--timeout: expected a number of seconds"),
        ("start --memory 1X true", "--memory: expected a size, such as 64M or 1G"),
        ("start --network mine true", "--network: expected host, isolated or none"),
        ("status", "ID is missing"),
        (f"update {ID}", "--timeout is missing"),
        ("ps", "there is no command 'ps'; did you mean list?"),
        ("help", "there is no command 'help'; did you mean --help?"),
        ("completion tcsh", "completion: expected bash, zsh or fish"),
        ("config show", "config: expected init, get, set, use, list or view"),
        ("lst", "there is no command 'lst'; did you mean list?"),
        ("frobnicate", "there is no command 'frobnicate'"),
        ("list --bogus", "no such option: --bogus"),
    ],
)
def test_what_is_wrong_and_what_is_taken(cli: Cli, line: str, problem: str) -> None:
    told = cli(*line.split())
    assert (told.returncode, told.stdout) == (2, "")
    error, hint = told.stderr.splitlines()
    assert error == f"error: {problem}"
    name = line.split(maxsplit=1)[0]
    shown = f"jobworker-cli {name} [OPTIONS]" if "no command" not in problem else "jobworker-cli [OPTIONS] COMMAND"
    assert hint.startswith(f"hint: {shown}")
    assert hint.endswith("; --help tells more")


def test_nothing_given_shows_the_help(cli: Cli) -> None:
    for words in ([], ["config"]):
        told = cli(*words)
        assert "Commands:" in told.stdout + told.stderr
        assert "error" not in told.stderr
