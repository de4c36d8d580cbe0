"""Whatever is cut off, damaged or removed: lists tell what the directories tell, and each end is told once."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobworker_lib import State
from jobworker_lib.events import log
from jobworker_lib.events.event import Event, EventType
from jobworker_lib.events.reader import EventReader, beginning_of
from jobworker_lib.events.telling import tell
from jobworker_lib.job.directory import EXIT, SPEC, STARTED, ExitRecord, JobDirectory, StartRecord
from jobworker_lib.job.spec import JobSpec
from jobworker_lib.job.status import Reason
from jobworker_lib.store.index_schema import Query
from jobworker_lib.store.store import Store

STEPS = ("made", "told", "shown", "started", "started told", "ended", "ended told")
"""The steps of a job's life, as engine and shim make them."""


def live(store: Store, up_to: str) -> None:
    """A job whose engine and shim die after a step; whose lock is free then, as the kernel sees to it."""
    spec = JobSpec.make(["true"], owner="ann", labels={"team": "a"})
    last = STEPS.index(up_to)
    hidden = JobDirectory(os.path.join(store.new, spec.id))
    os.mkdir(hidden.path, 0o700)
    hidden.write(SPEC, spec)
    lock = hidden.try_lock()
    assert lock is not None
    directory = JobDirectory(os.path.join(store.jobs, spec.id))
    steps: tuple[Callable[[], object], ...] = (
        lambda: None,
        lambda: tell_of(store, spec, EventType.CREATED, spec.created_ns, State.STARTING),
        lambda: os.rename(hidden.path, directory.path),
        lambda: directory.write(STARTED, StartRecord(started_ns=spec.created_ns + 1, pid=1)),
        lambda: tell_of(store, spec, EventType.STARTED, spec.created_ns + 1, State.RUNNING),
        lambda: directory.write(EXIT, end_of(spec)),
        lambda: tell_of(store, spec, EventType.ENDED, spec.created_ns + 2, State.EXITED),
    )
    for step in steps[: last + 1]:
        step()
    os.close(lock)


def end_of(spec: JobSpec) -> ExitRecord:
    return ExitRecord(state=State.EXITED, reason=Reason.EXITED, ended_ns=spec.created_ns + 2, exit_code=0)


def tell_of(store: Store, spec: JobSpec, event_type: EventType, time_ns: int, state: State) -> None:
    assert tell(store.events, event_type, job_id=spec.id, owner=spec.owner, time_ns=time_ns, state=state)


def remove_by_hand(store: Store) -> None:
    for name in sorted(os.listdir(store.jobs))[:1]:
        shutil.rmtree(os.path.join(store.jobs, name))


def delete(store: Store) -> None:
    for status in store.find(Query())[0][:1]:
        store.delete(status.id)


def delete_by_half(store: Store) -> None:
    """Whoever deletes a job dies when it has moved it away."""
    for name in sorted(os.listdir(store.jobs))[:1]:
        if JobDirectory(os.path.join(store.jobs, name)).has_exit():
            os.rename(os.path.join(store.jobs, name), os.path.join(store.deleted, name))


def lose_index(store: Store) -> None:
    for path in store.path.glob("index.db*"):
        path.unlink()


def damage_index(store: Store) -> None:
    lose_index(store)
    (store.path / "index.db").write_bytes(b"no database" * 1000)


def tear_log(store: Store) -> None:
    with Path(log.segment_path(store.events, log.segments(store.events)[-1])).open("ab") as segment:
        segment.write(b'{"type":"ended","job_id":"')


def look(store: Store) -> None:
    store.find(Query())


ACTIONS = (remove_by_hand, delete, delete_by_half, lose_index, damage_index, tear_log, look)


@pytest.mark.timeout(300)  # each job without a supervisor is looked for among all processes
@given(
    steps=st.lists(st.one_of(st.sampled_from(STEPS), st.sampled_from(ACTIONS)), max_size=12),
)
@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
def test_lists_and_events_tell_what_the_directories_tell(
    tmp_path_factory: pytest.TempPathFactory,
    steps: list[str | Callable[[Store], None]],
) -> None:
    store = Store(tmp_path_factory.mktemp("truth") / "state")
    for step in steps:
        if isinstance(step, str):
            live(store, step)
        else:
            step(store)
    for path in os.scandir(store.new):
        os.utime(path, times=(0, 0))
    store.index.close()

    store = Store(store.path)
    statuses, _ = store.find(Query())
    store.upkeep.look()
    statuses, _ = store.find(Query())
    there = sorted(os.listdir(store.jobs))
    assert sorted(status.id for status in statuses) == there
    assert statuses == [JobDirectory(os.path.join(store.jobs, status.id)).status() for status in statuses]
    assert all(status.state.ended for status in statuses), "nobody supervises any of them"
    by_label, _ = store.find(Query(labels={"team": "a"}, states=frozenset([State.EXITED, State.LOST])))
    assert by_label == statuses
    assert os.listdir(store.new) == os.listdir(store.deleted) == []
    _each_is_told_once(all_events(store.events), there)
    store.index.close()


def all_events(events: str) -> list[Event]:
    found = []
    with EventReader(events, beginning_of(events)[0]) as reader:
        while batch := reader.next_batch():
            found += batch
    return found


def _each_is_told_once(events: list[Event], there: list[str]) -> None:
    told = {kind: Counter(event.job_id for event in events if event.type is kind) for kind in EventType}
    assert set(told[EventType.ENDED].values()) <= {1}
    assert set(told[EventType.DELETED].values()) <= {1}
    for job_id in there:
        assert told[EventType.CREATED][job_id] == 1
        assert told[EventType.ENDED][job_id] == 1, "a job that has ended was told to have"
        assert told[EventType.DELETED][job_id] == 0
    for job_id in set(told[EventType.CREATED]) - set(there):
        assert told[EventType.DELETED][job_id] == 1, "a job that was told of and is gone was told to be"
        order = [event.type for event in events if event.job_id == job_id]
        assert order[-1] is EventType.DELETED
