"""A value of the configuration that knows where it came from."""

from __future__ import annotations

from typing import NamedTuple


class Setting(NamedTuple):
    """A value as it was given, and its source as an error message names it."""

    value: str
    source: str
