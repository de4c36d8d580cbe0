"""The index of a state directory's jobs: fast listing and filtering with SQLite.

It is derived: it follows the event log, and is made anew from the job directories where it is missing, damaged, from
before the last boot (it is not synced to the disk), or further behind than the log reaches.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from jobworker_lib.errors import CursorExpiredError, EngineError
from jobworker_lib.events import log
from jobworker_lib.events.event import Cursor, Event, EventType
from jobworker_lib.events.reader import EventReader, beginning_of
from jobworker_lib.host.filesystem import is_network_filesystem
from jobworker_lib.host.procfs import boot_id
from jobworker_lib.job.status import State
from jobworker_lib.store import index_rows, index_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from jobworker_lib.job.spec import JobSpec
    from jobworker_lib.store.index_rows import Indexed
    from jobworker_lib.store.index_schema import Query, Row

T = TypeVar("T")

_FILE = "index.db"
_BUSY_SECONDS = 60.0
_BUSY_PAUSE_SECONDS = 0.01


class Index:
    """One connection to the index; safe to use from any thread, beside other processes."""

    def __init__(
        self,
        state_dir: Path,
        all_jobs: Callable[[], Iterable[Indexed]],
        look_up: Callable[[str], JobSpec | None],
    ) -> None:
        """``all_jobs`` reads every job directory, for a rebuild, and ``look_up`` the spec of one of them."""
        self._path = state_dir / _FILE
        self._events = str(state_dir / log.DIRECTORY)
        self._jobs = state_dir / "jobs"
        self._all_jobs = all_jobs
        self._look_up = look_up
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._reader: EventReader | None = None
        self._inode = 0

    def transact(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do ``work`` in a transaction of an index that knows of every event there is.

        It may be done twice, where the index turns out to be damaged and is made anew.

        Raises:
            EngineError: the index can't be used.
        """
        with self._lock:
            try:
                try:
                    return self._transact(work)
                except (sqlite3.DatabaseError, IsADirectoryError) as error:
                    if _is_no_damage(error):
                        raise
                    self._discard()
                    return self._transact(work)
            except (sqlite3.Error, OSError) as error:
                raise EngineError(f"the index {self._path} can't be used: {error}") from error

    def find(self, query: Query) -> tuple[list[Row], tuple[int, str] | None]:
        """The jobs that a query finds, the newest first; where there may be more, where to go on."""
        return self.transact(lambda db: index_schema.find(db, query))

    def untold(self) -> list[tuple[str, State]]:
        """The jobs of whose end the event log does not tell."""
        return self.transact(index_rows.untold)

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._disconnect()

    def _transact(self, work: Callable[[sqlite3.Connection], T]) -> T:
        db = self._connected()
        db.execute("BEGIN IMMEDIATE")
        try:
            self._catch_up(db)
            result = work(db)
        except BaseException:
            db.rollback()
            raise
        db.commit()
        return result

    def _catch_up(self, db: sqlite3.Connection) -> None:
        """Apply the events that this index has not seen."""
        try:
            reader = self._reader_at(index_rows.position(db))
            before = reader.cursor
            while events := reader.next_batch():
                for event in events:
                    self._apply(db, event)
            if reader.cursor != before:
                index_rows.set_position(db, reader.cursor)
        except CursorExpiredError:
            self._rebuild(db)

    def _reader_at(self, cursor: Cursor) -> EventReader:
        if self._reader is None or self._reader.cursor != cursor:
            self._drop_reader()
            self._reader = EventReader(self._events, cursor)
        return self._reader

    def _apply(self, db: sqlite3.Connection, event: Event) -> None:
        if event.type is EventType.CREATED:
            index_rows.add_created(db, event, self._look_up)
        elif event.type is EventType.DELETED:
            index_rows.remove(db, event.job_id)
        elif event.type is EventType.ENDED:
            index_rows.set_ended(db, event.job_id, event.state or State.LOST, event.time_ns)
        elif event.state is not None:
            index_rows.set_state(db, event.job_id, event.state)

    def _connected(self) -> sqlite3.Connection:
        """The connection to the file that is there now; another engine may have made it anew."""
        if self._connection is not None and self._inode == _inode(self._path):
            return self._connection
        self._disconnect()
        return self._open()

    def _discard(self) -> None:
        self._disconnect()
        for path in (Path(f"{self._path}{suffix}") for suffix in ("", "-wal", "-shm")):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def _open(self) -> sqlite3.Connection:
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        self._inode = _inode(self._path)
        db = sqlite3.connect(self._path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            db.execute("PRAGMA synchronous = OFF")
            db.execute("BEGIN IMMEDIATE")
            if not _is_current(db):
                self._rebuild(db)  # before there is a write-ahead log, through which all of it would be written twice
            db.commit()
            _set_journal_mode(db, "TRUNCATE" if is_network_filesystem(str(self._path)) else "WAL")
        except BaseException:
            db.close()
            raise
        self._connection = db
        return db

    def _rebuild(self, db: sqlite3.Connection) -> None:
        """Make it anew: first the events that are kept, then the directories, then the events that came meanwhile."""
        log.prepare(self._events)
        beginning, whole_since_ns = beginning_of(self._events)
        created: dict[str, Event] = {}
        known_ends: set[str] = set()
        removed: set[str] = set()
        with EventReader(self._events, beginning) as reader:
            while events := reader.next_batch():
                created.update((event.job_id, event) for event in events if event.type is EventType.CREATED)
                known_ends.update(event.job_id for event in events if event.type is EventType.ENDED)
                removed.update(event.job_id for event in events if event.type is EventType.DELETED)
            index_schema.clear(db)
            found: set[str] = set()
            index_rows.fill(db, _noted(self._all_jobs(), found, removed), known_ends, whole_since_ns)
            for job_id in created.keys() - removed - found:
                # It is to be looked for, or was shown while the others were read; or else it is damaged.
                if not os.path.exists(self._jobs / job_id) or self._look_up(job_id):
                    index_rows.add_created(db, created[job_id], self._look_up)
            db.execute("INSERT INTO about VALUES (?, ?, ?, ?)", (index_schema.FORMAT, boot_id(), *reader.cursor))
            while events := reader.next_batch():
                for event in events:
                    self._apply(db, event)
            index_rows.set_position(db, reader.cursor)

    def _drop_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def _disconnect(self) -> None:
        self._drop_reader()
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _noted(jobs: Iterable[Indexed], found: set[str], removed: set[str]) -> Iterator[Indexed]:
    """The jobs that were not removed, each noted in ``found``."""
    for job in jobs:
        if job.id not in removed:
            found.add(job.id)
            yield job


def _set_journal_mode(db: sqlite3.Connection, mode: str) -> None:
    """Set it also while others open or close the file: SQLite does not wait for them by itself here."""
    give_up_at = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            db.execute(f"PRAGMA journal_mode = {mode}")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > give_up_at:
                raise
            time.sleep(_BUSY_PAUSE_SECONDS)
        else:
            return


def _is_no_damage(error: Exception) -> bool:
    """Whether the index would be as before if it were made anew: it is in use, or the disk is full."""
    if not isinstance(error, sqlite3.DatabaseError):
        return False
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK) & 0xFF
    return code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_NOMEM)


def _is_current(db: sqlite3.Connection) -> bool:
    if not db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'about'").fetchone():
        return False
    return bool(db.execute("SELECT format, boot_id FROM about").fetchone() == (index_schema.FORMAT, boot_id()))


def _inode(path: Path) -> int:
    try:
        return os.stat(path).st_ino
    except FileNotFoundError:
        return 0
