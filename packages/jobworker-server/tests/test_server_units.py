"""The units for systemd in docs/examples: taken by it, and leaving to jobs what they need.

What a unit sets for its processes is set here by setpriv(1), for tests run without systemd.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jobworker.v1 import job_pb2
from jobworker_server import __file__ as package
from jobworker_server.config import resolve
from server_testing import TIMEOUT, Authority, Client, ServerProcess

UNITS = Path(__file__).parents[3] / "docs" / "examples" / "systemd"
ORDINARY, ROOT = UNITS / "jobworker-server.service", UNITS / "jobworker-server-root.service"
ALL = sorted(UNITS.glob("*.service"))
FULL = job_pb2.Isolation(
    pid=True, ipc=True, uts=True, network=job_pb2.NETWORK_ISOLATED, read_only=True, private_tmp=True,
    private_devices=True, no_new_privileges=True, drop_capabilities=True, seccomp=True,
)  # fmt: skip
needs_setpriv = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="needs root, and setpriv (util-linux)"
)


def settings(unit: Path, key: str) -> list[str]:
    """The values of a setting, in order."""
    lines = [line.partition("=") for line in unit.read_text().splitlines() if not line.startswith("#")]
    return [value for name, _, value in lines if name == key]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze (systemd) is missing")
@pytest.mark.parametrize("unit", ALL, ids=lambda unit: unit.stem)
def test_systemd_takes_it(unit: Path, tmp_path: Path) -> None:
    for other in ALL:
        (command,) = settings(other, "ExecStart")
        (tmp_path / other.name).write_text(other.read_text().replace(command, "/bin/true"))  # it must be there
    checked = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / unit.name)],
        capture_output=True, text=True, timeout=TIMEOUT, check=False,
    )  # fmt: skip
    assert "Unknown key" not in checked.stderr
    assert checked.returncode == 0, checked.stderr


@pytest.mark.parametrize("form", ["", "-root"])
def test_the_two_units_of_a_form_go_together(form: str) -> None:
    """What the server is told is where systemd makes the other's cgroup."""
    server, jobs = (UNITS / f"jobworker-{what}{form}.service" for what in ("server", "jobs"))
    (there,) = settings(jobs, "Slice")
    assert settings(server, "Slice") == [there]
    assert settings(server, "Environment") == [f"JOBWORKER_CGROUP=/{there}/{jobs.name}"]
    assert settings(server, "User") == settings(jobs, "User")
    for key in ("Wants", "After"):
        assert jobs.name in settings(server, key)[0].split()


def test_the_configuration_beside_them_can_be_used(tmp_path: Path, authority: Authority) -> None:
    config = tmp_path / "server.yaml"
    config.write_text((UNITS / "server.yaml").read_text().replace("/var/lib/jobworker", str(tmp_path)))
    (tmp_path / "certs").mkdir()
    authority.write_server_files(tmp_path / "certs")
    settled = resolve({}, {}, config)
    assert (settled.listen.host, settled.listen.port) == ("localhost", 50051)
    assert settled.files.cert == tmp_path / "certs" / "server.pem"
    assert settled.limits.default.pids == 1000


@contextmanager
def serving(through: str, home: Path, authority: Authority) -> Iterator[Client]:
    wrapper = home / "python"
    wrapper.write_text(f'#!/bin/sh\nexec {through} {sys.executable} "$@"\n')
    wrapper.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.executable", str(wrapper))
        server = ServerProcess(home / "certs", home / "state")
    with server:
        client = Client(server.address, authority.client("ann", "full"), authority)
        yield client
        client.stop_all()
        client.close()


@needs_setpriv
def test_ordinary_users_unit_leaves_isolation_to_jobs(authority: Authority) -> None:
    assert settings(ORDINARY, "NoNewPrivileges") == ["yes"]
    assert settings(ORDINARY, "CapabilityBoundingSet") == [""]
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        home = Path(directory)
        (home / "certs").mkdir()
        authority.write_server_files(home / "certs")
        for path in [home, *home.rglob("*")]:
            os.chown(path, 12345, 12345)
        # It may read what only root can, for Python or the sources may be there: see ``package``.
        assert Path(package).exists()
        through = "setpriv --no-new-privs --reuid=12345 --regid=12345 --clear-groups --inh-caps=-all,+dac_read_search"
        through += " --ambient-caps=+dac_read_search --bounding-set=-all,+dac_read_search"
        with serving(through, home, authority) as client:
            look = ("sh", "-c", "id -u; grep -c NoNewPrivs:.1 /proc/self/status; ls /proc | grep -c '^[0-9]'")
            plain = client.output(client.start(*look, cwd="/").id).split()
            assert plain[:2] == [b"12345", b"1"]
            isolated = client.output(client.start(*look, isolation=FULL, cwd="/").id).split()
            assert isolated[:2] == [b"12345", b"1"]
            assert int(isolated[2]) < 10, "it sees its own processes alone"


@needs_setpriv
def test_roots_unit_leaves_users_and_isolation_to_jobs(authority: Authority, tmp_path: Path) -> None:
    assert settings(ROOT, "NoNewPrivileges") == []
    dropped = " ".join(settings(ROOT, "CapabilityBoundingSet")).replace("~", "").split()
    (tmp_path / "certs").mkdir()
    authority.write_server_files(tmp_path / "certs")
    known = subprocess.run(["setpriv", "--list-caps"], capture_output=True, text=True, check=True).stdout.split()
    names = [name.removeprefix("CAP_").lower() for name in dropped]
    through = "setpriv --bounding-set=" + ",".join(f"-{name}" for name in names if name in known)
    with serving(through, tmp_path, authority) as client:
        job = client.start("sh", "-c", "id -un; exec sleep 1000", user="nobody", isolation=FULL, cwd="/")
        assert next(client.chunks(job.id)).data == b"nobody\n"
        limited = client.start("sh", "-c", "grep CapBnd /proc/self/status")
        bounding = int(client.output(limited.id).split()[1], 16)
        assert not bounding >> 16 & 1, "CAP_SYS_MODULE"
        assert bounding >> 21 & 1, "CAP_SYS_ADMIN"
