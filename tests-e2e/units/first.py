"""The first program of the guest: installs jobworker and its units as a user would, and becomes systemd."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests-e2e"))  # it is a script, and nobody has set PYTHONPATH

from limits.guest.init import MS_BIND, SHARED, begin, end, give_own_directories, mount  # noqa: E402  # see above

PREFIX = Path("/opt/jobworker")
ETC = Path("/etc/jobworker")
USER = 990
_PACKAGES = ("lib", "proto", "server", "cli", "pki")
_OWN_DIRECTORIES = ("/tmp", "/run", "/var", "/opt", "/etc")
_UNITS = ROOT / "docs" / "examples" / "systemd"
_SYSTEM = Path("/lib/systemd/system")
_NEEDED = ("systemd-journald.service", "systemd-journald.socket", "systemd-journald-dev-log.socket")
_FILES = {
    "machine-id": "0123456789abcdef0123456789abcdef\n",
    "hostname": "guest\n",
    "hosts": "127.0.0.1 localhost\n::1 localhost\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
    "passwd": "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/usr/sbin/nologin\n"
    f"jobworker:x:{USER}:{USER}::/var/lib/jobworker:/usr/sbin/nologin\n",
    "group": f"root:x:0:\nnogroup:x:65534:\njobworker:x:{USER}:\n",
    "jobworker/server.yaml": (_UNITS / "server.yaml").read_text(),
}
_TESTS = f"""
[Unit]
DefaultDependencies=no
After=systemd-journald.service
Wants=systemd-journald.service

[Service]
Environment=PYTHONPATH={PREFIX}/source/tests-e2e PYTHONDONTWRITEBYTECODE=1 LANG=C.UTF-8
ExecStart={PREFIX}/bin/python -m units.inside
"""


def main() -> None:
    """Do so."""
    order = begin()
    mount("cgroup2", "cgroup2", "/sys/fs/cgroup", "nsdelegate,memory_recursiveprot")
    linked = {name: Path("/etc", name).read_bytes() for name in ("ld.so.cache",) if Path("/etc", name).exists()}
    give_own_directories(_OWN_DIRECTORIES, order["keep"])
    os.makedirs("/var/tmp")
    for name, mode in (("/etc", 0o755), ("/opt", 0o755), ("/run", 0o755), ("/var", 0o755), ("/var/tmp", 0o1777)):
        os.chmod(name, mode)
    os.symlink("/run", "/var/run")
    for name, data in linked.items():
        Path("/etc", name).write_bytes(data)
    ETC.mkdir()
    for name, text in _FILES.items():
        Path("/etc", name).write_text(text)
    shutil.copytree(f"{SHARED}/certs", ETC / "certs")
    for path in (ETC, *ETC.rglob("*")):
        os.chown(path, USER, USER)
    _install(order["environment"]["PACKAGES"])
    _install_units()
    os.execve(  # noqa: S606  it is to be the first process itself
        "/lib/systemd/systemd",
        ["systemd", "--unit=tests.service", "--show-status=no"],
        {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"},
    )


def _install(packages: str) -> None:
    """Make a virtual environment where the units look for it; what it runs is that of the tests."""
    for source, name in ((str(ROOT), "source"), (packages, "packages")):
        (PREFIX / name).mkdir(parents=True)
        mount("none", source, str(PREFIX / name), flags=MS_BIND)
    (PREFIX / "bin").mkdir()
    base = Path(sys.executable).resolve()
    (PREFIX / "bin" / "python").symlink_to(base)
    (PREFIX / "pyvenv.cfg").write_text(f"home = {base.parent}\ninclude-system-site-packages = false\n")
    site = Path(sysconfig.get_path("purelib", vars={"base": str(PREFIX)}))
    site.mkdir(parents=True)
    sources = (f"{PREFIX}/source/packages/jobworker-{name}/src" for name in _PACKAGES)
    (site / "jobworker.pth").write_text("\n".join([*sources, f"{PREFIX}/packages"]))
    for name in ("server", "cli"):
        script = PREFIX / "bin" / f"jobworker-{name}"
        script.write_text(f"#!{PREFIX}/bin/python\nfrom jobworker_{name}.__main__ import main\n\nmain()\n")
        script.chmod(0o755)


def _install_units() -> None:
    """Those of the documentation, and of those that systemd brings no more than the journal: the rest takes time."""
    units = Path("/etc/systemd/system")
    units.mkdir(parents=True)
    for unit in _UNITS.glob("*.service"):
        shutil.copy(unit, units)
    (units / "tests.service").write_text(_TESTS)
    for wanted in _SYSTEM.glob("*.target.wants/*"):
        if wanted.name not in _NEEDED and not (units / wanted.name).is_symlink():
            (units / wanted.name).symlink_to("/dev/null")


if __name__ == "__main__":
    if os.getpid() != 1:
        sys.exit("this is for the first process of a throw-away guest, which it changes")
    try:
        main()
    except BaseException:
        end(97)
        raise
