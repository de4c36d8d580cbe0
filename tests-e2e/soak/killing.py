"""Random SIGKILLs: of the server, the fork server, shims, and clients."""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from contextlib import suppress
from pathlib import Path

from conformance.processes import holders

FORK_SERVER = "jobworker-fork"
KEEPER = "jobworker-queue"
SHIM = "jobworker-shim"


class Killer:
    """Knows whom it has killed, for a job whose shim was killed is lost, and no other may be."""

    def __init__(self, state_dir: Path, dice: random.Random) -> None:
        self._state_dir = state_dir
        self._dice = dice
        self.counts: Counter[str] = Counter()
        self.victims: set[str] = set()
        """The ids of jobs whose shim was killed."""

    def kill_all(self, name: str) -> None:
        """Those of a name: there may be two for a moment."""
        for pid in self._named(name):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                self.counts[name] += 1

    def kill_shim(self) -> None:
        """One that works, or one that is idle."""
        shims = self._named(SHIM)
        if not shims:
            return
        shim = self._dice.choice(shims)
        with suppress(OSError):
            handle = os.pidfd_open(shim)
            try:
                self._kill_known(shim, handle)
            finally:
                os.close(handle)

    def _kill_known(self, shim: int, handle: int) -> None:
        # Stopped first, so that the job which it works on is known for sure.
        signal.pidfd_send_signal(handle, signal.SIGSTOP)
        if _name(_parent(shim)) == SHIM:  # it is to become a job in a moment, and its end would be the job's own
            signal.pidfd_send_signal(handle, signal.SIGCONT)
            return
        directory = Path(os.readlink(f"/proc/{shim}/cwd"))
        if directory.parent.name in ("jobs", "new"):
            self.victims.add(directory.name)
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        self.counts[SHIM] += 1

    def _named(self, name: str) -> list[int]:
        return [pid for role, pid in engine_processes(self._state_dir) if role == name]


def engine_processes(state_dir: Path) -> list[tuple[str, int]]:
    """Name and pid of each fork server, keeper and shim of a state directory."""
    found = []
    for pid in holders(state_dir):
        with suppress(OSError):
            name = _name(pid)
            if name in (FORK_SERVER, KEEPER, SHIM):
                found.append((name, pid))
    return found


def _name(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
