"""What is known of an ended job: told by its records alone, by all its files, or by what the index keeps."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from jobworker_lib import Engine, JobStatus, OutputLimit, RestartPolicy, StartError
from jobworker_lib.job import status_json
from jobworker_lib.job.directory import EXIT, SPEC, JobDirectory
from lib_testing import SLEEPER, sh

_TOLD_BY_SHIMS = ("output_bytes", "started_ns", "timeout")


def make_jobs(engine: Engine) -> tuple[JobStatus, ...]:
    """Ended jobs of all kinds, the newest first."""
    zeros = ["head", "-c", "200000", "/dev/zero"]
    jobs = [
        engine.start(["true"]),
        engine.start(sh("echo out; echo err >&2; exit 3"), labels={"a": "b"}, owner="ann", priority=3, timeout=60),
        engine.start(sh("kill -9 $$"), stdin=True),
        engine.start(zeros, output_limit=OutputLimit(65536, "stop")),
        engine.start(zeros, output_limit=OutputLimit(65536, "drop_oldest")),
        engine.start(sh("exit 1"), restart=RestartPolicy(max_restarts=2, backoff=0.01)),
    ]
    with suppress(StartError):
        engine.start(["/does/not/exist"], timeout=5)
    stopped = engine.start(SLEEPER)
    stopped.set_timeout(100)
    stopped.stop(force=True)
    engine.wait(jobs)
    return engine.list().statuses


def records(state_dir: Path, status: JobStatus) -> tuple[dict[str, Any], dict[str, Any]]:
    spec, ended = (json.loads((state_dir / "jobs" / status.id / name).read_bytes()) for name in (SPEC, EXIT))
    return spec, ended


def kept(state_dir: Path) -> int:
    with closing(sqlite3.connect(state_dir / "index.db")) as db:
        return int(db.execute("SELECT count(*) FROM statuses").fetchone()[0])


def test_records_tell_what_all_the_files_tell(state_dir: Path, engine: Engine) -> None:
    for status in make_jobs(engine):
        directory = JobDirectory(state_dir / "jobs" / status.id)
        _, ended = records(state_dir, status)
        assert ended["output_bytes"] is not None
        directory.write(EXIT, {name: value for name, value in ended.items() if name not in _TOLD_BY_SHIMS})
        assert directory.status() == status, "as an older version has left it"


def test_index_keeps_what_records_tell(state_dir: Path, engine: Engine) -> None:
    for status in make_jobs(engine):
        assert status_json.decode(status_json.encode(status)) == status
        text = status_json.encode_records(*records(state_dir, status))
        assert (text is None) == (status.restart is not None)
        if text is not None:
            assert status_json.decode(text) == status


def test_rebuild_keeps_statuses(state_dir: Path) -> None:
    with Engine(state_dir) as engine:
        statuses = make_jobs(engine)
    for path in state_dir.glob("index.db*"):
        path.unlink()
    with Engine(state_dir) as engine:
        assert engine.list(limit=1).statuses == statuses[:1]
        assert kept(state_dir) == sum(status.restart is None for status in statuses)
        assert engine.list().statuses == statuses


def test_a_key_of_a_later_version_is_passed_over(state_dir: Path, engine: Engine) -> None:
    job = engine.start(["true"], output_limit=OutputLimit(65536))
    status = job.wait()
    spec, ended = records(state_dir, status)
    spec["limits"]["of_later"] = spec["output_limit"]["of_later"] = spec["of_later"] = ended["of_later"] = 1
    assert status_json.decode(status_json.encode_records(spec, ended) or "") == status
