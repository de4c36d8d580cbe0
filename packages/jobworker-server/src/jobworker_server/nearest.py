"""What somebody may have meant who wrote something that there is not."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint: the known name that is nearest, or all of them where none is near."""
    by_lower_case = {right.lower(): right for right in known}
    near = difflib.get_close_matches(name.lower(), by_lower_case, n=1, cutoff=0.5)
    if near:
        return f"did you mean {by_lower_case[near[0]]!r}?"
    return f"there are {', '.join(by_lower_case.values())}" if by_lower_case else "there are none"
