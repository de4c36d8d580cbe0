"""The first output that is dropped to keep a limit is an event."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobworker_lib import Engine, OutputLimit
from jobworker_lib.events.event import EventType
from jobworker_lib.events.reader import EventReader, beginning_of
from jobworker_lib.output.limit import OutputLimitAction
from lib_testing import sh, wait_until


def events_in(state_dir: Path) -> list[EventType]:
    log = str(state_dir / "events")
    with EventReader(log, beginning_of(log)[0]) as reader:
        return [event.type for event in reader.next_batch()]


@pytest.mark.parametrize("action", ["stop", "drop_oldest"])
@pytest.mark.parametrize(("size", "is_truncated"), [(65536, False), (200_000, True)])
def test_truncation_is_told_once(
    engine: Engine, state_dir: Path, action: OutputLimitAction, size: int, is_truncated: bool
) -> None:
    job = engine.start(sh('head -c "$1" /dev/zero', size), output_limit=OutputLimit(65536, action))
    status = job.wait()
    assert (status.output_dropped_bytes > 0) == is_truncated
    expected = [EventType.CREATED, EventType.STARTED, EventType.OUTPUT_TRUNCATED, EventType.ENDED]
    wait_until(lambda: events_in(state_dir)[-1] is EventType.ENDED, "the last event")
    assert events_in(state_dir) == [
        event for event in expected if is_truncated or event is not EventType.OUTPUT_TRUNCATED
    ]
