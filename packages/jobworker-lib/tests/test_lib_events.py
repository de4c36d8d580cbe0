"""The event log by itself: one order for all writers, whatever befalls them, and cursors that never tell a lie."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
import uuid
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobworker_lib import CursorExpiredError, InvalidArgumentError, State
from jobworker_lib.events import log
from jobworker_lib.events.event import Cursor, Event, EventType
from jobworker_lib.events.reader import EventReader, beginning_of, end_of
from jobworker_lib.host.procfs import boot_id
from lib_testing import PATIENCE_SECONDS, program, wait_until


@pytest.fixture
def events(tmp_path: Path) -> str:
    directory = str(tmp_path / "events")
    log.prepare(directory)
    return directory


def make(number: int, owner: str = "ann") -> Event:
    return Event(
        type=EventType.CREATED, job_id=str(uuid.UUID(int=number)), time_ns=number, owner=owner, state=State.STARTING
    )


def numbers(batch: list[Event]) -> list[int]:
    return [event.time_ns for event in batch]


def read_all(events: str, cursor: Cursor | None = None) -> list[Event]:
    found = []
    with EventReader(events, cursor or beginning_of(events)[0]) as reader:
        while batch := reader.next_batch():
            found += batch
    return found


def read_on(reader: EventReader) -> None:
    while reader.next_batch():
        pass


def newest_segment(events: str) -> Path:
    return Path(log.segment_path(events, log.segments(events)[-1]))


def test_tells_what_was_appended_in_its_order(events: str) -> None:
    written = [make(number, owner=f"é {number}") for number in range(1000)]
    for event in written:
        log.append(events, event)
    found = read_all(events)
    assert [(event.job_id, event.time_ns, event.owner, event.state, event.type) for event in found] == [
        (event.job_id, event.time_ns, event.owner, event.state, event.type) for event in written
    ]


def test_any_cursor_goes_on_where_it_was(events: str) -> None:
    for number in range(20):
        log.append(events, make(number))
    for event in read_all(events):
        assert numbers(read_all(events, Cursor.parse(event.cursor))) == list(range(event.time_ns + 1, 20))


def test_reader_at_the_end_sees_what_comes(events: str) -> None:
    log.append(events, make(1))
    with EventReader(events, end_of(events)) as reader:
        assert reader.next_batch() == []
        log.append(events, make(2))
        assert numbers(reader.next_batch()) == [2]
        assert reader.next_batch() == []


@pytest.mark.parametrize("text", ["", "x", "0-0", "0123456789abcdef", "0123456789abcdef--1", "0123456789abcdef-1-2"])
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match="cursor"):
        Cursor.parse(text)


def test_cursor_of_another_log_has_expired(events: str) -> None:
    with pytest.raises(CursorExpiredError):
        EventReader(events, Cursor("0123456789abcdef", 0))


def test_cursor_beyond_the_end_has_expired(events: str) -> None:
    end = end_of(events)
    with pytest.raises(CursorExpiredError):
        EventReader(events, end._replace(offset=end.offset + 1))


def test_log_of_an_earlier_boot_begins_anew(events: str) -> None:
    log.append(events, make(1))
    before = end_of(events)
    head = Path(events, "head")
    head.write_text(head.read_text().replace(boot_id(), "0" * 36))
    log.prepare(events)
    with pytest.raises(CursorExpiredError):
        EventReader(events, before)
    assert read_all(events) == []
    log.append(events, make(2))
    assert numbers(read_all(events)) == [2]


@pytest.mark.parametrize("content", [b"", b"x", b"x" * 100])
def test_damaged_head_begins_a_new_log(events: str, content: bytes) -> None:
    log.append(events, make(1))
    before = end_of(events)
    Path(events, "head").write_bytes(content)
    with pytest.raises(OSError, match="damaged"):
        log.append(events, make(2))
    log.prepare(events)
    log.append(events, make(3))
    assert numbers(read_all(events)) == [3]
    with pytest.raises(CursorExpiredError):
        EventReader(events, before)


def test_segments_are_rotated_and_the_oldest_dropped(events: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "SEGMENT_BYTES", 1000)
    first = beginning_of(events)[0]
    with EventReader(events, first) as up_to_date, EventReader(events, first) as slow:
        seen = []
        for number in range(200):
            log.append(events, make(number))
            seen += up_to_date.next_batch()
        assert numbers(seen) == list(range(200))
        assert len(log.segments(events)) == log.SEGMENTS_KEPT
        with pytest.raises(CursorExpiredError):
            read_on(slow)
    with pytest.raises(CursorExpiredError):
        EventReader(events, first)
    kept = numbers(read_all(events))
    assert kept == list(range(kept[0], 200))
    assert len(kept) >= 3 * 1000 // 150


def test_crash_in_a_rotation_loses_nothing(events: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "SEGMENT_BYTES", 1000)
    written = 0
    while newest_segment(events).stat().st_size < 1000:
        log.append(events, make(written))
        written += 1
    end = log.segments(events)[-1] + newest_segment(events).stat().st_size
    Path(log.segment_path(events, end)).write_bytes(b"half a he")
    assert numbers(read_all(events)) == list(range(written))
    for number in range(written, written + 3):
        log.append(events, make(number))
    assert numbers(read_all(events)) == list(range(written + 3))


@given(
    steps=st.lists(
        st.one_of(st.just(None), st.binary(min_size=1, max_size=200).filter(lambda torn: not torn.endswith(b"\n"))),
        max_size=30,
    ),
    segment_bytes=st.integers(200, 2000),
)
@settings(deadline=None, max_examples=60)
def test_torn_writes_spoil_nothing_that_follows(
    tmp_path_factory: pytest.TempPathFactory, steps: list[bytes | None], segment_bytes: int
) -> None:
    """None appends an event; bytes are what a writer left that died in the midst of one."""
    events = str(tmp_path_factory.mktemp("log") / "events")
    log.prepare(events)
    written = 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(log, "SEGMENT_BYTES", segment_bytes)
        patch.setattr(log, "SEGMENTS_KEPT", 1000)
        with EventReader(events, beginning_of(events)[0]) as follower:
            followed = []
            for step in steps:
                if step is None:
                    log.append(events, make(written))
                    written += 1
                else:
                    with newest_segment(events).open("ab") as segment:
                        segment.write(step)
                followed += follower.next_batch()
            followed += follower.next_batch()
        assert numbers(followed) == list(range(written))
        assert numbers(read_all(events)) == list(range(written))


def test_write_that_a_full_disk_cuts_short_leaves_nothing(events: str) -> None:
    """The largest size of a file stands in for the end of the disk: write(2) is cut short in the same way."""
    log.append(events, make(1))
    room = newest_segment(events).stat().st_size + 20
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        with pytest.raises(OSError, match=r"space|large"):
            log.append(events, make(2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    log.append(events, make(3))
    assert numbers(read_all(events)) == [1, 3]
    assert newest_segment(events).read_bytes().count(b"\n") == 3


WRITER = """
import sys, uuid
from jobworker_lib.events import log
from jobworker_lib.events.event import Event, EventType
log.SEGMENT_BYTES = 20_000
log.SEGMENTS_KEPT = 1_000_000
writer, count = int(sys.argv[2]), int(sys.argv[3])
for number in range(count):
    event = Event(
        type=EventType.CREATED, job_id=str(uuid.UUID(int=number)), time_ns=number, owner=str(writer), state=None
    )
    log.append(sys.argv[1], event)
    if number == 0:
        print("writes", flush=True)
"""


def test_several_processes_write_one_log(events: str) -> None:
    count, writers = 500, range(4)
    with EventReader(events, beginning_of(events)[0]) as reader:
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", WRITER, events, str(writer), str(count)],
                stdout=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            )
            for writer in writers
        ]
        live: list[Event] = []
        while any(process.poll() is None for process in processes):
            live += reader.next_batch()
        while batch := reader.next_batch():
            live += batch
    assert [process.returncode for process in processes] == [0] * len(writers)
    for writer in writers:
        assert [event.time_ns for event in live if event.owner == str(writer)] == list(range(count))
    assert [event.cursor for event in live] == [event.cursor for event in read_all(events)]


def test_killed_writers_hold_up_nobody_and_lose_only_what_they_had_not_written(events: str) -> None:
    for writer in range(5):
        with program(WRITER, events, writer, 1_000_000) as process:
            assert process.stdout
            assert process.stdout.readline() == "writes\n"
            process.kill()
            process.wait(PATIENCE_SECONDS)
        log.append(events, make(writer, owner="test"))
    found = read_all(events)
    for writer in range(5):
        mine = [event.time_ns for event in found if event.owner == str(writer)]
        assert mine == list(range(len(mine)))
    assert [event.time_ns for event in found if event.owner == "test"] == list(range(5))


def test_segment_that_a_killed_writer_had_begun_is_in_nobodys_way(events: str, monkeypatch: pytest.MonkeyPatch) -> None:
    log.append(events, make(1))
    begun = newest_segment(events).stat().st_size
    Path(log.segment_path(events, begun)).write_bytes(b"")
    log.append(events, make(2))  # by who holds larger segments to be right
    monkeypatch.setattr(log, "SEGMENT_BYTES", 1)
    log.append(events, make(3))
    assert numbers(read_all(events)) == [1, 2, 3]


def test_end_is_never_in_the_midst_of_an_event(events: str) -> None:
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            log.append(events, make(0))

    thread = threading.Thread(target=write)
    thread.start()
    try:
        wait_until(lambda: read_all(events), "the first event")
        for _ in range(200):
            cursor = end_of(events)
            base = max(begin for begin in log.segments(events) if begin < cursor.offset)  # another may begin now
            data = Path(log.segment_path(events, base)).read_bytes()
            assert data[cursor.offset - base - 1 : cursor.offset - base] == b"\n"
    finally:
        stop.set()
        thread.join()
