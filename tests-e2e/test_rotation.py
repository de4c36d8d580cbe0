"""A CA is rotated by ``jobworker-pki`` under a running server, which cuts no stream before it has to."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from conformance.processes import PATIENCE_SECONDS, wait_until
from harness.certs import Certs, Pair, pki
from harness.cli import Cli
from harness.server import Server


def given(certs: Certs, name: str, directory: Path) -> Pair:
    """What a client has of its certificate, which does not change with the one of the CA's directory."""
    directory.mkdir()
    for suffix in (".pem", ".key"):
        shutil.copy(certs.directory / (name + suffix), directory)
    return Pair(directory / f"{name}.pem", directory / f"{name}.key")


@pytest.mark.parametrize("options", [(), ("--intermediate",)], ids=["root", "intermediate"])
def test_a_stream_goes_on_until_its_ca_is_dropped(tmp_path: Path, options: tuple[str, ...]) -> None:
    certs = Certs(tmp_path / "certs", *options)
    old = given(certs, "full", tmp_path / "old")
    server = Server(certs, tmp_path)
    cli = Cli(server, tmp_path)

    def has_reloaded() -> bool:
        return "the trust in clients was reloaded" in server.log

    def is_revoked(pair: Pair) -> bool:
        """It may be loaded in several steps, as the files came."""
        done = subprocess.run(
            cli.command("list"), env=cli.environment(pair), capture_output=True, timeout=PATIENCE_SECONDS, check=False
        )
        return done.returncode == 4 and b"is revoked" in done.stderr

    try:
        job_id = cli("start", "--", "sh", "-c", "echo begun; exec sleep 1000", client=old).out
        command, environment = cli.command("logs", job_id), cli.environment(old)
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as stream:
            assert stream.stdout is not None
            assert stream.stderr is not None
            assert stream.stdout.readline() == b"begun\n"

            pki("issue", "--role", "user", "--name", "eve", "--dir", certs.directory)
            eve = given(certs, "eve", tmp_path / "eve")
            pki("rotate-ca", "--dir", certs.directory)
            wait_until(has_reloaded, "the trust in both CAs")
            cli("list", client=eve)
            pki("revoke", "eve", "--dir", certs.directory)
            wait_until(lambda: is_revoked(eve), "what the old CA has revoked")

            pki("renew", "--due", "--dir", certs.directory)
            wait_until(lambda: "the server's certificate was reloaded" in server.log, "the new certificate")
            new = given(certs, "full", tmp_path / "new")
            assert old.cert.read_bytes() != new.cert.read_bytes()
            for pair in (old, new):
                assert job_id in cli("list", client=pair).out
            assert stream.poll() is None, "it goes on, of the old CA"

            pki("rotate-ca", "--finish", "--yes", "--force", "--dir", certs.directory)
            assert stream.wait(PATIENCE_SECONDS) == 4
            assert b"is not one of a CA that this server trusts now" in stream.stderr.read()
        assert job_id in cli("list", client=new).out
        assert "ERROR" not in server.log
    finally:
        server.close()
