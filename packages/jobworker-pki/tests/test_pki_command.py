"""The command as users run it: output, notes, exit statuses, and several at once."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import jobworker_pki
from pki_testing import clean, command, contents, pki, verify


def test_issue_in_an_empty_directory(tmp_path: Path) -> None:
    result = pki("issue", "--role", "readonly", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "there was no CA in certs, so a new one was made" in result.stderr
    assert "next: jobworker-pki server" in result.stderr
    assert "certs/readonly.pem  client certificate for readonly, role readonly, valid until " in result.stdout
    assert contents(tmp_path / "certs").keys() == {
        "ca.pem", "ca.key", "crl.pem", "ledger.jsonl", "readonly.pem", "readonly.key",
    }  # fmt: skip
    verify(tmp_path / "certs", "readonly", "sslclient")

    again = pki("issue", "--role", "readonly", cwd=tmp_path)
    assert again.returncode == 1
    assert again.stdout == ""
    assert "already there: certs/readonly.key, certs/readonly.pem. Nothing was changed; --force" in again.stderr

    other = pki("issue", "--role", "night", "--name", "ann", "--days", "36500", cwd=tmp_path)
    assert other.returncode == 0
    assert "CA" not in other.stdout
    assert "'night' is not a built-in role" in other.stderr
    assert "no certificate outlives its CA" in other.stderr

    forced = pki("issue", "--role", "full", "--name", "ann", "--force", cwd=tmp_path)
    assert forced.returncode == 0
    assert "note:" not in forced.stderr
    shown = pki("show", "certs/ann.pem", cwd=tmp_path)
    assert shown.returncode == 0
    assert shown.stdout.splitlines()[1].split() == ["role", "full"]


def test_init_then_server(tmp_path: Path) -> None:
    where = {"JOBWORKER_CERTS": "pki dir"}
    made = pki("init", "--san", "a.example", "--san", "192.0.2.1", cwd=tmp_path, **where)
    assert made.returncode == 0, made.stderr
    assert "DNS:a.example, IP:192.0.2.1" in made.stdout
    assert made.stderr == "next: jobworker-server\n"
    before = contents(tmp_path / "pki dir")
    assert len(before) == 10

    again = pki("init", "--dir", "pki dir", cwd=tmp_path)
    assert again.returncode == 1
    assert "certificates of the old CA stop working" in again.stderr
    assert contents(tmp_path / "pki dir") == before

    server = pki("server", "--san", "b.example", "--dir", "pki dir", "--force", cwd=tmp_path)
    assert server.returncode == 0
    assert "next: jobworker-server --certs 'pki dir'\n" in server.stderr
    verify(tmp_path / "pki dir", "server", "sslserver")

    client = pki("issue", "--role", "user", "--name", "Ann B", "--dir", "pki dir", cwd=tmp_path)
    assert "next: jobworker-cli --certs 'pki dir' --name 'Ann B' list\n" in client.stderr


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["issue"], "--role"),
        (["issue", "--role", ""], "--role: is empty"),
        (["issue", "--role", "x", "--name", "../x"], "--name: holds a path separator"),
        (["issue", "--role", "x", "--name", ""], "--name: is empty"),
        (["issue", "--role", "server"], "--name: 'server' is reserved"),
        (["issue", "--role", "x", "--days", "0"], "--days"),
        (["server", "--san", "a:1"], "--san: 'a:1' is neither"),
        (["frobnicate"], "frobnicate"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage_changes_nothing(tmp_path: Path, arguments: list[str], problem: str) -> None:
    result = pki(*arguments, cwd=tmp_path)
    assert result.returncode == 2
    assert problem in result.stderr
    assert "Traceback" not in result.stderr
    assert contents(tmp_path) == {}


def test_failures_are_a_line_each(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for arguments in (["show", "none.pem"], ["init", "--dir", "file"], ["show", "file"]):
        result = pki(*arguments, cwd=tmp_path)
        assert result.returncode == 1
        assert result.stderr.startswith("jobworker-pki: ")
        assert result.stderr.count("\n") == 1


def test_version_and_a_terminal_without_unicode(tmp_path: Path) -> None:
    assert pki("--version", cwd=tmp_path).stdout == f"jobworker-pki {jobworker_pki.__version__}\n"
    result = pki("issue", "--role", "user", "--name", "Łucja", cwd=tmp_path, PYTHONIOENCODING="latin-1")
    assert result.returncode == 0, result.stderr
    assert r"\u0141ucja" in result.stdout


def test_several_at_once_share_one_authority(tmp_path: Path) -> None:
    names = [f"client{number}" for number in range(5)]
    running = [
        subprocess.Popen(
            command("issue", "--role", "user", "--name", name),
            cwd=tmp_path,
            env=clean({}),
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in names
    ]
    errors = [process.communicate(timeout=110)[1] for process in running]
    assert [process.returncode for process in running] == [0] * len(names), errors
    assert sum("so a new one was made" in error for error in errors) == 1
    for name in names:
        verify(tmp_path / "certs", name, "sslclient")
    assert len(contents(tmp_path / "certs")) == 4 + 2 * len(names)


def test_several_at_once_of_one_name_make_one_certificate(tmp_path: Path) -> None:
    running = [
        subprocess.Popen(
            command("issue", "--role", "user"),
            cwd=tmp_path,
            env=clean({}),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(3)
    ]
    assert sorted(process.wait(timeout=110) for process in running) == [0, 1, 1]
    verify(tmp_path / "certs", "user", "sslclient")
