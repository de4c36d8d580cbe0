"""nginx and HAProxy with the configurations in docs/examples, as they stand but for paths, port and group."""

from __future__ import annotations

import grp
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from conformance.processes import PATIENCE_SECONDS, wait_until
from harness.certs import Certs

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"

_FAMILY = socket.AF_INET6 if socket.has_dualstack_ipv6() else socket.AF_INET

_NGINX = """\
daemon off;
{user}
pid {directory}/nginx.pid;
events {{}}
http {{
    access_log off;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    include {directory}/example.conf;
}}
"""


class Directory:
    """A directory that the user of a proxy may enter, with a short path: a socket is below it."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="jw"))
        self.path.chmod(0o755)
        self.socket = self.path / "run" / "proxy.sock"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        shutil.rmtree(self.path)


class Proxy:
    """``kind`` is nginx or haproxy; at the end of the block it is gone."""

    def __init__(self, kind: str, certs: Certs, directory: Directory) -> None:
        self._kind = kind
        self._directory = directory.path
        self.port = _free_port()
        self.address = f"localhost:{self.port}"
        name = {"nginx": "nginx.conf", "haproxy": "haproxy.cfg"}[kind]
        example = (EXAMPLES / name).read_text()
        for stands, here in (
            ("/etc/jobworker/certs", certs.directory),
            ("/run/jobworker/proxy.sock", directory.socket),
            ("50443", self.port),
        ):
            assert stands in example
            example = example.replace(stands, str(here))
        if not socket.has_dualstack_ipv6():
            example = example.replace(f"listen [::]:{self.port} ssl http2;", "")
        self.configuration = self._directory / "example.conf"
        self.configuration.write_text(example)
        pem = certs.directory / "haproxy.pem"
        pem.write_bytes(certs.server.cert.read_bytes() + certs.server.key.read_bytes())
        pem.chmod(0o600)

    @staticmethod
    def group(kind: str) -> str:
        """The group as which the proxy runs here: that of the example, or this process's own where it is not root."""
        if os.geteuid() == 0:
            return {"nginx": "www-data", "haproxy": "haproxy"}[kind]
        try:
            return grp.getgrgid(os.getegid()).gr_name
        except KeyError:
            pytest.skip("the group of this process has no name")

    def command(self) -> list[str]:
        if self._kind == "haproxy":
            return ["haproxy", "-db", "-f", str(self.configuration)]
        main = self._directory / "nginx.conf"
        user = "user www-data;" if os.geteuid() == 0 else ""
        main.write_text(_NGINX.format(directory=self._directory, user=user))
        return ["nginx", "-e", "stderr", "-p", str(self._directory), "-c", str(main)]

    def __enter__(self) -> Self:
        log = (self._directory / "proxy.log").open("wb")
        with log:
            self._process = subprocess.Popen(self.command(), stderr=log, stdout=log, stdin=subprocess.DEVNULL)
        wait_until(lambda: self._process.poll() is not None or self._answers(), "the proxy")
        assert self._process.poll() is None, (self._directory / "proxy.log").read_text()
        return self

    def _answers(self) -> bool:
        with suppress(OSError):
            socket.create_connection(("localhost", self.port), 1).close()
            return True
        return False

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise


def _free_port() -> int:
    """One that nobody is given who asks for any: it stays free until the proxy, which can't ask, listens on it."""
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for _ in range(100):
        port = secrets.randbelow(lowest - 10_000) + 10_000 if lowest > 20_000 else 0
        with suppress(OSError), socket.socket(_FAMILY) as listener:
            listener.bind(("", port))
            found: int = listener.getsockname()[1]
            return found
    raise AssertionError("no port is free")
