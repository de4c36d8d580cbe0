"""The server's log: one line an event, on standard error."""

from __future__ import annotations

import logging
import sys


class OneLineFormatter(logging.Formatter):
    """Keeps each event on one line, a traceback included, so that nothing a client sends can forge another."""

    def format(self, record: logging.LogRecord) -> str:
        """The event as one line of printable characters."""
        return "".join(map(_escaped, super().format(record)))


def set_up() -> None:
    """Send the log of this process to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(OneLineFormatter("%(asctime)s %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def _escaped(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode()
