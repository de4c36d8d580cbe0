from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest

from conformance.jobs import SLEEPER, awaiting, refused, sh
from conformance.subjects import Happening, Subject


def kinds(happenings: list[Happening]) -> list[tuple[str, str]]:
    return [(happening.kind, happening.job_id) for happening in happenings]


def life(job_id: str) -> list[tuple[str, str]]:
    return [("created", job_id), ("started", job_id), ("ended", job_id)]


def test_tells_what_happens_to_a_job(subject: Subject) -> None:
    cursor = subject.cursor()
    job_id = subject.start(["true"])
    subject.wait(job_id)
    subject.delete(job_id)
    assert kinds(list(islice(subject.watch(cursor), 4))) == [*life(job_id), ("deleted", job_id)]


def test_tells_it_as_it_happens(subject: Subject, tmp_path: Path) -> None:
    happenings = subject.watch(subject.cursor())
    job_id = subject.start(sh(awaiting(tmp_path / "gate")))
    assert kinds(list(islice(happenings, 2))) == life(job_id)[:2]
    (tmp_path / "gate").touch()
    assert kinds([next(happenings)]) == life(job_id)[2:]


def test_tells_of_a_start_that_failed(subject: Subject) -> None:
    cursor = subject.cursor()
    with refused("COMMAND_NOT_FOUND") as caught:
        subject.start(["no-such-command-anywhere"])
    job_id = caught.value.job_id
    assert kinds(list(islice(subject.watch(cursor), 2))) == [("created", job_id), ("ended", job_id)]


def test_goes_on_after_any_cursor_without_a_gap_or_a_repetition(subject: Subject) -> None:
    cursor = subject.cursor()
    started = [subject.start(["true"]) for _ in range(4)]
    for job_id in started:
        subject.wait(job_id)
    whole = list(islice(subject.watch(cursor), 12))
    assert sorted(kinds(whole)) == sorted(pair for job_id in started for pair in life(job_id))
    for position in (0, 4, 10):
        rest = islice(subject.watch(whole[position].cursor), 11 - position)
        assert list(rest) == whole[position + 1 :]


def test_goes_on_after_a_restart(subject: Subject) -> None:
    job_id = subject.start(SLEEPER)
    cursor = subject.cursor()
    subject.restart()
    subject.stop(job_id, force=True)
    assert kinds(list(islice(subject.watch(cursor), 1))) == [("ended", job_id)]


@pytest.mark.parametrize("cursor", ["x", "0123456789abcdef", "0123456789abcdef-1x"])
def test_refuses_what_is_no_cursor(subject: Subject, cursor: str) -> None:
    with refused("INVALID_ARGUMENT") as caught:
        next(subject.watch(cursor))
    assert caught.value.field == "cursor"


def test_refuses_the_cursor_of_another_log(subject: Subject) -> None:
    with refused("CURSOR_EXPIRED"):
        next(subject.watch("0123456789abcdef-17"))


def test_wait_for_any_and_for_all(subject: Subject, tmp_path: Path) -> None:
    jobs = [subject.start(sh(f"{awaiting(tmp_path / str(number))}; exit {number}")) for number in range(3)]
    (tmp_path / "1").touch()
    assert [status.exit_code for status in subject.wait_for(jobs, any=True)] == [1]
    (tmp_path / "0").touch()
    (tmp_path / "2").touch()
    assert [status.exit_code for status in subject.wait_for(jobs)] == [0, 1, 2]
