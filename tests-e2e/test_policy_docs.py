"""What docs/policy.md and docs/identity.md show can be used, and the command tells of it what stands there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from conformance.processes import PATIENCE_SECONDS
from jobworker_server.config import resolve

DOCUMENTS = Path(__file__).parent.parent / "docs"


def block(text: str, language: str) -> str:
    """The first block of code in a language."""
    found = re.search(f"```{language}\n(.*?)```", text, re.DOTALL)
    assert found
    return found[1]


def test_the_example_is_told_as_it_stands(tmp_path: Path) -> None:
    text = (DOCUMENTS / "policy.md").read_text()
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


def test_the_example_of_identity_can_be_used(tmp_path: Path) -> None:
    config = tmp_path / "server.yaml"
    config.write_text(block((DOCUMENTS / "identity.md").read_text(), "yaml"))
    found = resolve({}, {}, config).identity
    assert found.role_sources == ("token", "extension")
    assert found.tokens is not None
    assert found.tokens.key == tmp_path / "token.pub"
