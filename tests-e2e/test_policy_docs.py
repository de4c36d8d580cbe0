"""The policy in docs/policy.md can be used, and the command tells of it what stands there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from conformance.processes import PATIENCE_SECONDS

DOCUMENT = Path(__file__).parent.parent / "docs" / "policy.md"


def block(text: str, language: str) -> str:
    """The first block of code in a language."""
    found = re.search(f"```{language}\n(.*?)```", text, re.DOTALL)
    assert found
    return found[1]


def test_the_example_is_told_as_it_stands(tmp_path: Path) -> None:
    text = DOCUMENT.read_text()
    (tmp_path / "policy.yaml").write_text(block(text, "yaml"))
    command, _, expected = block(text, "console").partition("\n")
    assert command == "$ jobworker-server policy check policy.yaml"
    told = subprocess.run(
        [sys.executable, "-m", "jobworker_server", *command.split()[2:]],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=True,
    )
    assert told.stdout.splitlines() == [line for line in expected.splitlines() if not line.startswith("warning: ")]
