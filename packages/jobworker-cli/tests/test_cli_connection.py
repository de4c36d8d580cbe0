"""What is said when there is no connection, and why."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from jobworker_cli.client import validity
from scripted_server import ScriptedServer

if TYPE_CHECKING:
    from cli_process import Cli

utc = partial(datetime, tzinfo=UTC)


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
@pytest.mark.parametrize(
    ("begin", "end", "problem"),
    [
        (utc(2020, 1, 2), utc(2021, 2, 3, 4, 5), "it expired on 2021-02-03 04:05 UTC"),
        (utc(2049, 1, 2), utc(2051, 1, 2), "it is not valid before 2049-01-02 00:00 UTC"),
        (utc(2051, 1, 2), utc(2052, 1, 2), "it is not valid before 2051-01-02 00:00 UTC"),
    ],
)
def test_the_client_is_out_of_its_time(
    cli: Cli, certs: Path, tmp_path: Path, begin: datetime, end: datetime, problem: str
) -> None:
    cert = valid_between(begin, end, certs, tmp_path / "untimely.pem")
    refused = cli("--cert", str(cert), "--key", str(certs / "full.key"), "list")
    assert refused.returncode == 4
    error, hint = refused.stderr.splitlines()
    assert f"does not accept the certificate {cert}: {problem}" in error
    assert hint == "hint: `jobworker-pki renew` makes one that is valid"


def valid_between(begin: datetime, end: datetime, certs: Path, path: Path) -> Path:
    """The client's certificate, issued anew for another time."""
    authority, old = (x509.load_pem_x509_certificate((certs / name).read_bytes()) for name in ("ca.pem", "full.pem"))
    key = serialization.load_pem_private_key((certs / "ca.key").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    builder = x509.CertificateBuilder(authority.subject, old.subject, old.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(begin).not_valid_after(end)
    for extension in old.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    path.write_bytes(b"a comment\n" + builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    return path


@pytest.mark.parametrize("text", ["", "no PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_what_is_no_certificate_tells_no_time(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.pem"
    path.write_text(text)
    assert validity.problem(path, datetime.now(UTC)) is None
    assert validity.problem(tmp_path / "gone.pem", datetime.now(UTC)) is None


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
