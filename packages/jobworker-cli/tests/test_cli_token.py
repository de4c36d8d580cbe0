"""A token that each call sends, from a file that may change at any time."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from jobworker_cli import errors
from jobworker_cli.client import Client, Credentials, aio
from scripted_server import ScriptedServer, chunk, exited, refusal

if TYPE_CHECKING:
    from cli_process import Cli


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text("aaa.bbb.cc-_c\n")
    return path


def bearing(certs: Path, token_file: Path) -> Credentials:
    return replace(Credentials.from_directory(certs), token=token_file)


def test_each_call_sends_the_token_that_is_in_the_file_then(
    server: ScriptedServer, certs: Path, token_file: Path
) -> None:
    server.service.jobs = [exited(0)]
    server.service.batches = [[chunk(b"abc", 0)]]
    with Client(server.address, bearing(certs, token_file)) as client:
        client.list_page()
        token_file.write_text("d.e.f")
        assert list(client.output(server.service.jobs[0].id))
        client.status(server.service.jobs[0].id)
    assert server.service.authorizations == ["Bearer aaa.bbb.cc-_c", "Bearer d.e.f", "Bearer d.e.f"]


def test_the_asynchronous_client_does_so_too(server: ScriptedServer, certs: Path, token_file: Path) -> None:
    async def call() -> None:
        async with aio.Client(server.address, bearing(certs, token_file)) as client:
            await client.list_page()

    asyncio.run(call())
    assert server.service.authorizations == ["Bearer aaa.bbb.cc-_c"]


def test_the_command_line_sends_it(server: ScriptedServer, cli: Cli, token_file: Path) -> None:
    assert cli("--server", server.address, "--token-file", str(token_file), "list").returncode == 0
    assert cli("--server", server.address, "list").returncode == 0
    assert server.service.authorizations == ["Bearer aaa.bbb.cc-_c"]


@pytest.mark.parametrize("content", ["", "a.b", "a.b.c d.e.f", "a.b.c\nx: y", "a.b.\u00e9", "Bearer a.b.c"])
def test_a_file_that_holds_no_token_is_named(server: ScriptedServer, cli: Cli, token_file: Path, content: str) -> None:
    token_file.write_text(content)
    refused = cli("--server", server.address, "--token-file", str(token_file), "list")
    assert refused.returncode == 2
    expected = f"error: the token file {token_file} does not hold a token, and nothing else (from --token-file)\n"
    assert refused.stderr.startswith(expected)
    assert not server.service.requests


def test_a_file_that_is_missing_is_named(cli: Cli) -> None:
    refused = cli("--token-file", "gone", "list")
    assert refused.returncode == 2
    assert "the token file gone does not exist (from --token-file)" in refused.stderr
    assert "`jobworker-pki token` makes tokens" in refused.stderr


def test_a_file_that_goes_away_is_told_at_the_next_call(server: ScriptedServer, certs: Path, token_file: Path) -> None:
    with Client(server.address, bearing(certs, token_file)) as client:
        client.list_page()
        token_file.unlink()
        with pytest.raises(errors.CredentialsError, match=r"the token file .* does not exist"):
            client.list_page()


@pytest.mark.parametrize(
    ("reason", "hint"),
    [
        ("NO_TOKEN", "--token-file FILE, before the command's name, sends one"),
        ("TOKEN_EXPIRED", "`jobworker-pki token` makes a new one"),
        ("BAD_TOKEN", "`jobworker-pki token` makes one for your certificate"),
    ],
)
def test_a_refused_token_is_told_with_what_to_do(
    server: ScriptedServer, cli: Cli, reason: str, hint: str, token_file: Path
) -> None:
    server.service.answers["ListJobs"] = refusal("UNAUTHENTICATED", reason, "the token is refused")
    refused = cli("--server", server.address, "--token-file", str(token_file), "list")
    assert refused.returncode == 4
    assert refused.stderr.startswith(f"error: the token is refused\nhint: {hint}")
