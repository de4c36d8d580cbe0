"""Runs all scenarios in a guest."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

from limits.guest import boot

_ROOT = Path(__file__).parents[3]


def run_scenarios(kind: boot.Kind, version: Literal[1, 2], shared: Path, seconds: float) -> None:
    """Boot it with cgroups of a version; what became of each is in ``results.json`` of the shared directory then."""
    paths = [_ROOT / "tests-e2e", _ROOT / "packages" / "jobworker-lib" / "src"]
    results = f"{boot.SHARED}/results.json"
    boot.run(
        kind,
        [sys.executable, "-m", "limits.guest_main", str(version), results, *kind.disks],
        shared,
        cgroups=version,
        environment={"PYTHONPATH": ":".join(map(str, paths)), "PYTHONDONTWRITEBYTECODE": "1"},
        keep=[_ROOT, Path(sys.base_prefix)],
        seconds=seconds,
    )
