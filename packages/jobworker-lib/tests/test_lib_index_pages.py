"""The pages of a list are the jobs that it is to hold, each once, whatever is asked for."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from jobworker_lib import State
from jobworker_lib.store import index_rows, index_schema
from jobworker_lib.store.index_rows import Indexed
from jobworker_lib.store.index_schema import Query


@contextmanager
def index_of(jobs: Iterable[Indexed]) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        index_schema.clear(db)
        index_rows.fill(db, jobs, set(), 0)
        yield db


def pages(db: sqlite3.Connection, query: Query) -> Iterator[list[str]]:
    before = None
    while True:
        rows, before = index_schema.find(db, replace(query, before=before))
        yield [job_id for _, job_id, _ in rows]
        if before is None:
            return


def job(number: int, owner: str, labels: dict[str, str], state: State, created_ns: int) -> Indexed:
    return Indexed(f"{number * 37 % 256:02x}-{number}", created_ns, owner, labels, None, state)


def expected(jobs: Iterable[Indexed], query: Query) -> list[str]:
    found = [
        job
        for job in jobs
        if query.owner in (None, job.owner)
        and job.labels.items() >= query.labels.items()
        and (not query.states or job.state in query.states)
        and job.id.startswith(query.id_prefix)
    ]
    return [job.id for job in sorted(found, key=lambda job: (job.created_ns, job.id), reverse=True)]


OWNERS = st.sampled_from(["ann", "bob"])
LABELS = st.dictionaries(st.sampled_from(["a", "b", "c"]), st.sampled_from(["x", "y"]))


@given(
    facts=st.lists(st.tuples(OWNERS, LABELS, st.sampled_from(State), st.integers(0, 5)), max_size=30),
    query=st.builds(
        Query,
        owner=st.none() | OWNERS,
        labels=LABELS,
        states=st.frozensets(st.sampled_from(State)),
        id_prefix=st.sampled_from(["", "0", "25"]),
        limit=st.none() | st.integers(1, 5),
    ),
)
def test_pages_are_what_is_asked_for(facts: list[tuple[str, Mapping[str, str], State, int]], query: Query) -> None:
    jobs = [job(number, owner, dict(labels), state, at) for number, (owner, labels, state, at) in enumerate(facts)]
    with index_of(jobs) as db:
        found = list(pages(db, query))
    assert [job_id for page in found for job_id in page] == expected(jobs, query)
    assert query.limit is None or all(len(page) == query.limit for page in found[:-1])


def test_of_labels_that_few_have_together_a_page_ends_in_time() -> None:
    both = {"kind": "a", "team": "a"}
    jobs = [job(0, "ann", both, State.EXITED, 0)]
    jobs += [
        job(number, "ann", {"kind": "a", "team": "b"} if number % 2 else {"kind": "b", "team": "a"}, state, number)
        for number, state in zip(range(1, 10_000), [State.EXITED, State.STOPPED, State.EXITED] * 3333, strict=True)
    ]
    with index_of(jobs) as db:
        found = list(pages(db, Query(labels=both, limit=10)))
    assert found[-1] == [jobs[0].id]
    assert not any(found[:-1])
    assert 1 < len(found) < 10
