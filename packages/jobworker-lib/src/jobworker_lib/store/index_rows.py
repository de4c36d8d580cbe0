"""The rows of the index, and how they change."""

from __future__ import annotations

import json
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, Self

from jobworker_lib.events.event import Cursor
from jobworker_lib.job.status import State
from jobworker_lib.store import index_schema
from jobworker_lib.store.retention import EndedJob

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Mapping
    from collections.abc import Set as AbstractSet

    from jobworker_lib.events.event import Event
    from jobworker_lib.job.spec import JobSpec

_INSERT = (
    "INSERT OR IGNORE INTO jobs"
    " (id, created_ns, owner, labels, request_id, state, told, ended_ns, priority, deadline_ns, running_per_owner)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_INSERT_LABEL = "INSERT OR IGNORE INTO labels (key, value, state, created_ns, id, owner) VALUES (?, ?, ?, ?, ?, ?)"
_INSERT_STATUS = "INSERT OR REPLACE INTO statuses VALUES (?, ?)"
_BATCH = 1000
_CACHE_KIB = 64 << 10

_encode = json.JSONEncoder().encode
"""Made once: json.dumps() makes more of it at each call."""


class Indexed(NamedTuple):
    """What the index needs to know of a job."""

    id: str
    created_ns: int
    owner: str
    labels: dict[str, str]
    request_id: str | None
    state: State
    ended_ns: int | None = None
    priority: int = 0
    deadline_ns: int | None = None
    running_per_owner: int | None = None
    """What tells when it is started, where it has not ended."""
    status: str | None = None
    """Of an ended job: all that is known of it, where that is known already."""

    @classmethod
    def of(cls, spec: JobSpec, state: State) -> Self:
        """One that has not ended."""
        return cls(
            spec.id,
            spec.created_ns,
            spec.owner,
            spec.labels,
            spec.request_id,
            state,
            priority=spec.priority,
            deadline_ns=spec.deadline_ns,
            running_per_owner=spec.running_per_owner,
        )


class _Found(NamedTuple):
    """A job's row."""

    id: str
    created_ns: int
    owner: str
    labels: str
    state: str
    told: int


def position(db: sqlite3.Connection) -> Cursor:
    """Up to where the event log was read."""
    return Cursor._make(db.execute("SELECT log_id, position FROM about").fetchone())


def set_position(db: sqlite3.Connection, cursor: Cursor) -> None:
    """Note up to where the event log was read."""
    db.execute("UPDATE about SET log_id = ?, position = ?", cursor)


def fill(db: sqlite3.Connection, jobs: Iterable[Indexed], known_ends: AbstractSet[str], whole_since_ns: int) -> None:
    """Fill the empty tables. The log tells of the ends in ``known_ends``, and of all before ``whole_since_ns``."""
    (cache_size,) = db.execute("PRAGMA cache_size").fetchone()
    db.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
    remaining = iter(jobs)
    while batch := list(islice(remaining, _BATCH)):
        db.executemany(_INSERT, [_row(job, told=_is_told(job, known_ends, whole_since_ns)) for job in batch])
        db.executemany(_INSERT_STATUS, [(job.id, job.status) for job in batch if job.status is not None])
        db.executemany(_INSERT_LABEL, sorted(row for job in batch for row in _label_rows(job)))
    for statement in index_schema.INDEXES.split(";"):
        db.execute(statement)
    db.execute(f"PRAGMA cache_size = {cache_size}")


def _is_told(job: Indexed, known_ends: AbstractSet[str], whole_since_ns: int) -> bool:
    return job.ended_ns is not None and (job.id in known_ends or job.ended_ns < whole_since_ns)


def add(db: sqlite3.Connection, job: Indexed, *, told: bool = False) -> None:
    """Add a job, unless it is there."""
    if db.execute(_INSERT, _row(job, told=told)).rowcount:
        db.executemany(_INSERT_LABEL, _label_rows(job))


def add_created(db: sqlite3.Connection, event: Event, look_up: Callable[[str], JobSpec | None]) -> None:
    """Add the job of a ``created``; one that is nowhere to be found as a mere name, whose end is to be cleared up."""
    if _find(db, event.job_id):
        return
    state = event.state or State.STARTING
    spec = look_up(event.job_id)
    if spec is not None:
        add(db, Indexed.of(spec, state))
    else:
        db.execute(_INSERT, (event.job_id, event.time_ns, event.owner, "{}", None, state, 0, None, 0, None, None))


def set_state(db: sqlite3.Connection, job_id: str, state: State) -> None:
    """Note that a job that has not ended is in another state."""
    row = _find(db, job_id)
    if row and row.state != state and not State(row.state).ended:
        db.execute("UPDATE jobs SET state = ? WHERE id = ?", (state, job_id))
        _move_labels(db, row, state)


def set_ended(db: sqlite3.Connection, job_id: str, state: State, ended_ns: int, *, told: bool = True) -> None:
    """Note that a job has ended; ``told``: the log says so."""
    row = _find(db, job_id)
    if row and not row.told:
        changed = (state, ended_ns, int(told), job_id)
        db.execute("UPDATE jobs SET state = ?, ended_ns = ?, told = ? WHERE id = ?", changed)
        _move_labels(db, row, state)


def remove(db: sqlite3.Connection, job_id: str) -> None:
    """Forget a job."""
    if row := _find(db, job_id):
        db.execute("DELETE FROM jobs WHERE id = ?", (job_id,))
        db.execute("DELETE FROM statuses WHERE id = ?", (job_id,))
        _delete_labels(db, row)


def keep_statuses(db: sqlite3.Connection, statuses: Mapping[str, str]) -> None:
    """Keep the statuses of ended jobs, by their ids."""
    for job_id, status in statuses.items():
        if _find(db, job_id):
            db.execute(_INSERT_STATUS, (job_id, status))


def untold(db: sqlite3.Connection) -> list[tuple[str, State]]:
    """The jobs of whose end the log does not tell."""
    return [(job_id, State(state)) for job_id, state in db.execute("SELECT id, state FROM jobs WHERE told = 0")]


def is_told(db: sqlite3.Connection, job_id: str) -> bool | None:
    """Whether the log tells of a job's end; None: the index does not know the job."""
    row = _find(db, job_id)
    return bool(row.told) if row else None


def state_of(db: sqlite3.Connection, job_id: str) -> State | None:
    """The state that the index has of a job; None: it does not know it."""
    row = _find(db, job_id)
    return State(row.state) if row else None


def owner_of(db: sqlite3.Connection, job_id: str) -> str | None:
    """Whose job it is; None: the index does not know it."""
    row = _find(db, job_id)
    return row.owner if row else None


def id_of_request(db: sqlite3.Connection, owner: str, request_id: str) -> str | None:
    """The job that the owner started with a request id."""
    row = db.execute("SELECT id FROM jobs WHERE owner = ? AND request_id = ?", (owner, request_id)).fetchone()
    return row[0] if row else None


def unmeasured(db: sqlite3.Connection, most: int) -> list[str]:
    """Ended jobs of which nobody has noted yet what they take on the disk."""
    text = "SELECT id FROM jobs WHERE told = 1 AND bytes IS NULL LIMIT ?"
    return [job_id for (job_id,) in db.execute(text, (most,))]


def set_bytes(db: sqlite3.Connection, sizes: Mapping[str, int]) -> None:
    """Note what jobs take on the disk, by their ids."""
    db.executemany("UPDATE jobs SET bytes = ? WHERE id = ?", [(size, job_id) for job_id, size in sizes.items()])


def ended_jobs(db: sqlite3.Connection) -> tuple[int, int]:
    """How many ended jobs there are, and what they take on the disk."""
    text = "SELECT count(*), total(bytes) FROM jobs WHERE ended_ns IS NOT NULL"
    count, size = db.execute(text).fetchone()
    return count, int(size)


def next_ended(db: sqlite3.Connection, after: EndedJob | None, most: int) -> list[EndedJob]:
    """The ended jobs after one of them, the first to end first."""
    text = (
        "SELECT id, ended_ns, coalesce(bytes, 0) FROM jobs WHERE ended_ns IS NOT NULL AND (ended_ns, id) > (?, ?)"
        " ORDER BY ended_ns, id LIMIT ?"
    )
    begin = (after.ended_ns, after.id) if after else (-1, "")
    return [EndedJob(*row) for row in db.execute(text, (*begin, most))]


def _row(job: Indexed, *, told: bool) -> tuple[object, ...]:
    return (
        job.id,
        job.created_ns,
        job.owner,
        _encode(job.labels) if job.labels else "{}",
        job.request_id,
        job.state,
        int(told),
        job.ended_ns,
        job.priority,
        job.deadline_ns,
        job.running_per_owner,
    )


def _label_rows(job: Indexed) -> list[tuple[object, ...]]:
    return [(key, value, job.state, job.created_ns, job.id, job.owner) for key, value in job.labels.items()]


def _move_labels(db: sqlite3.Connection, row: _Found, state: State) -> None:
    """Give a job's labels its new state."""
    if row.labels != "{}" and row.state != state:
        _delete_labels(db, row)
        labels = json.loads(row.labels).items()
        db.executemany(_INSERT_LABEL, [(key, value, state, row.created_ns, row.id, row.owner) for key, value in labels])


def _delete_labels(db: sqlite3.Connection, row: _Found) -> None:
    if row.labels != "{}":
        labels = json.loads(row.labels).items()
        text = "DELETE FROM labels WHERE key = ? AND value = ? AND state = ? AND created_ns = ? AND id = ?"
        db.executemany(text, [(key, value, row.state, row.created_ns, row.id) for key, value in labels])


def _find(db: sqlite3.Connection, job_id: str) -> _Found | None:
    text = "SELECT id, created_ns, owner, labels, state, told FROM jobs WHERE id = ?"
    row = db.execute(text, (job_id,)).fetchone()
    return _Found._make(row) if row else None
