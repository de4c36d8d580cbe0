"""The README's walk, replayed: each command as it stands there, and what it prints."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pki_testing import on_terminal

README = Path(__file__).parents[1] / "README.md"
PEOPLE = ("ca", "ann", "elsewhere")

_BLOCK = re.compile(r"```console\n(.*?)```", re.DOTALL)
_PROMPT = re.compile(rf"({'|'.join(PEOPLE)})\$ (.*)")
_CHANGING = (
    (r"(?:[0-9A-F]{2}:){31}[0-9A-F]{2}", "FINGERPRINT"),
    (r"\b[0-9A-F]{30,40}\b", "SERIAL"),
    (r"CA [0-9a-f]{8}", "CA ID"),
    (r"\d{4}-\d\d-\d\d(?: \d\d:\d\d(?::\d\d)?)?", "TIME"),
    (r"\(\d+ days left\)", "(DAYS left)"),
    (r"certificate for DNS:localhost.*, valid", "certificate for NAMES, valid"),
    (r"[ \t]+", " "),
)


@dataclass(frozen=True)
class Step:
    """A command of somebody, and what the README says that it prints."""

    who: str
    command: str
    printed: str


def steps(text: str) -> Iterator[Step]:
    for block in _BLOCK.findall(text):
        parts = re.split(rf"^(?=(?:{'|'.join(PEOPLE)})\$ )", block, flags=re.MULTILINE)
        for part in filter(None, parts):
            prompt, _, printed = part.partition("\n")
            if match := _PROMPT.fullmatch(prompt):
                yield Step(match[1], match[2], printed)


def run(step: Step, directory: Path) -> str:
    """What stands on the terminal of whoever takes the step."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    _, seen = on_terminal(["sh", "-c", step.command], cwd=directory / step.who, answers={"[y/N]: ": "y"}, PATH=path)
    return seen


def prepare(directory: Path, text: str) -> None:
    for who in PEOPLE:
        (directory / who).mkdir()
    found = re.search(r"```yaml\n(.*?)```", text, re.DOTALL)
    assert found is not None
    (directory / "ann" / "ann.yaml").write_text(found[1])


def plain(text: str) -> str:
    for pattern, replacement in _CHANGING:
        text = re.sub(pattern, replacement, text)
    return text.strip()


@pytest.mark.timeout(600)
def test_the_walk(tmp_path: Path) -> None:
    text = README.read_text()
    prepare(tmp_path, text)
    taken = list(steps(text))
    assert len(taken) > 20
    for step in taken:
        assert plain(run(step, tmp_path)) == plain(step.printed), step.command
