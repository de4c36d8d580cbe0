"""The index of a state directory's jobs: fast listing and filtering with SQLite.

It is derived from the job directories and rebuilt from them when it is missing, damaged, or from before the last boot
(it is not synced to the disk).
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from jobworker_lib.errors import EngineError
from jobworker_lib.filesystem import is_network_filesystem
from jobworker_lib.procfs import boot_id
from jobworker_lib.status import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from jobworker_lib.spec import JobSpec

T = TypeVar("T")

_FILE = "index.db"
_FORMAT = "1"
_BUSY_SECONDS = 60.0
_UNENDED = (State.STARTING, State.RUNNING)
_SCHEMA = """
CREATE TABLE about (format TEXT NOT NULL, boot_id TEXT NOT NULL);
CREATE TABLE jobs (
    id TEXT PRIMARY KEY, created_ns INTEGER NOT NULL, owner TEXT NOT NULL, labels TEXT NOT NULL,
    request_id TEXT, state TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX newest ON jobs (created_ns, id);
CREATE INDEX newest_of_owner ON jobs (owner, created_ns, id);
CREATE INDEX by_state ON jobs (state, created_ns, id);
CREATE UNIQUE INDEX requests ON jobs (owner, request_id) WHERE request_id IS NOT NULL;
"""


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


class Index:
    """One connection to the index; safe to use from any thread, beside other processes."""

    def __init__(self, state_dir: Path, all_jobs: Callable[[], Iterable[tuple[JobSpec, State]]]) -> None:
        """``all_jobs`` reads every job directory, for a rebuild."""
        self._path = state_dir / _FILE
        self._all_jobs = all_jobs
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._inode = 0

    def add(self, spec: JobSpec, publish: Callable[[], None]) -> str | None:
        """Add a new job, and ``publish`` its directory before anyone sees it here.

        Or, doing neither, the id of the job that the same owner started with the same request id.
        """

        def work(db: sqlite3.Connection) -> str | None:
            if spec.request_id is not None:
                found = db.execute(
                    "SELECT id FROM jobs WHERE owner = ? AND request_id = ?", (spec.owner, spec.request_id)
                ).fetchone()
                if found:
                    return str(found[0])
            db.execute(_INSERT, _row(spec, State.STARTING))
            publish()
            return None

        return self._run(work)

    def set_state(self, job_id: str, state: State) -> None:
        """Note that a job is in another state."""
        self._run(lambda db: db.execute("UPDATE jobs SET state = ? WHERE id = ?", (state, job_id)))

    def remove(self, job_id: str) -> None:
        """Forget a job."""
        self._run(lambda db: db.execute("DELETE FROM jobs WHERE id = ?", (job_id,)))

    def unended(self) -> list[tuple[str, State]]:
        """The jobs that had not ended when they were last looked at."""
        rows = self._run(lambda db: db.execute("SELECT id, state FROM jobs WHERE state IN (?, ?)", _UNENDED).fetchall())
        return [(job_id, State(state)) for job_id, state in rows]

    def find(self, query: Query) -> list[tuple[int, str]]:
        """Creation time and id of each job that the query finds, the newest first."""
        conditions, values = ["1"], list[object]()
        if query.owner is not None:
            conditions.append("owner = ?")
            values.append(query.owner)
        if query.states:
            conditions.append(f"state IN ({', '.join('?' * len(query.states))})")
            values += sorted(query.states)
        for key, value in query.labels.items():
            conditions.append(
                "EXISTS (SELECT 1 FROM json_each(labels) AS label WHERE label.key = ? AND label.value = ?)"
            )
            values += [key, value]
        if query.id_prefix:
            conditions.append("id >= ? AND id < ?")
            values += [query.id_prefix, query.id_prefix + "g"]
        if query.before is not None:
            conditions.append("(created_ns, id) < (?, ?)")
            values += query.before
        text = (
            f"SELECT created_ns, id FROM jobs WHERE {' AND '.join(conditions)} "  # noqa: S608 - of constants only
            "ORDER BY created_ns DESC, id DESC LIMIT ?"
        )
        values.append(-1 if query.limit is None else query.limit)
        return self._run(lambda db: db.execute(text, values).fetchall())

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._disconnect()

    def _run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do something in a transaction; an index that turns out to be damaged is made anew first."""
        with self._lock:
            try:
                try:
                    return self._transact(work)
                except sqlite3.DatabaseError as error:
                    if "locked" in str(error):
                        raise
                    self._discard()
                    return self._transact(work)
            except (sqlite3.Error, OSError) as error:
                raise EngineError(f"the index {self._path} can't be used: {error}") from error

    def _transact(self, work: Callable[[sqlite3.Connection], T]) -> T:
        db = self._connected()
        db.execute("BEGIN IMMEDIATE")
        try:
            result = work(db)
        except BaseException:
            db.rollback()
            raise
        db.commit()
        return result

    def _connected(self) -> sqlite3.Connection:
        """The connection to the file that is there now; another engine may have made it anew."""
        if self._connection is not None and self._inode == _inode(self._path):
            return self._connection
        self._disconnect()
        return self._open()

    def _discard(self) -> None:
        self._disconnect()
        for suffix in ("", "-wal", "-shm"):
            Path(f"{self._path}{suffix}").unlink(missing_ok=True)

    def _open(self) -> sqlite3.Connection:
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        self._inode = _inode(self._path)
        db = sqlite3.connect(self._path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            db.execute(f"PRAGMA journal_mode = {'TRUNCATE' if is_network_filesystem(str(self._path)) else 'WAL'}")
            db.execute("PRAGMA synchronous = OFF")
            db.execute("BEGIN IMMEDIATE")
            if not _is_current(db):
                self._rebuild(db)
            db.commit()
        except BaseException:
            db.close()
            raise
        self._connection = db
        return db

    def _rebuild(self, db: sqlite3.Connection) -> None:
        for name, kind in db.execute("SELECT name, type FROM sqlite_schema WHERE sql IS NOT NULL").fetchall():
            if kind == "table":
                db.execute(f"DROP TABLE {name}")
        for statement in _SCHEMA.split(";"):
            db.execute(statement)
        db.executemany(_INSERT, (_row(spec, state) for spec, state in self._all_jobs()))
        db.execute("INSERT INTO about VALUES (?, ?)", (_FORMAT, boot_id()))

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


_INSERT = "INSERT OR REPLACE INTO jobs (id, created_ns, owner, labels, request_id, state) VALUES (?, ?, ?, ?, ?, ?)"


def _row(spec: JobSpec, state: State) -> tuple[object, ...]:
    return spec.id, spec.created_ns, spec.owner, json.dumps(spec.labels), spec.request_id, str(state)


def _is_current(db: sqlite3.Connection) -> bool:
    if not db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'about'").fetchone():
        return False
    return bool(db.execute("SELECT format, boot_id FROM about").fetchone() == (_FORMAT, boot_id()))


def _inode(path: Path) -> int:
    try:
        return os.stat(path).st_ino
    except FileNotFoundError:
        return 0
