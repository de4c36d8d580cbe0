"""The tables of the index, and what a query becomes in SQL."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from jobworker_lib.job.status import State
from jobworker_lib.job.status_json import FIELDS

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

FORMAT = f"5 {FIELDS}"

TABLES = """
CREATE TABLE about (format TEXT NOT NULL, boot_id TEXT NOT NULL, log_id TEXT NOT NULL, position INTEGER NOT NULL);
CREATE TABLE jobs (
    id TEXT PRIMARY KEY, created_ns INTEGER NOT NULL, owner TEXT NOT NULL, labels TEXT NOT NULL,
    request_id TEXT, state TEXT NOT NULL, told INTEGER NOT NULL, ended_ns INTEGER, bytes INTEGER,
    priority INTEGER NOT NULL, deadline_ns INTEGER, running_per_owner INTEGER
) WITHOUT ROWID;
CREATE TABLE labels (
    key TEXT NOT NULL, value TEXT NOT NULL, state TEXT NOT NULL, created_ns INTEGER NOT NULL, id TEXT NOT NULL,
    owner TEXT NOT NULL, PRIMARY KEY (key, value, state, created_ns, id)
) WITHOUT ROWID;
CREATE TABLE statuses (id TEXT PRIMARY KEY, status TEXT NOT NULL) WITHOUT ROWID;
"""
"""``told``: whether the log has the job's end. ``deadline_ns``: when a job that is queued still fails. ``statuses``
holds those of ended jobs, which never change."""

INDEXES = """
CREATE INDEX by_state ON jobs (state, created_ns, id);
CREATE INDEX by_owner ON jobs (owner, state, created_ns, id);
CREATE INDEX queue ON jobs (priority DESC, created_ns, id, owner, running_per_owner) WHERE state = 'queued';
CREATE INDEX deadlines ON jobs (deadline_ns, id) WHERE state = 'queued' AND deadline_ns IS NOT NULL;
CREATE INDEX untold ON jobs (id, state) WHERE told = 0;
CREATE INDEX by_end ON jobs (ended_ns, id, bytes) WHERE ended_ns IS NOT NULL;
CREATE INDEX unmeasured ON jobs (id) WHERE told = 1 AND bytes IS NULL;
CREATE UNIQUE INDEX requests ON jobs (owner, request_id) WHERE request_id IS NOT NULL;
CREATE INDEX labels_by_owner ON labels (owner, key, value, state, created_ns, id);
"""

_SELECTIVE_PREFIX = 2
"""From so many digits on, few jobs' ids begin with the same."""
_COUNTED_LABELS = 1000
_MOST_TRIED = 1000

_OTHER_LABEL = (
    "SELECT 1 FROM labels AS other WHERE other.key = ? AND other.value = ?"
    " AND other.state = found.state AND other.created_ns = found.created_ns AND other.id = found.id"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """Which jobs to list; conditions are joined by and."""

    owner: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    states: frozenset[State] = frozenset()
    id_prefix: str = ""
    before: tuple[int, str] | None = None
    """Only jobs older than this creation time and id."""
    limit: int | None = None


def clear(db: sqlite3.Connection) -> None:
    """Empty tables, and no indexes yet: a full table is indexed faster than an indexed one is filled."""
    for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table' AND sql IS NOT NULL").fetchall():
        db.execute(f"DROP TABLE {name}")
    for statement in TABLES.split(";"):
        db.execute(statement)


Row = tuple[int, str, str | None]
"""Creation time, id and, where it is known and final, status of a job."""


def find(db: sqlite3.Connection, query: Query) -> tuple[list[Row], tuple[int, str] | None]:
    """The jobs that a query finds, the newest first; where there may be more, creation time and id to go on before.

    Each state is looked up by itself, in an index that has the jobs of just that state, owner and label in their order,
    so a page costs the same however many jobs are kept. Only for a second label jobs are tried one by one: a page ends
    when it is full, or so many were.
    """
    labels = _rarest_first(db, query.labels)
    of_states = [db.execute(*_of_one_state(query, state, labels)) for state in sorted(query.states) or State]
    page: list[Row] = []
    last = None
    try:
        for number, (created_ns, job_id, is_found) in enumerate(heapq.merge(*of_states, reverse=True)):
            if query.limit is not None and (len(page) == query.limit or number == _MOST_TRIED + query.limit):
                return page, last
            if is_found:
                page.append((created_ns, job_id, _status(db, job_id)))
            last = created_ns, job_id
    finally:
        for cursor in of_states:
            cursor.close()
    return page, None


def _status(db: sqlite3.Connection, job_id: str) -> str | None:
    row = db.execute("SELECT status FROM statuses WHERE id = ?", (job_id,)).fetchone()
    return row[0] if row else None


def _rarest_first(db: sqlite3.Connection, labels: Mapping[str, str]) -> list[tuple[str, str]]:
    """The labels, first the one that the fewest jobs have; those with many are not told apart."""
    if len(labels) < 2:
        return list(labels.items())

    def count(label: tuple[str, str]) -> int:
        text = "SELECT count(*) FROM (SELECT 1 FROM labels WHERE key = ? AND value = ? LIMIT ?)"
        return int(db.execute(text, (*label, _COUNTED_LABELS)).fetchone()[0])

    return sorted(labels.items(), key=count)


def _of_one_state(query: Query, state: State, labels: list[tuple[str, str]]) -> tuple[str, list[object]]:
    # The state is in the text, so that the connection keeps a prepared statement for each of those that are merged.
    source, conditions, values = "jobs", [f"found.state = '{state}'"], list[object]()
    if len(query.id_prefix) >= _SELECTIVE_PREFIX:
        conditions = [f"+found.state = '{state}'"]  # the plus keeps SQLite to the ids
    elif labels:
        source, (key, value) = "labels", labels[0]
        conditions += ["found.key = ?", "found.value = ?"]
        values += [key, value]
        labels = labels[1:]
    if query.owner is not None:
        conditions.append("+found.owner = ?" if conditions[0].startswith("+") else "found.owner = ?")
        values.append(query.owner)
    if query.id_prefix:
        walked = "" if len(query.id_prefix) >= _SELECTIVE_PREFIX else "+"
        conditions.append(f"{walked}found.id >= ? AND {walked}found.id < ?")
        values += [query.id_prefix, query.id_prefix + "g"]
    if query.before is not None:
        conditions.append("(found.created_ns, found.id) < (?, ?)")
        values += query.before
    others = [f"EXISTS ({_OTHER_LABEL})" for _ in labels]
    text = (
        f"SELECT created_ns, id, {' AND '.join(others) or '1'} FROM {source} AS found"  # noqa: S608 - of constants only
        f" WHERE {' AND '.join(conditions)} ORDER BY created_ns DESC, id DESC"
    )
    return text, [part for label in labels for part in label] + values
