"""Makes a state directory with jobs of every kind, to be kept: ``python make.py DIRECTORY``.

Each format that jobworker-lib has had is kept beside this file, in a directory of its number, and newer code must read
it (``test_lib_formats.py``). Before a change that makes a new format, the old code makes the directory, once::

    .venv/bin/python packages/jobworker-lib/tests/formats/make.py packages/jobworker-lib/tests/formats/NUMBER

``state`` is the state directory, without its sockets, which a repository can't keep; ``expected.json`` says what is to
be read from it.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from jobworker_lib import CommandNotFoundError, Engine, Job

INTERLEAVED = "for i in 1 2 3 4 5; do echo out $i; echo err $i >&2; sleep 0.02; done"
UNENDING = f"{INTERLEAVED}; exec sleep 1000"
INTERLEAVED_BYTES = 60
LEFT_BY_A_CRASH = ("new/00000000-0000-4000-8000-000000000001", "deleted/00000000-0000-4000-8000-000000000002")


def main() -> None:
    """Make ``state`` and ``expected.json`` in the directory that is the only argument; it must not exist."""
    directory = Path(sys.argv[1])
    state = directory / "state"
    with Engine(state) as engine:
        jobs = _make_jobs(engine, state)
        expected = {name: _told(job) for name, job in jobs.items()}
        crashed = engine.start(["sh", "-c", UNENDING], cwd="/", request_id="the last")
        _await(lambda: crashed.status().output_bytes == INTERLEAVED_BYTES)
        expected["crashed"] = _told(crashed)
        _kill_shim(state, crashed)
    _await(lambda: not _holders(state / "engine.log"))
    for name in LEFT_BY_A_CRASH:
        (state / name).mkdir()
        (state / name / ".spec.json.new").write_text("{")
    for path in state.rglob("*.sock"):
        path.unlink()
    (directory / "expected.json").write_text(json.dumps(expected, indent=2) + "\n")


def _make_jobs(engine: Engine, state: Path) -> dict[str, Job]:
    jobs = {
        "exited": engine.start(
            ["sh", "-c", f"{INTERLEAVED}; exit 3"],
            cwd="/tmp",
            env={"NAME": "value"},
            timeout=100,
            labels={"team": "a", "empty": ""},
            owner="ann",
            request_id="the first",
        ),
        "signalled": engine.start(["sh", "-c", r"printf '\000\377\r\n'; kill -KILL $$"], cwd="/", owner="ann"),
        "timed out": engine.start(["sleep", "1000"], cwd="/", timeout=0.1),
        "stopped": engine.start(["sh", "-c", UNENDING], cwd="/", labels={"team": "b"}),
        "lost": engine.start(["sh", "-c", UNENDING], cwd="/", labels={"team": "b"}),
    }
    for name in ("stopped", "lost"):
        _await(lambda job=jobs[name]: job.status().output_bytes == INTERLEAVED_BYTES)  # type: ignore[misc]  # mypy can't infer a default
    jobs["stopped"].stop()
    _kill_shim(state, jobs["lost"])
    for job in jobs.values():
        job.wait()
    with suppress(CommandNotFoundError):
        engine.start(["no-such-command"], cwd="/")
    (jobs["failed"],) = engine.list(limit=1)
    return jobs


def _told(job: Job) -> dict[str, object]:
    """What the job's directory tells, as JSON takes it."""
    status = job.status()
    return {
        "id": job.id,
        "argv": status.argv,
        "cwd": status.cwd,
        "owner": status.owner,
        "labels": status.labels,
        "timeout": status.timeout,
        "state": status.state,
        "reason": status.reason,
        "exit_code": status.exit_code,
        "signal": status.signal,
        "error": status.error,
        "created_at": status.created_at.isoformat(),
        "started_at": status.started_at.isoformat() if status.started_at else None,
        "ended_at": status.ended_at.isoformat() if status.ended_at else None,
        "output": [
            (chunk.stream, chunk.offset, chunk.time.isoformat(), chunk.data.decode("latin-1"))
            for chunk in job.output(follow=False)
        ],
    }


def _kill_shim(state: Path, job: Job) -> None:
    """SIGKILL to the job's shim, and wait until the fork server has ended what it left."""
    main = json.loads((state / "jobs" / job.id / "started.json").read_text())["pid"]
    handle = os.pidfd_open(main)
    shim = int(Path(f"/proc/{main}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(shim, signal.SIGKILL)
    _await(lambda: not _is_there(handle))
    os.close(handle)


def _is_there(handle: int) -> bool:
    with suppress(ProcessLookupError):
        signal.pidfd_send_signal(handle, 0)
        return True
    return False


def _holders(file: Path) -> list[Path]:
    """The descriptors of all processes that have the file open."""
    found = []
    for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):
            if descriptor.readlink() == file.absolute():
                found.append(descriptor)
    return found


def _await(condition: Callable[[], object]) -> None:
    while not condition():
        time.sleep(0.01)


if __name__ == "__main__":
    main()
