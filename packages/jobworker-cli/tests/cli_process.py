"""The command line as a process of its own."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess

TIMEOUT_SECONDS = 60

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
Spawn = Callable[..., "subprocess.Popen[bytes]"]


def command_line(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "jobworker_cli", *arguments]
