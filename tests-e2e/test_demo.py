"""The demo, which is the first thing that anybody sees of this repository."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from conformance.processes import PATIENCE_SECONDS

DEMO = Path(__file__).parent.parent / "demo" / "demo.py"


def test_the_demo_comes_to_its_end_and_leaves_nothing(tmp_path: Path) -> None:
    told = subprocess.run(
        [sys.executable, DEMO],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=3 * PATIENCE_SECONDS,  # it runs a dozen commands, and a job of four seconds
        check=False,
    )
    assert told.returncode == 0, told.stdout + told.stderr
    assert told.stdout.endswith("The end: the server goes, and the temporary directory with it.\n")
    assert list(tmp_path.iterdir()) == []
