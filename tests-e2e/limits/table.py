"""The table in docs/limits.md, made of what was found out by running."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

from jobworker_lib.cgroup import hierarchies
from jobworker_lib.doctor import examine_limits

EXAMINED = "examined"
COLUMNS = (
    "version 2, root",
    "version 2, delegated",
    "version 2, neither",
    "version 1, root",
    "version 1, delegated",
    "version 1, neither",
)
USER = 65534
_WITHOUT_ROOT = f"""
import json, os, sys
from limits.table import examined
parent = sys.argv[1] or None
examined(parent)  # imports what only root may be able to read
os.setgroups([])
os.setresgid({USER}, {USER}, {USER})
os.setresuid({USER}, {USER}, {USER})
print(json.dumps(examined(parent)))
"""


def examined(parent: str | None = None) -> dict[str, bool]:
    """Which limits can be enforced here and now, in cgroups below ``parent``."""
    return {finding.name: finding.problem is None for finding in examine_limits(parent)}


def examined_without_root(prelude: str = "", parent: str | None = None) -> dict[str, bool]:
    """The same as a user without privileges."""
    command = [sys.executable, "-c", prelude + _WITHOUT_ROOT, parent or ""]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    found: dict[str, bool] = json.loads(done.stdout)
    return found


@contextmanager
def given_cgroups() -> Iterator[str]:
    """Cgroups of this host that belong to that user, in each hierarchy: their path."""
    found = hierarchies.read()
    mounts = {hierarchy.mount for hierarchy in (found.unified, *found.controllers.values()) if hierarchy is not None}
    name = f"jobworker-given-{os.getpid()}"
    given = [os.path.join(mount, name) for mount in sorted(mounts)]
    try:
        for directory in given:
            os.mkdir(directory)
            for path in (directory, *(os.path.join(directory, file) for file in os.listdir(directory))):
                os.chown(path, USER, USER)
        yield f"/{name}"
    finally:
        for directory in given:
            with suppress(FileNotFoundError):
                os.rmdir(directory)


def table(columns: Mapping[str, Mapping[str, bool]]) -> str:
    """The table in Markdown."""
    lines = [f"| limit | {' | '.join(COLUMNS)} |", f"| --- |{' --- |' * len(COLUMNS)}"]
    for name in columns[COLUMNS[0]]:
        verdicts = ["yes" if columns[column][name] else "refused" for column in COLUMNS]
        lines.append(f"| {name} | {' | '.join(verdicts)} |")
    return "\n".join(lines)
