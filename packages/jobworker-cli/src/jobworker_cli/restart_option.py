"""``--restart``: whether and how often a command that fails is executed again."""

from __future__ import annotations

import difflib
import re

import typer

NEVER, ON_FAILURE = "never", "on-failure"
MOST = 1000
"""How often at most, which is also what ``on-failure`` alone means."""

_ELSEWHERE = {"no": NEVER, "none": NEVER, "off": NEVER, "always": ON_FAILURE, "unless-stopped": ON_FAILURE}
"""What other programs call it, and what is nearest to that here."""


def restarts(text: str) -> int:
    """How often ``--restart`` has a command executed again at most; 0: never. typer.BadParameter."""
    name, colon, number = text.partition(":")
    if text == NEVER:
        return 0
    if text == ON_FAILURE:
        return MOST
    if name == ON_FAILURE and _is_number(number) and 1 <= int(number) <= MOST:
        return int(number)
    if _is_number(text) and int(text) <= MOST:
        return int(text)
    if (name == ON_FAILURE and colon) or re.fullmatch(r"[-+]?[0-9]+", text):
        raise typer.BadParameter(f"expected on-failure:N with a whole number from 1 to {MOST}", param_hint="--restart")
    near = _ELSEWHERE.get(name) or next(iter(difflib.get_close_matches(name.lower(), [NEVER, ON_FAILURE], n=1)), None)
    hint = f"; did you mean {near}?" if near else ""
    raise typer.BadParameter(f"expected {NEVER}, {ON_FAILURE} or {ON_FAILURE}:N{hint}", param_hint="--restart")


def _is_number(text: str) -> bool:
    return re.fullmatch("[0-9]{1,9}", text) is not None
