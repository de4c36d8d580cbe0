"""The log keeps each event on one line, and waits for nobody who reads it."""

from __future__ import annotations

import fcntl
import logging
import os
import re
import time
from collections.abc import Iterator
from itertools import islice

import pytest

from jobworker_server.log import OneLineFormatter, UnhurriedHandler
from server_testing import wait_until

PIPE_BYTES = 4096


def line(message: str, **fields: object) -> str:
    record = logging.makeLogRecord({"msg": message, "levelname": "INFO", **fields})
    return OneLineFormatter("%(levelname)s %(message)s").format(record)


def test_control_characters_are_escaped() -> None:
    assert line("a\nINFO forged\r\x1b[2J\u2028\x00") == "INFO a\\nINFO forged\\r\\x1b[2J\\u2028\\x00"


def test_text_of_all_languages_is_kept() -> None:
    assert line("äß漢😀") == "INFO äß漢😀"


def test_a_traceback_is_on_the_line_too() -> None:
    try:
        raise ValueError("bad\nvalue")
    except ValueError as error:
        text = line("failed", exc_info=(type(error), error, error.__traceback__))
    assert "\n" not in text
    assert "Traceback" in text
    assert "ValueError: bad\\nvalue" in text


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """The ends of a pipe that holds little."""
    ends = os.pipe()
    fcntl.fcntl(ends[1], fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    yield ends
    for end in ends:
        os.close(end)


def say(handler: logging.Handler, message: object) -> None:
    handler.handle(logging.makeLogRecord({"msg": str(message), "levelno": logging.INFO}))


def lines_of(descriptor: int) -> Iterator[str]:
    rest = ""
    while True:
        *whole, rest = (rest + os.read(descriptor, PIPE_BYTES).decode()).split("\n")
        yield from whole


def test_lines_are_written_in_order(pipe: tuple[int, int]) -> None:
    handler = UnhurriedHandler(pipe[1])
    for number in range(100):
        say(handler, number)
    handler.close()
    assert list(islice(lines_of(pipe[0]), 100)) == [str(number) for number in range(100)]


def test_a_reader_that_stands_still_holds_up_nobody_and_learns_what_is_missing_where(pipe: tuple[int, int]) -> None:
    handler = UnhurriedHandler(pipe[1], most_waiting_bytes=10_000)
    for number in range(1000):
        say(handler, f"{number:0100}")
    lines = lines_of(pipe[0])
    assert int(next(lines)) == 0
    wait_until(lambda: handler._waiting_bytes < 9000)  # there is room again, and much is not written yet
    for number in range(1000, 1010):
        say(handler, f"{number:0100}")
    number, dropped = 1, 0
    while number < 1010:
        line = next(lines)
        if told := re.fullmatch(r"(\d+) lines were dropped here, because .*", line):
            number += int(told[1])
            dropped += int(told[1])
        else:
            assert int(line) == number
            number += 1
    assert 500 < dropped < 1000
    handler.close()


def test_the_end_does_not_wait_for_a_reader_for_long(pipe: tuple[int, int]) -> None:
    handler = UnhurriedHandler(pipe[1])
    for _ in range(100):
        say(handler, "0" * 100)
    began = time.monotonic()
    handler.close()
    handler.close()
    assert time.monotonic() - began < 10
    os.set_blocking(pipe[0], False)
    while True:  # lets the thread go
        try:
            os.read(pipe[0], 1 << 16)
        except BlockingIOError:
            if not handler._lines:
                break


def test_a_reader_that_is_gone_harms_nobody() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    handler = UnhurriedHandler(write_end)
    for number in range(100):
        say(handler, number)
    handler.close()
    assert not handler._lines
    os.close(write_end)


def test_a_descriptor_that_others_made_non_blocking(pipe: tuple[int, int]) -> None:
    os.set_blocking(pipe[1], False)
    handler = UnhurriedHandler(pipe[1])
    for number in range(1000):
        say(handler, f"{number:0100}")
    assert [int(line) for line in islice(lines_of(pipe[0]), 1000)] == list(range(1000))
    handler.close()
