"""Boots a guest for one command and waits for its end."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Literal, Protocol

KERNEL = "linux.uml"
SHARED = "/mnt/shared"
"""Where the guest finds the directory that it shares with the host, the only one that both can write to."""
_DISKS = ("ubd0", "ubd1", "ubd2")
_DISK_BYTES = 64 << 20
_MEMORY = "384M"
_INIT = Path(__file__).with_name("init.py")


class Kind(Protocol):
    """How a guest is run."""

    disks: tuple[str, str, str]
    """Its disks, by the names that they have there."""

    def command(self, shared: Path, scratch: Path, init: Path) -> list[str]:
        """What runs it: with a directory to share, one with the files of its disks, and its first program."""


class UserMode:
    """The kernel as a process of the host."""

    disks = ("/dev/ubda", "/dev/ubdb", "/dev/ubdc")

    def command(self, shared: Path, scratch: Path, init: Path) -> list[str]:
        """See :meth:`Kind.command`."""
        return [
            *(KERNEL, f"mem={_MEMORY}", "quiet", "loglevel=3", "panic=-1", "noreboot"),
            *("root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro"),
            *(f"{name}={scratch / name}" for name in _DISKS),
            *(f"uml_dir={scratch}", "con=null", "con0=null,fd:1"),
            *(f"jobworker.shared=hostfs:{shared}", f"init={sys.executable}", "--", str(init)),
        ]


class GuestError(Exception):
    """The guest did not come to its end; the message ends with what it printed."""


def run(
    kind: Kind,
    command: list[str],
    shared: Path,
    *,
    cgroups: Literal[1, 2],
    environment: dict[str, str],
    keep: list[Path],
    seconds: float,
    init: Path = _INIT,
) -> int:
    """Run a command as root in a guest of its own, which has cgroups of one version: its exit status.

    ``keep`` are directories of the host that every user of the guest is to see, although they are below such as the
    guest has of its own (``/tmp``), or as only root may pass. ``init`` is a script, the first program of the guest.
    """
    order = {"command": command, "environment": environment, "keep": [str(path) for path in keep], "cgroups": cgroups}
    (shared / "order.json").write_text(json.dumps(order))
    # Its memory is a file that it maps and executes, and that belongs in memory.
    scratch = Path(tempfile.mkdtemp(prefix="jobworker-guest-", dir="/dev/shm"))  # a fresh directory in it
    try:
        for name in _DISKS:
            with open(scratch / name, "wb") as disk:
                disk.truncate(_DISK_BYTES)
        with open(shared / "console", "wb") as console:
            _boot(kind.command(shared, scratch, init), scratch, console.fileno(), seconds)
    finally:
        shutil.rmtree(scratch)
    try:
        return int((shared / "status").read_text())
    except (OSError, ValueError):
        printed = (shared / "console").read_text(errors="replace")
        raise GuestError(f"the guest left no exit status; it printed:\n{printed[-4000:]}") from None


def _boot(kernel: list[str], scratch: Path, console: int, seconds: float) -> None:
    # It dies with us and with unshare, in a PID namespace with its helper processes. It can't be the first process of
    # that, for it ends itself with signals that the first one ignores: hence the shell.
    wrapped = [
        *("setpriv", "--pdeathsig", "KILL", "unshare", "--pid", "--fork", "--kill-child", "--mount-proc"),
        *("sh", "-c", '"$@"; exit $?', "sh", *kernel),
    ]
    with subprocess.Popen(
        wrapped,
        stdin=subprocess.DEVNULL,
        stdout=console,
        stderr=subprocess.STDOUT,
        env={**os.environ, "TMPDIR": str(scratch)},
        start_new_session=True,
    ) as process:
        try:
            process.wait(seconds)
        finally:
            process.kill()
