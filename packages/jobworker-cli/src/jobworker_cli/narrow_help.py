"""Help that fits narrow terminals, which typer writes for 50 columns at least."""

from __future__ import annotations

import shutil
from functools import partial
from typing import Any

_NARROW = 60
_NAME_COLUMNS = 10
"""As wide as the longest command; a longer option stands on a line of its own."""


class NarrowHelp:
    """A command whose help is as narrow as the terminal."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help."""
        width = ctx.terminal_width or shutil.get_terminal_size().columns - 2
        if width < _NARROW:
            formatter.width = max(width, 20)
            formatter.write_dl = partial(formatter.write_dl, col_max=_NAME_COLUMNS)
        super().format_help(ctx, formatter)  # type: ignore[misc]  # typer's, which comes after this one
