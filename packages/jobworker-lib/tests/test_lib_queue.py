"""The queue of a state directory: bounds, turns, and what becomes of a job that waits."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from jobworker_lib import (
    Bounds,
    Engine,
    InvalidArgumentError,
    Job,
    JobNotRunningError,
    JobRunningError,
    QuotaExceededError,
    Reason,
    RestartPolicy,
    State,
)
from lib_testing import PATIENCE_SECONDS, SLEEPER, keepers, sh, wait_until

ONE = Bounds(running=1)

Open = Callable[[Bounds | None], Engine]


@pytest.fixture
def opened(state_dir: Path) -> Callable[[Bounds | None], Engine]:
    """Opens engines; what they leave running is ended with the state directory."""
    return lambda bounds: Engine(state_dir, bounds=bounds)


def state_of(job: Job) -> State:
    return job.status().state


def recorded(path: Path, name: object) -> list[str]:
    """A command that writes its name down when it is executed."""
    return sh('echo "$1" >> "$2"', name, path)


def names(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def test_job_beyond_the_bound_waits_for_its_turn(opened: Open, state_dir: Path) -> None:
    with opened(ONE) as engine:
        first, second = engine.start(SLEEPER), engine.start(["echo", "second"])
        assert (state_of(first), state_of(second)) == (State.RUNNING, State.QUEUED)
        assert (second.status().started_at, second.status().attempts) == (None, ())
        assert [job.id for job in engine.list(state="queued")] == [second.id]
        assert second.status().describe() == "queued"
        first.stop()
        assert second.wait(PATIENCE_SECONDS).exit_code == 0
        assert b"".join(chunk.data for chunk in second.output()) == b"second\n"
        wait_until(lambda: not keepers(state_dir), "the end of the keeper")


def test_reader_and_waiter_wait_with_it(opened: Open) -> None:
    with opened(ONE) as engine:
        first = engine.start(sh("sleep 0.5"))
        result = engine.run(["echo", "second"])
        assert (result.stdout, result.exit_code) == (b"second\n", 0)
        assert state_of(first) is State.EXITED


def test_order_of_equal_ones_is_that_of_their_starts(opened: Open, tmp_path: Path) -> None:
    with opened(ONE) as engine:
        first = engine.start(SLEEPER)
        jobs = [engine.start(recorded(tmp_path / "ran", number)) for number in range(10)]
        first.stop()
        for job in jobs:
            job.wait(PATIENCE_SECONDS)
    assert names(tmp_path / "ran") == [str(number) for number in range(10)]


def test_higher_priority_comes_first(opened: Open, tmp_path: Path) -> None:
    with opened(ONE) as engine:
        first = engine.start(SLEEPER)
        jobs = [
            engine.start(recorded(tmp_path / "ran", f"{priority} {number}"), priority=priority)
            for number in range(3)
            for priority in (-5, 0, 7)
        ]
        first.stop()
        for job in jobs:
            job.wait(PATIENCE_SECONDS)
    assert names(tmp_path / "ran") == [f"{priority} {number}" for priority in (7, 0, -5) for number in range(3)]


def test_owner_at_their_own_bound_holds_up_nobody(opened: Open) -> None:
    with opened(Bounds(running=3, running_per_owner=1)) as engine:
        ann = [engine.start(SLEEPER, owner="ann") for _ in range(3)]
        bob = engine.start(SLEEPER, owner="bob")
        assert [state_of(job) for job in ann] == [State.RUNNING, State.QUEUED, State.QUEUED]
        assert state_of(bob) is State.RUNNING
        ann[0].stop()
        wait_until(lambda: state_of(ann[1]) is State.RUNNING, "the next of the same owner")
        assert state_of(ann[2]) is State.QUEUED


def test_owner_at_their_own_bound_holds_up_nobody_behind_them(opened: Open) -> None:
    with opened(Bounds(running=2, running_per_owner=1)) as engine:
        _, bob = engine.start(SLEEPER, owner="ann"), engine.start(SLEEPER, owner="bob")
        ann_waits, bob_waits = engine.start(SLEEPER, owner="ann"), engine.start(SLEEPER, owner="bob")
        bob.stop()
        wait_until(lambda: state_of(bob_waits) is State.RUNNING, "the start of who may run")
        assert state_of(ann_waits) is State.QUEUED


def test_nobody_is_overtaken_but_by_priority(opened: Open, tmp_path: Path) -> None:
    """A place that gets free is that of who waits for it, not of who asks just then."""
    with opened(ONE) as engine:
        first = engine.start(SLEEPER)
        waiting = engine.start(recorded(tmp_path / "ran", "waiting"))
        first.stop()
        late = engine.start(recorded(tmp_path / "ran", "late"))
        late.wait(PATIENCE_SECONDS)
        waiting.wait(PATIENCE_SECONDS)
    assert names(tmp_path / "ran") == ["waiting", "late"]


def test_refused_instead(opened: Open) -> None:
    with opened(Bounds(running=2, when_full="refuse")) as engine:
        first, _ = engine.start(SLEEPER), engine.start(SLEEPER)
        with pytest.raises(QuotaExceededError, match="as many jobs run as may: 2"):
            engine.start(SLEEPER)
        assert len(engine.list()) == 2
        first.stop()
        assert state_of(engine.start(SLEEPER)) is State.RUNNING


def test_refused_for_the_owner(opened: Open) -> None:
    with opened(Bounds(running_per_owner=1, when_full="refuse")) as engine:
        engine.start(SLEEPER, owner="ann")
        with pytest.raises(QuotaExceededError, match="as many of your jobs run as may: 1"):
            engine.start(SLEEPER, owner="ann")
        engine.start(SLEEPER, owner="bob")


def test_as_many_wait_as_may(opened: Open) -> None:
    with opened(Bounds(running=1, queued=2)) as engine:
        _, second, _ = (engine.start(SLEEPER) for _ in range(3))
        with pytest.raises(QuotaExceededError, match="and as many wait as may: 2"):
            engine.start(SLEEPER)
        second.stop()
        assert state_of(engine.start(SLEEPER)) is State.QUEUED


def test_bounds_hold_for_all_engines_until_others_are_set(opened: Open) -> None:
    with opened(ONE) as engine, opened(None) as other:
        engine.start(SLEEPER)
        waiting = [other.start(SLEEPER) for _ in range(3)]
        assert {state_of(job) for job in waiting} == {State.QUEUED}
        opened(Bounds(running=3)).close()
        wait_until(lambda: state_of(waiting[1]) is State.RUNNING, "the start of what may run now")
        assert state_of(waiting[2]) is State.QUEUED
        opened(Bounds()).close()
        wait_until(lambda: state_of(waiting[2]) is State.RUNNING, "the start of all")
        assert state_of(engine.start(SLEEPER)) is State.RUNNING


def test_bounds_are_kept(opened: Open) -> None:
    opened(ONE).close()
    with opened(None) as engine:
        engine.start(SLEEPER)
        assert state_of(engine.start(SLEEPER)) is State.QUEUED


def test_cancelled(opened: Open, tmp_path: Path, state_dir: Path) -> None:
    with opened(ONE) as engine:
        engine.start(SLEEPER)
        waiting = engine.start(recorded(tmp_path / "ran", "waiting"))
        status = waiting.stop()
        assert (status.state, status.reason, status.exit_code, status.signal) == (
            State.STOPPED, Reason.STOPPED, None, None,
        )  # fmt: skip
        assert (status.started_at, status.describe()) == (None, "stopped")
        assert list(waiting.output()) == []
        with pytest.raises(JobNotRunningError):
            waiting.stop()
        assert [job.id for job in engine.list(state="stopped")] == [waiting.id]
        waiting.delete()
        assert len(engine.list()) == 1
        wait_until(lambda: not keepers(state_dir), "the end of the keeper")
    assert names(tmp_path / "ran") == []


def test_what_needs_a_running_job_is_refused(opened: Open) -> None:
    with opened(ONE) as engine:
        engine.start(SLEEPER)
        waiting = engine.start(SLEEPER)
        with pytest.raises(JobNotRunningError):
            waiting.signal("SIGHUP")
        with pytest.raises(JobRunningError, match="has not ended; stop it first"):
            waiting.delete()


def test_timeout_that_is_changed_meanwhile_counts_from_the_start(opened: Open) -> None:
    with opened(ONE) as engine:
        first, waiting = engine.start(SLEEPER), engine.start(SLEEPER, timeout=1000)
        waiting.set_timeout(0.3)
        assert waiting.status().timeout == 0.3
        first.stop()
        status = waiting.wait(PATIENCE_SECONDS)
        assert status.reason is Reason.TIMED_OUT
        assert status.started_at is not None
        assert status.ended_at is not None
        assert (status.ended_at - status.started_at).total_seconds() >= 0.3


def test_start_deadline(opened: Open) -> None:
    with opened(ONE) as engine:
        first = engine.start(SLEEPER, start_deadline=0.2)
        late, patient = engine.start(SLEEPER, start_deadline=0.2), engine.start(SLEEPER, start_deadline=1000)
        status = late.wait(PATIENCE_SECONDS)
        assert (status.state, status.reason, status.started_at) == (State.FAILED, Reason.FAILED_TO_START, None)
        assert status.error == "the start deadline has passed: it was still queued after 0.2 seconds"
        assert state_of(first) is State.RUNNING
        first.stop()
        wait_until(lambda: state_of(patient) is State.RUNNING, "the start of what has time")


def test_command_that_can_not_be_executed_fails_when_its_turn_comes(opened: Open) -> None:
    with opened(ONE) as engine:
        first, waiting = engine.start(SLEEPER), engine.start(["/no/such/command"])
        after = engine.start(["true"])
        first.stop()
        status = waiting.wait(PATIENCE_SECONDS)
        assert (status.state, status.error) == (State.FAILED, "command not found: /no/such/command")
        assert after.wait(PATIENCE_SECONDS).exit_code == 0


def test_repeated_request_gives_the_queued_job(opened: Open) -> None:
    with opened(Bounds(running=1, queued=1)) as engine, opened(None) as other:
        engine.start(SLEEPER)
        waiting = engine.start(SLEEPER, request_id="request")
        assert other.start(SLEEPER, request_id="request").id == waiting.id
        assert state_of(waiting) is State.QUEUED


def test_no_keeper_without_a_queue(opened: Open, state_dir: Path) -> None:
    with opened(ONE) as engine:
        engine.start(SLEEPER)
        engine.list()
    opened(None).close()
    assert keepers(state_dir) == []


@pytest.mark.parametrize(
    ("field", "bounds"),
    [
        ("bounds.running", Bounds(running=0)),
        ("bounds.running_per_owner", Bounds(running_per_owner=-1)),
        ("bounds.queued", Bounds(running=1, queued=-1)),
        ("bounds.when_full", Bounds(running=1, when_full="panic")),  # type: ignore[arg-type]  # that is refused
    ],
)
def test_bounds_that_can_not_be_used(opened: Open, state_dir: Path, field: str, bounds: Bounds) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        opened(bounds)
    assert caught.value.field == field
    assert not (state_dir / "bounds.json").exists()


def test_bounds_of_a_later_version(opened: Open, state_dir: Path) -> None:
    opened(ONE).close()
    known = json.loads((state_dir / "bounds.json").read_text())
    (state_dir / "bounds.json").write_text(json.dumps(known | {"weather": "fine"}))
    with opened(None) as engine:
        engine.start(SLEEPER)
        assert state_of(engine.start(SLEEPER)) is State.QUEUED


def test_a_bound_of_a_start_counts_all_jobs_of_its_owner(opened: Open) -> None:
    with opened(None) as engine:
        first, _ = engine.start(SLEEPER, owner="ann"), engine.start(SLEEPER, owner="bob")
        bounded = engine.start(["true"], owner="ann", running_per_owner=1)
        assert state_of(bounded) is State.QUEUED
        assert state_of(engine.start(SLEEPER, owner="ann")) is State.RUNNING, "one without a bound does not wait"
        assert state_of(engine.start(SLEEPER, owner="eve", running_per_owner=1)) is State.RUNNING
        first.stop()
        assert state_of(bounded) is State.QUEUED
        for job in engine.list(owner="ann", state=State.RUNNING):
            job.stop()
        assert bounded.wait(PATIENCE_SECONDS).exit_code == 0


def test_of_a_bound_of_a_start_and_one_of_the_engine_the_smaller_holds(opened: Open) -> None:
    with opened(Bounds(running_per_owner=2, when_full="refuse")) as engine:
        engine.start(SLEEPER)
        with pytest.raises(QuotaExceededError, match="as many of your jobs run as may: 1"):
            engine.start(SLEEPER, running_per_owner=1)
        engine.start(SLEEPER, running_per_owner=3)
        with pytest.raises(QuotaExceededError, match="as many of your jobs run as may: 2"):
            engine.start(SLEEPER, running_per_owner=3)


def test_a_bound_of_a_start_outlives_the_index(opened: Open, state_dir: Path) -> None:
    with opened(None) as engine:
        first = engine.start(SLEEPER)
        bounded = engine.start(["true"], running_per_owner=1)
    for path in state_dir.glob("index.db*"):
        path.unlink(missing_ok=True)  # a keeper that finds its file gone removes the others, too
    with opened(None) as engine:
        assert [job.id for job in engine.list(state="queued")] == [bounded.id]
        engine.get(first.id).stop()
        assert engine.get(bounded.id).wait(PATIENCE_SECONDS).exit_code == 0


def test_a_start_can_bound_how_many_of_its_owner_wait(opened: Open) -> None:
    with opened(Bounds(running_per_owner=1)) as engine:
        running = engine.start(SLEEPER, owner="ann")
        for _ in range(2):
            engine.start(SLEEPER, owner="ann", queued_per_owner=2)
        told = "as many of your jobs run as may: 1, and as many of yours wait as may: 2; start it again when"
        with pytest.raises(QuotaExceededError, match=told):
            engine.start(SLEEPER, owner="ann", priority=1000, queued_per_owner=2)
        assert len(engine.list(owner="ann")) == 3, "nothing is left of what was refused"
        assert state_of(engine.start(SLEEPER, owner="ann")) is State.QUEUED, "one without a bound waits"
        assert state_of(engine.start(SLEEPER, owner="bob", queued_per_owner=0)) is State.RUNNING
        for job in engine.list(owner="ann", state=State.QUEUED):
            job.stop()
        running.stop()
        assert state_of(engine.start(SLEEPER, owner="ann", queued_per_owner=0)) is State.RUNNING


def test_a_job_that_is_restarted_does_not_wait_and_is_not_counted_as_one_that_does(opened: Open) -> None:
    with opened(Bounds(running_per_owner=1)) as engine:
        failing = engine.start(["false"], restart=RestartPolicy(max_restarts=1000, backoff=0.01, max_backoff=0.01))
        waiting = engine.start(["true"], queued_per_owner=1)
        wait_until(lambda: len(failing.status().attempts) > 3, "restarts")
        assert state_of(waiting) is State.QUEUED
        with pytest.raises(QuotaExceededError, match="as many of yours wait as may: 1"):
            engine.start(["true"], queued_per_owner=1)
        failing.stop()
        assert waiting.wait(PATIENCE_SECONDS).exit_code == 0


@pytest.mark.parametrize(("bound", "least"), [("running_per_owner", 1), ("queued_per_owner", 0)])
def test_a_bound_of_a_start_must_be_one(opened: Open, bound: str, least: int) -> None:
    with opened(None) as engine, pytest.raises(InvalidArgumentError, match=f"{bound}: give {least} or more jobs"):
        engine.start(["true"], **{bound: least - 1})  # type: ignore[arg-type]  # both are whole numbers
