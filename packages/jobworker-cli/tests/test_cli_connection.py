"""What is said when there is no connection, and why."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from scripted_server import ScriptedServer

if TYPE_CHECKING:
    from cli_process import Cli


def test_nothing_listens(cli: Cli) -> None:
    refused = cli("--server", "localhost:1", "list")
    assert (refused.returncode, refused.stdout) == (5, "")
    assert refused.stderr.startswith("error: no answer from localhost:1: is jobworker-server running?\nhint: ")


def test_there_is_no_such_host(cli: Cli) -> None:
    refused = cli("--server", "nowhere.invalid:50051", "list")
    assert refused.returncode == 5
    assert "no answer from nowhere.invalid:50051: there is no host nowhere.invalid" in refused.stderr


def test_the_server_is_mute(cli: Cli) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        refused = cli("--timeout", "0.5", "--server", f"127.0.0.1:{listener.getsockname()[1]}", "list")
    assert refused.returncode == 5
    assert "within 0.5 seconds" in refused.stderr


@pytest.mark.usefixtures("server")
def test_the_client_is_of_another_authority(cli: Cli, certs: Path, other_certs: Path) -> None:
    refused = cli("--certs", str(other_certs), "--ca", str(certs / "ca.pem"), "list")
    assert refused.returncode == 4
    assert f"does not accept the certificate {other_certs}/full.pem" in refused.stderr


@pytest.mark.usefixtures("server")
def test_the_server_is_of_another_authority(cli: Cli, other_certs: Path) -> None:
    refused = cli("--ca", str(other_certs / "ca.pem"), "list")
    assert refused.returncode == 5
    assert "can't be trusted" in refused.stderr
    assert str(other_certs / "ca.pem") in refused.stderr


def test_the_server_has_another_name(cli: Cli, certs: Path) -> None:
    with ScriptedServer(certs, server_name="full") as server:
        refused = cli("--server", server.address, "list")
    assert refused.returncode == 5
    assert "can't be trusted" in refused.stderr


@pytest.mark.parametrize("role", ["ca", "cert", "key"])
def test_a_file_is_missing(cli: Cli, role: str) -> None:
    refused = cli(f"--{role}", "gone.pem", "list")
    assert refused.returncode == 2
    assert f"gone.pem does not exist (from --{role})" in refused.stderr


def test_a_client_without_a_certificate_is_told_how_to_get_one(cli: Cli) -> None:
    refused = cli("--name", "ann", "list")
    assert refused.returncode == 2
    assert "hint: `jobworker-pki issue --role ROLE --name ann` makes one" in refused.stderr
    assert "--name NAME says whose to use, of those there: full" in refused.stderr
    assert "server" not in refused.stderr


@pytest.mark.parametrize("role", ["ca", "cert", "key"])
@pytest.mark.usefixtures("server")
def test_a_file_is_no_certificate(cli: Cli, tmp_path: Path, role: str) -> None:
    (tmp_path / "junk.pem").write_text("junk")
    refused = cli(f"--{role}", "junk.pem", "list")
    assert refused.returncode == 2
    assert "junk.pem" in refused.stderr
    assert "PEM" in refused.stderr


@pytest.mark.usefixtures("server")
def test_the_key_is_of_another_certificate(cli: Cli, certs: Path) -> None:
    refused = cli("--key", str(certs / "readonly.key"), "list")
    assert refused.returncode == 2
    assert f"readonly.key does not belong to {certs}/full.pem" in refused.stderr


@pytest.fixture
def tls_1_2_port(certs: Path) -> Iterator[int]:
    """A port where a server speaks TLS 1.2 at most."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    context.load_cert_chain(certs / "server.pem", certs / "server.key")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_serve, args=(listener, context), daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


def test_the_server_speaks_tls_1_2(cli: Cli, tls_1_2_port: int) -> None:
    refused = cli("--server", f"localhost:{tls_1_2_port}", "list")
    assert refused.returncode == 5
    assert "does not speak TLS 1.3" in refused.stderr


def test_the_server_speaks_no_tls(cli: Cli) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_serve, args=(listener, None), daemon=True).start()
        refused = cli("--server", f"localhost:{listener.getsockname()[1]}", "list")
        listener.shutdown(socket.SHUT_RDWR)
    assert refused.returncode == 5
    assert "does not speak TLS: is it jobworker-server?" in refused.stderr


def _serve(listener: socket.socket, context: ssl.SSLContext | None) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        try:
            if context is None:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                connection.close()
            else:
                context.wrap_socket(connection, server_side=True).close()
        except OSError:
            connection.close()


def test_a_misspelt_variable_is_a_warning(cli: Cli, server: ScriptedServer) -> None:
    server.service.jobs = []
    done = cli("list", "-o", "id", JOBWORKER_CONTEX="work")
    told = "warning: JOBWORKER_CONTEX is set, which jobworker-cli does not know; did you mean JOBWORKER_CONTEXT?\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, "", told)
