"""What the tests of jobworker-lib share, and those of conformance with them.

Commands, waiting, looking up processes, and another process that has an engine.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

PATIENCE_SECONDS = 30.0
SLEEPER = ["sleep", "1000"]
IDLE_DESCRIPTORS = 4
"""Of a shim without a job: its standard streams and its link to the fork server."""

_PACKAGES = Path(__file__).parents[1] / "src"


def wait_until(condition: Callable[[], object], what: str = "the condition") -> None:
    """Return as soon as the condition holds; fail where it does not for long."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come true within {PATIENCE_SECONDS:g} seconds"
        time.sleep(0.01)


def sh(script: str, *arguments: object) -> list[str]:
    """A shell script; its arguments are ``$1`` and so on."""
    return ["sh", "-c", script, "sh", *map(str, arguments)]


def awaiting(gate: Path) -> str:
    """A piece of shell that goes on when the file is there."""
    return f"until [ -e '{gate}' ]; do sleep 0.01; done"


def job_processes(job_id: str) -> list[int]:
    """The processes of a job, told by the variable that every job has in its environment; zombies have none."""
    wanted = f"JOBWORKER_JOB_ID={job_id}".encode()
    found = []
    for pid in all_pids():
        with suppress(OSError):
            if wanted in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                found.append(pid)
    return found


def engine_processes(state_dir: Path) -> list[int]:
    """Fork servers and shims of a state directory, but not this process; all have its log open."""
    log = f"{state_dir}/engine.log"
    return [pid for pid in all_pids() if pid != os.getpid() and log in open_files(pid)]


def fork_servers(state_dir: Path) -> list[int]:
    """The fork servers of a state directory: each leads a session, and no shim does.

    The name alone does not tell, for a shim has it too when it has just been forked.
    """
    found = engine_processes(state_dir)
    return [pid for pid in found if _session(pid) == pid and process_name(pid) == "jobworker-fork"]


def shims(state_dir: Path) -> list[int]:
    """The shims of a state directory."""
    return [pid for pid in engine_processes(state_dir) if _session(pid) != pid]


def keepers(state_dir: Path) -> list[int]:
    """The keepers of a state directory's queue."""
    return [pid for pid in engine_processes(state_dir) if process_name(pid) == "jobworker-queue"]


def wait_until_idle(shim: int) -> None:
    """Wait until a shim has let go of its last job, or has ended: of descriptors it has only its own then."""
    wait_until(lambda: len(open_files(shim)) <= IDLE_DESCRIPTORS, "an idle shim")


def process_name(pid: int) -> str:
    """A process's name; empty where it is gone."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def parent(pid: int) -> int:
    """The parent of a process; 0 where it is gone."""
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return 0


def process_state(pid: int) -> str:
    """A process's state as proc(5) has it, such as ``T`` (stopped) and ``Z`` (zombie); empty where it is gone."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return ""


def shim_of(job_id: str, main_process: int) -> int:
    """The shim that supervises a running job."""
    shim = parent(main_process)
    assert process_name(shim) == "jobworker-shim", f"of job {job_id}"
    return shim


def kill(pid: int) -> None:
    """SIGKILL, and wait until it is gone or only waits for its parent."""
    handle = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(handle, signal.SIGKILL)
    finally:
        os.close(handle)
    wait_until(lambda: process_state(pid) in ("", "Z"), "the end of a killed process")


def kill_all(pids: Iterable[int]) -> None:
    """The same for several, of which one may just have ended by itself."""
    for pid in pids:
        with suppress(ProcessLookupError):
            kill(pid)


@contextmanager
def nobody_keeps_house(state_dir: Path) -> Iterator[None]:
    """Within the block no engine that is opened looks at all jobs by itself: it leaves that to who has this lock."""
    state_dir.mkdir(mode=0o700, exist_ok=True)
    with (state_dir / "retention.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def program(script: str, *arguments: object, through: Sequence[str] = ()) -> Iterator[subprocess.Popen[str]]:
    """A program that uses the library, in a session of its own, with a pipe to read what it prints."""
    with subprocess.Popen(
        [*through, sys.executable, "-c", script, *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(_PACKAGES)},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def next_line(process: subprocess.Popen[str]) -> str:
    """The next line that a program prints, without its end."""
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


def finish(process: subprocess.Popen[str]) -> str:
    """Wait for a program that succeeds: the rest of what it prints."""
    output, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0
    return output


def _session(pid: int) -> int:
    with suppress(ProcessLookupError):
        return os.getsid(pid)
    return 0


def open_files(pid: int) -> list[str]:
    """What the descriptors of a process stand for; none where it is gone."""
    names = []
    with suppress(OSError):
        for descriptor in os.listdir(f"/proc/{pid}/fd"):
            with suppress(OSError):
                names.append(os.readlink(f"/proc/{pid}/fd/{descriptor}"))
    return names


def all_pids() -> list[int]:
    """All processes of this host."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]
