"""Policy files of any content: read, or refused with the file's name; never taken halfway, and never for long."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzzing import CORPUS, bounded
from jobworker_server.errors import ConfigError
from jobworker_server.policy.file import read

WORDS = [
    "roles", "owners", "operator", "like", "start", "own", "any", "none", "running", "commands", "environment",
    "users", "limits", "isolation", "newPrivileges", "full", "&a", "*a", "<<: *a", "!!python/object/apply:os.system",
    "- ", ": ", "{", "}", "[", "]", "\n", "  ", "\t", "'", '"', "#", "|", ">", "%", "@", "`", "~", "1", "0x10", "1e9",
    "2026-01-01", "\0", "queued", "priority",
]  # fmt: skip
words = st.lists(st.sampled_from(WORDS), max_size=30)


@bounded
@given(text=words.map("".join) | words.map(" ".join))
def test_policy_files(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.mktemp("policy") / "policy.yaml"
    path.write_text(text)
    try:
        read(path)
    except ConfigError as error:
        assert str(path) in str(error)  # noqa: PT017  # most are refused, and some are good by chance


@pytest.mark.parametrize("path", sorted((CORPUS / "policies").glob("*.yaml")), ids=lambda path: path.stem)
def test_policy_files_that_were_thought_of(path: Path) -> None:
    with pytest.raises(ConfigError):
        read(path)
