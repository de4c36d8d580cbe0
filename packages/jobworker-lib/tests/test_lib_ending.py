"""The plan for a job's end, by a clock that the test moves."""

from __future__ import annotations

import pytest

from jobworker_lib import Reason, State
from jobworker_lib.shim.ending import LINGER_GRACE_SECONDS, LINGER_SECONDS, Ending, Outcome

FAILED = Outcome(exit_code=1)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("jobworker_lib.shim.ending.time.monotonic", clock)
    return clock


def test_timeout_counts_from_the_start_whenever_it_is_set(clock: Clock) -> None:
    ending = Ending(timeout=60)
    assert ending.timeout_at == 1060
    clock.now = 1050
    ending.set_timeout(70)
    assert ending.timeout_at == 1070
    ending.set_timeout(20)
    assert ending.timeout_at == 1020, "which has passed"
    ending.set_timeout(None)
    assert ending.timeout_at is None


def test_timeout_counts_over_attempts(clock: Clock) -> None:
    ending = Ending(timeout=60, restarts=2)
    clock.now = 1040
    ending.main_ended(FAILED)
    assert ending.restarts
    assert ending.timeout_at == 1060
    ending.attempt_over()
    ending.begin_again()
    assert ending.timeout_at == 1060


def test_timeout_does_not_disturb_a_stop(clock: Clock) -> None:
    ending = Ending(timeout=None)
    ending.stop(Reason.STOPPED, 10)
    ending.set_timeout(0.1)
    assert ending.timeout_at is None
    assert (ending.terminate_at, ending.kill_at) == (1000, 1010)


def test_as_many_restarts_as_the_policy_allows(clock: Clock) -> None:
    ending = Ending(timeout=None, restarts=2)
    for left in (2, 1, 0):
        ending.main_ended(FAILED)
        assert ending.restarts == (left > 0)
        ending.attempt_over()
        if left:
            ending.begin_again()
    assert (ending.record().state, ending.record().exit_code) == (State.EXITED, 1)


@pytest.mark.parametrize(
    ("outcome", "restarts"),
    [
        (Outcome(exit_code=0), False),
        (Outcome(exit_code=1), True),
        (Outcome(exit_code=255), True),
        (Outcome(signal=9), True),
        (Outcome(error_kind="command_not_found", error="command not found: x"), True),
    ],
)
def test_what_is_a_failure(clock: Clock, outcome: Outcome, restarts: bool) -> None:
    ending = Ending(timeout=None, restarts=1)
    ending.main_ended(outcome)
    assert ending.restarts == restarts


@pytest.mark.parametrize("reason", [Reason.STOPPED, Reason.TIMED_OUT, Reason.OUTPUT_LIMIT])
def test_what_ends_for_a_reason_is_not_restarted(clock: Clock, reason: Reason) -> None:
    ending = Ending(timeout=None, restarts=1)
    ending.stop(reason, 10)
    ending.main_ended(Outcome(signal=15))
    assert not ending.restarts
    assert (ending.record().state, ending.record().reason) == (State.STOPPED, reason)


def test_stop_after_a_failure_that_would_be_repeated_is_the_reason(clock: Clock) -> None:
    ending = Ending(timeout=None, restarts=1)
    ending.main_ended(FAILED)
    ending.stop(Reason.STOPPED, 10)
    assert not ending.restarts
    record = ending.record()
    assert (record.state, record.reason, record.exit_code) == (State.STOPPED, Reason.STOPPED, 1)


def test_stop_after_the_last_attempt_is_not_the_reason(clock: Clock) -> None:
    ending = Ending(timeout=None)
    ending.main_ended(FAILED)
    assert (ending.terminate_at, ending.kill_at) == (
        1000 + LINGER_SECONDS,
        1000 + LINGER_SECONDS + LINGER_GRACE_SECONDS,
    )
    ending.stop(Reason.STOPPED, 10)
    assert ending.record().reason is Reason.EXITED


def test_nothing_is_signalled_in_the_pause(clock: Clock) -> None:
    ending = Ending(timeout=None, restarts=1)
    ending.main_ended(FAILED)
    ending.attempt_over()
    assert (ending.terminate_at, ending.kill_at) == (None, None)


def test_command_that_could_not_be_executed_again_is_what_failed(clock: Clock) -> None:
    ending = Ending(timeout=None, restarts=1)
    ending.main_ended(FAILED)
    ending.attempt_over()
    ending.begin_again()
    ending.main_ended(Outcome(error_kind="command_not_found", error="command not found: x"))
    record = ending.record()
    assert (record.state, record.reason, record.error) == (
        State.FAILED, Reason.FAILED_TO_START, "command not found: x",
    )  # fmt: skip


def test_stop_does_not_wait_for_what_outlives_the_main_process(clock: Clock) -> None:
    """What is left when the main process exits has some time before SIGTERM; a stop takes it away."""
    ending = Ending(timeout=None)
    ending.main_ended(Outcome(exit_code=7))
    assert ending.terminate_at == clock.now + LINGER_SECONDS
    ending.stop(Reason.STOPPED, grace=60.0)
    assert ending.terminate_at == clock.now
    assert ending.record().state is State.EXITED
    ending.terminate_at = None  # SIGTERM was sent
    ending.stop(Reason.STOPPED, grace=60.0)
    assert ending.terminate_at is None
