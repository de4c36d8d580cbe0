"""The log keeps each event on one line."""

from __future__ import annotations

import logging

from jobworker_server.log import OneLineFormatter


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
