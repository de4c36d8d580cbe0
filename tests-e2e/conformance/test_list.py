from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from conformance.jobs import SLEEPER, ended, refused, sh
from conformance.subjects import Page, Subject


def ids(page: Page) -> list[str]:
    return [status.id for status in page.statuses]


def but_usage(status: Any) -> dict[str, Any]:
    """All of a status but what a job that runs uses, which is told by its own status alone."""
    return {**asdict(status), "usage": None}


def test_of_nothing_is_empty(subject: Subject) -> None:
    page = subject.list()
    assert (ids(page), page.next_page_token) == ([], "")


def test_tells_the_newest_first(subject: Subject) -> None:
    started = [subject.start(["true"]) for _ in range(5)]
    assert ids(subject.list()) == started[::-1]


def test_tells_each_job_as_its_status_does(subject: Subject) -> None:
    ended(subject, sh("exit 3"))
    subject.start(SLEEPER, labels={"a": "b"})
    listed = subject.list().statuses
    assert list(map(but_usage, listed)) == [but_usage(subject.status(status.id)) for status in listed]


def test_by_state(subject: Subject) -> None:
    exited = ended(subject, ["true"])
    stopped = subject.start(SLEEPER)
    subject.stop(stopped)
    running = subject.start(SLEEPER)
    with refused("COMMAND_NOT_FOUND") as caught:
        subject.start(["no-such-command-anywhere"])
    assert ids(subject.list(states=["running"])) == [running]
    assert ids(subject.list(states=["exited"])) == [exited]
    assert ids(subject.list(states=["stopped"])) == [stopped]
    assert ids(subject.list(states=["failed"])) == [caught.value.job_id]
    assert ids(subject.list(states=["exited", "running"])) == [running, exited]
    assert ids(subject.list(states=["lost"])) == []
    subject.stop(running)
    assert ids(subject.list(states=["running"])) == []
    assert ids(subject.list(states=["stopped"])) == [running, stopped]


def test_by_labels(subject: Subject) -> None:
    both = subject.start(["true"], labels={"team": "a", "kind": "x"})
    one = subject.start(["true"], labels={"team": "a"})
    subject.start(["true"], labels={"team": "b"})
    subject.start(["true"])
    assert ids(subject.list(labels={"team": "a"})) == [one, both]
    assert ids(subject.list(labels={"team": "a", "kind": "x"})) == [both]
    assert ids(subject.list(labels={"team": "%"})) == []
    assert ids(subject.list(labels={"other": "a"})) == []


def test_by_owner(subject: Subject) -> None:
    job_id = subject.start(["true"])
    assert ids(subject.list(owner=subject.owner)) == [job_id]
    assert ids(subject.list(owner="nobody-of-this-name")) == []


def test_by_the_beginning_of_the_id(subject: Subject) -> None:
    started = [subject.start(["true"]) for _ in range(4)]
    for job_id in started:
        for length in (1, 8, 9, 36):
            prefix = job_id[:length]
            expected = [other for other in started[::-1] if other.startswith(prefix)]
            assert ids(subject.list(id_prefix=prefix)) == expected


@pytest.mark.parametrize("prefix", ["g", "A", "%", "a*", "0" * 37])
def test_refuses_what_no_id_begins_with(subject: Subject, prefix: str) -> None:
    with refused("INVALID_ARGUMENT") as caught:
        subject.list(id_prefix=prefix)
    assert caught.value.field == "id_prefix"


def test_in_pages(subject: Subject) -> None:
    started = [subject.start(["true"], labels={"page": "yes"}) for _ in range(7)]
    subject.start(["true"])
    pages = [subject.list(labels={"page": "yes"}, limit=3)]
    while token := pages[-1].next_page_token:
        pages.append(subject.list(labels={"page": "yes"}, limit=3, page_token=token))
    assert list(map(len, map(ids, pages))) == [3, 3, 1]
    assert [job_id for page in pages for job_id in ids(page)] == started[::-1]


def test_last_page_may_be_full(subject: Subject) -> None:
    for _ in range(4):
        subject.start(["true"])
    first = subject.list(limit=2)
    second = subject.list(limit=2, page_token=first.next_page_token)
    assert len(second.statuses) == 2
    assert second.next_page_token == ""


def test_pages_are_not_disturbed_by_new_and_deleted_jobs(subject: Subject) -> None:
    started = [ended(subject, ["true"]) for _ in range(5)]
    page = subject.list(limit=2)
    assert ids(page) == started[:2:-1]
    subject.start(["true"])
    subject.delete(started[3])  # the last of the first page, where the second begins
    assert ids(subject.list(limit=2, page_token=page.next_page_token)) == started[2:0:-1]


@pytest.mark.parametrize("token", ["x", "%%%", "YSBi", "MSB4", "\u2600"])
def test_refuses_a_page_token_that_is_none(subject: Subject, token: str) -> None:
    with refused("INVALID_ARGUMENT") as caught:
        subject.list(page_token=token)
    assert caught.value.field == "page_token"


def test_refuses_a_negative_page_size(subject: Subject) -> None:
    with refused("INVALID_ARGUMENT"):
        subject.list(limit=-1)
