"""Which text may be a name or a role."""

from __future__ import annotations

LONGEST = 256
"""Characters; the engine takes no longer name of an owner."""


def is_plain(text: object) -> bool:
    """Whether it is printable text that looks like what it is, wherever it is shown."""
    return isinstance(text, str) and 0 < len(text) <= LONGEST and text == text.strip() and text.isprintable()
