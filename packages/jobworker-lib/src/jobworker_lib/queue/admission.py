"""Whose turn it is: the rules of the queue, as questions to the index within one of its transactions.

Every engine that starts a job asks within the transaction that adds it, and so does the keeper within the one that
marks jobs as being started. So no two of them can find the same room.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobworker_lib.errors import QuotaExceededError
from jobworker_lib.job.status import State

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from jobworker_lib.job.spec import JobSpec
    from jobworker_lib.queue.bounds import Bounds

_RUNNING = (State.STARTING, State.RUNNING)


class Room:
    """How many more jobs may run, in all and of each owner."""

    def __init__(self, db: sqlite3.Connection, bounds: Bounds) -> None:
        self._db = db
        self._bounds = bounds
        self._running = _count(db, "") if bounds.running is not None else 0
        self._of_owner: dict[str, int] = {}

    @property
    def is_full(self) -> bool:
        """Whether no job at all may run."""
        return self._bounds.running is not None and self._running >= self._bounds.running

    def has_for(self, owner: str, own_bound: int | None) -> bool:
        """Whether another job of this owner may run, which has a bound of its own on how many."""
        if self.is_full:
            return False
        most = _smaller(self._bounds.running_per_owner, own_bound)
        return most is None or self._running_of(owner) < most

    def take(self, owner: str) -> None:
        """One more job of this owner runs."""
        self._running += 1
        self._of_owner[owner] = self._running_of(owner) + 1

    def _running_of(self, owner: str) -> int:
        if owner not in self._of_owner:
            self._of_owner[owner] = _count(self._db, "owner = ? AND", owner)
        return self._of_owner[owner]


def admit(db: sqlite3.Connection, spec: JobSpec, bounds: Bounds) -> State:
    """Whether a new job is started now or queued. QuotaExceededError where it is refused."""
    if not is_bounded(spec, bounds):
        return State.STARTING
    room = Room(db, bounds)
    if room.has_for(spec.owner, spec.running_per_owner) and not _is_behind_others(db, spec, room, bounds):
        return State.STARTING
    if bounds.when_full == "refuse":
        raise QuotaExceededError(_what_is_full(spec, room, bounds))
    if queue := _full_queue(db, spec, bounds):
        raise QuotaExceededError(f"{_what_is_full(spec, room, bounds)}, and {queue}")
    return State.QUEUED


def is_bounded(spec: JobSpec, bounds: Bounds) -> bool:
    """Whether there is a bound that a new job could be beyond."""
    return bounds.exist or spec.running_per_owner is not None


def in_turn(db: sqlite3.Connection, room: Room, of_owner: str | None = None) -> Iterator[tuple[str, str]]:
    """Id and owner of each queued job that may be started now, of all or of one owner, in order, while there is room.

    An owner without room of their own is passed over, and so holds up nobody else; so is a job whose own bound is
    narrower than those of others of its owner. Nothing else is ever overtaken.
    """
    which = "" if of_owner is None else " AND owner = ?"
    text = (
        "SELECT id, owner, running_per_owner FROM jobs"  # noqa: S608 - of constants only
        f" WHERE state = 'queued'{which} ORDER BY priority DESC, created_ns, id"
    )
    for job_id, owner, own_bound in db.execute(text, () if of_owner is None else (of_owner,)):
        if room.is_full:
            return
        if room.has_for(owner, own_bound):
            yield job_id, owner


def overdue(db: sqlite3.Connection, now_ns: int) -> list[str]:
    """The queued jobs whose start deadline has passed."""
    text = "SELECT id FROM jobs WHERE state = 'queued' AND deadline_ns <= ? ORDER BY deadline_ns"
    return [job_id for (job_id,) in db.execute(text, (now_ns,))]


def next_deadline_ns(db: sqlite3.Connection) -> int | None:
    """The first start deadline of those that wait, in nanoseconds since the epoch."""
    text = "SELECT min(deadline_ns) FROM jobs WHERE state = 'queued' AND deadline_ns IS NOT NULL"
    (found,) = db.execute(text).fetchone()
    return None if found is None else int(found)


def count_queued(db: sqlite3.Connection) -> int:
    """How many jobs wait."""
    return int(db.execute("SELECT count(*) FROM jobs WHERE state = 'queued'").fetchone()[0])


def _is_behind_others(db: sqlite3.Connection, spec: JobSpec, room: Room, bounds: Bounds) -> bool:
    """Whether somebody waits whose turn comes first, although there is room: the keeper is about to start them."""
    first = next(in_turn(db, room, None if bounds.exist else spec.owner), None)
    if first is None:
        return False
    (priority,) = db.execute("SELECT priority FROM jobs WHERE id = ?", first[:1]).fetchone()
    return bool(priority >= spec.priority)


def _what_is_full(spec: JobSpec, room: Room, bounds: Bounds) -> str:
    if room.is_full:
        return f"as many jobs run as may: {bounds.running}"
    if not room.has_for(spec.owner, spec.running_per_owner):
        return f"as many of your jobs run as may: {_smaller(bounds.running_per_owner, spec.running_per_owner)}"
    return "others wait for their turn"


def _full_queue(db: sqlite3.Connection, spec: JobSpec, bounds: Bounds) -> str | None:
    """What keeps a job from waiting, in words; None: it may wait."""
    if bounds.queued is not None and count_queued(db) >= bounds.queued:
        return f"as many wait as may: {bounds.queued}"
    most = spec.queued_per_owner
    if most is not None and _count_queued_of(db, spec.owner) >= most:
        return f"as many of yours wait as may: {most}; start it again when one of your jobs has ended, or stop one"
    return None


def _count_queued_of(db: sqlite3.Connection, owner: str) -> int:
    text = "SELECT count(*) FROM jobs WHERE owner = ? AND state = 'queued'"
    return int(db.execute(text, (owner,)).fetchone()[0])


def _smaller(first: int | None, second: int | None) -> int | None:
    """The smaller of two bounds; None, which is none, only where both are that."""
    return min((bound for bound in (first, second) if bound is not None), default=None)


def _count(db: sqlite3.Connection, condition: str, *values: str) -> int:
    text = f"SELECT count(*) FROM jobs WHERE {condition} state IN (?, ?)"  # noqa: S608 - of constants only
    return int(db.execute(text, (*values, *_RUNNING)).fetchone()[0])
