"""The rules of the queue against a model of them, for any sequence of starts, ends and turns."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from jobworker_lib import Bounds, QuotaExceededError, State
from jobworker_lib.job.spec import JobSpec
from jobworker_lib.queue import admission
from jobworker_lib.store import index_rows, index_schema
from jobworker_lib.store.index_rows import Indexed

BOUNDS = st.builds(
    Bounds,
    running=st.none() | st.integers(1, 3),
    running_per_owner=st.none() | st.integers(1, 2),
    when_full=st.sampled_from(["queue", "queue", "refuse"]),
    queued=st.none() | st.integers(0, 4),
)
START = st.tuples(
    st.just("start"),
    st.tuples(
        st.sampled_from(["ann", "bob", "eve"]), st.none() | st.integers(1, 3), st.none() | st.none() | st.integers(0, 2)
    ),
    st.integers(-1, 1),
)
END = st.tuples(st.just("end"), st.integers(0, 9), st.just(0))
CANCEL = st.tuples(st.just("cancel"), st.integers(0, 9), st.just(0))
TURN = st.tuples(st.just("turn"), st.just(0), st.just(0))


@dataclass
class Model:
    """Jobs as lists of specs, in the order of their starts."""

    bounds: Bounds
    running: list[JobSpec] = field(default_factory=list)
    queued: list[JobSpec] = field(default_factory=list)

    def has_room(self, new: JobSpec) -> bool:
        of_owner = sum(spec.owner == new.owner for spec in self.running)
        most = self.bounds.running
        most_of_owner = [bound for bound in (self.bounds.running_per_owner, new.running_per_owner) if bound is not None]
        return (most is None or len(self.running) < most) and all(of_owner < bound for bound in most_of_owner)

    def next(self, owner: str | None = None) -> JobSpec | None:
        """Whose turn it is, of all or of one owner, if there is room for anybody."""
        in_order = sorted(self.queued, key=lambda spec: -spec.priority)  # stable: the oldest first
        return next((spec for spec in in_order if self.has_room(spec) and owner in (None, spec.owner)), None)

    def state_of_new(self, spec: JobSpec) -> State | None:
        """What becomes of a start; None: it is refused."""
        if not self.bounds.exist and spec.running_per_owner is None:
            return State.STARTING
        ahead = self.next() if self.bounds.exist else self.next(spec.owner)
        if self.has_room(spec) and (ahead is None or ahead.priority < spec.priority):
            return State.STARTING
        of_owner = [job for job in self.queued if job.owner == spec.owner]
        bounds = ((self.bounds.queued, self.queued), (spec.queued_per_owner, of_owner))
        is_refused = self.bounds.when_full == "refuse" or any(
            most is not None and len(waiting) >= most for most, waiting in bounds
        )
        return None if is_refused else State.QUEUED


def opened() -> sqlite3.Connection:
    db = sqlite3.connect(":memory:", isolation_level=None)
    index_schema.clear(db)
    for statement in index_schema.INDEXES.split(";"):
        db.execute(statement)
    return db


@settings(max_examples=300, deadline=None)
@given(BOUNDS, st.lists(START | START | END | TURN | CANCEL, max_size=40))
def test_index_decides_as_the_model_does(bounds: Bounds, steps: list[tuple[str, Any, int]]) -> None:
    model = Model(bounds)
    db = opened()
    for kind, choice, priority in steps:
        if kind == "start":
            owner, most, most_queued = choice
            spec = JobSpec.make(
                ["true"], owner=owner, priority=priority, running_per_owner=most, queued_per_owner=most_queued
            )
            expected = model.state_of_new(spec)
            try:
                state = admission.admit(db, spec, bounds)
            except QuotaExceededError:
                assert expected is None
                continue
            assert state is expected
            index_rows.add(db, Indexed.of(spec, state))
            (model.queued if state is State.QUEUED else model.running).append(spec)
        elif kind in ("end", "cancel"):
            jobs = model.running if kind == "end" else model.queued
            if jobs:
                ended = jobs.pop(int(choice) % len(jobs))
                index_rows.set_ended(db, ended.id, State.EXITED, 1)
        else:
            room = admission.Room(db, bounds)
            turn = []
            for job_id, owner in admission.in_turn(db, room):
                room.take(owner)
                turn.append(job_id)
            for job_id in turn:
                following = model.next()
                assert following is not None
                assert following.id == job_id
                model.queued.remove(following)
                model.running.append(following)
                index_rows.set_state(db, job_id, State.STARTING)
            assert model.next() is None, "nobody waits for whom there is room"
        assert admission.count_queued(db) == len(model.queued)
        assert bounds.running is None or len(model.running) <= bounds.running
    db.close()
