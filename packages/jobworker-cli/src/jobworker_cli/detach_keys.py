"""The keys that leave a job without ending it, found in what is typed."""

from __future__ import annotations

_FIRST = b"\x10"  # Ctrl-P
_SECOND = b"\x11"  # Ctrl-Q

PATIENCE_SECONDS = 1.0
"""How long the first key is held back for the second."""


class DetachKeys:
    """Ctrl-P Ctrl-Q. All other keys are handed on, Ctrl-P too, which is held back until it is known to be alone."""

    def __init__(self) -> None:
        self.holds_back = False

    def typed(self, data: bytes) -> tuple[bytes, bool]:
        """What of it, and of what was held back, is for the job; and whether it is to be left now."""
        data = self.give_up() + data
        before, found, _ = data.partition(_FIRST + _SECOND)
        if not found and data.endswith(_FIRST):
            self.holds_back = True
            before = data[:-1]
        return before, bool(found)

    def give_up(self) -> bytes:
        """What was held back: the second key did not come."""
        held, self.holds_back = self.holds_back, False
        return _FIRST if held else b""
