"""The table in docs/limits.md, made of what was found out by running."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping

from jobworker_lib.doctor import examine_limits

EXAMINED = "examined"
COLUMNS = (
    "version 2, root",
    "version 2, delegated",
    "version 2, neither",
    "version 1, root",
    "version 1, not root",
)
USER = 65534
_WITHOUT_ROOT = f"""
import json, os
from limits.table import examined
examined()  # imports what only root may be able to read
os.setgroups([])
os.setresgid({USER}, {USER}, {USER})
os.setresuid({USER}, {USER}, {USER})
print(json.dumps(examined()))
"""


def examined() -> dict[str, bool]:
    """Which limits can be enforced here and now."""
    return {finding.name: finding.problem is None for finding in examine_limits()}


def examined_without_root(prelude: str = "") -> dict[str, bool]:
    """The same as a user without privileges."""
    command = [sys.executable, "-c", prelude + _WITHOUT_ROOT]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    found: dict[str, bool] = json.loads(done.stdout)
    return found


def table(columns: Mapping[str, Mapping[str, bool]]) -> str:
    """The table in Markdown."""
    lines = [f"| limit | {' | '.join(COLUMNS)} |", f"| --- |{' --- |' * len(COLUMNS)}"]
    for name in columns[COLUMNS[0]]:
        verdicts = ["yes" if columns[column][name] else "refused" for column in COLUMNS]
        lines.append(f"| {name} | {' | '.join(verdicts)} |")
    return "\n".join(lines)
