"""A state directory with very many ended jobs: how long a page of a list takes, an opening, a rebuild of its index."""

from __future__ import annotations

import os
import random
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from jobworker_lib import Engine, Limits, Reason, State
from jobworker_lib.job.directory import EXIT, OUTPUT_INDEX, OUTPUT_LOG, SPEC, STARTED, ExitRecord, StartRecord
from jobworker_lib.job.record import to_bytes
from jobworker_lib.job.spec import JobSpec
from jobworker_lib.output.format import RECORD
from rig import Sizes, scratch
from table import milliseconds, show

_PAGE = 100
_PAGES = 30
_OWNERS = ("ann", "bob", "eve")
_OUTPUT = b"hello\n"
_DAY_NS = 86_400_000_000_000


def measure(sizes: Sizes) -> None:
    """Print the table."""
    with scratch() as directory:
        state_dir = directory / "state"
        Engine(state_dir, retention=None).close()
        make_jobs(state_dir / "jobs", sizes.kept_jobs)
        for file in state_dir.glob("index.db*"):
            file.unlink()
        rows: list[tuple[str, ...]] = [
            ("first list: the index is made", f"{_seconds(_first_list, state_dir) * 1000:.0f}", "")
        ]
        opened = [_seconds(_open, state_dir) for _ in range(_PAGES)]
        rows.append(("open, close", *milliseconds(opened)))
        rows += _lists(state_dir)
        with Engine(state_dir) as engine:
            rows.append(("all, in one page", f"{_seconds(engine.list) * 1000:.0f}", ""))
        show(f"A state directory with {sizes.kept_jobs} ended jobs (ms)", ("", "median", "p99"), rows)


def make_jobs(jobs: Path, count: int) -> None:
    """Write the directories of ended jobs, as engine and shims would have."""
    chosen = random.Random(1)  # noqa: S311 - to be repeated, not to be secret
    first = JobSpec.make(["/bin/true"], labels={}, owner="ann", limits=Limits())
    for number in range(count):
        job_id = str(uuid.UUID(int=chosen.getrandbits(128), version=4))
        created_ns = time.time_ns() - _DAY_NS + number * 1_000_000
        team = chosen.choice("abcd")
        spec = replace(
            first,
            id=job_id,
            owner=chosen.choice(_OWNERS),
            labels={"team": team, "floor": "1" if team in "ab" else "2", "build": str(number // 10)},
            created_ns=created_ns,
        )
        state = State.STOPPED if number % 1000 == 0 else State.EXITED
        reason = Reason.STOPPED if state is State.STOPPED else Reason.EXITED
        ended = ExitRecord(
            state=state,
            reason=reason,
            ended_ns=created_ns + 500_000,
            exit_code=0,
            output_bytes=len(_OUTPUT),
            started_ns=created_ns,
        )
        directory = str(jobs / job_id)
        os.mkdir(directory)
        _write(directory, SPEC, spec)
        _write(directory, STARTED, StartRecord(started_ns=created_ns, pid=1))
        _write(directory, EXIT, ended)
        _write_bytes(directory, OUTPUT_LOG, _OUTPUT)
        _write_bytes(directory, OUTPUT_INDEX, RECORD.pack(0, created_ns, len(_OUTPUT), 0))


def _write(directory: str, name: str, record: Any) -> None:
    _write_bytes(directory, name, to_bytes(record))


def _write_bytes(directory: str, name: str, data: bytes) -> None:
    descriptor = os.open(f"{directory}/{name}", os.O_WRONLY | os.O_CREAT, 0o600)
    os.write(descriptor, data)
    os.close(descriptor)


def _lists(state_dir: Path) -> list[tuple[str, ...]]:
    queries: Mapping[str, Mapping[str, Any]] = {
        "all": {},
        "of an owner": {"owner": "bob"},
        "in a state that few are in": {"state": "stopped"},
        "in a state that none is in": {"state": "running"},
        "with a label that a quarter has": {"labels": {"team": "a"}},
        "with a label that ten have": {"labels": {"build": "77"}},
        "with two labels": {"labels": {"team": "a", "build": "77"}},
        "with two labels that many have, and none has both": {"labels": {"team": "a", "floor": "2"}},
        "of an owner, with a label, in a state": {"owner": "bob", "labels": {"team": "a"}, "state": "stopped"},
        "of an owner, with a label, in a state that none is in": {
            "owner": "bob",
            "labels": {"team": "a"},
            "state": "running",
        },
        "whose id begins with a digit": {"id_prefix": "7"},
        "whose id begins with eight digits": {"id_prefix": "7f3a91c0"},
        "of an owner, with a label, whose id begins with a digit": {
            "owner": "bob",
            "labels": {"team": "a"},
            "id_prefix": "7",
        },
    }
    rows: list[tuple[str, ...]] = []
    with Engine(state_dir) as engine:
        for name, query in queries.items():
            seconds = [_seconds(_list, engine, query) for _ in range(_PAGES)]
            rows.append((f"page of {_PAGE}: {name}", *milliseconds(seconds)))
        seconds, token = [], ""
        for _ in range(_PAGES):
            began = time.perf_counter()
            token = engine.list(limit=_PAGE, page_token=token).next_page_token
            seconds.append(time.perf_counter() - began)
        rows.append((f"page of {_PAGE}: the next ones", *milliseconds(seconds)))
    return rows


def _list(engine: Engine, query: Mapping[str, Any]) -> None:
    engine.list(limit=_PAGE, **query)


def _first_list(state_dir: Path) -> None:
    with Engine(state_dir) as engine:
        engine.list(limit=_PAGE)


def _open(state_dir: Path) -> None:
    Engine(state_dir).close()


def _seconds(work: Callable[..., object], *arguments: object) -> float:
    began = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - began
