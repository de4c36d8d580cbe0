"""The scenarios in an emulated machine: ``python -m limits.emulated DIRECTORY``, as root, on Debian or Ubuntu.

It takes about ten minutes, so no test does it. It needs QEMU (``apt-get install --no-install-recommends
qemu-system-x86``), and fetches a kernel into the directory, where it stays for the next time.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from limits.guest.boot import GuestError
from limits.guest.emulated import Emulated
from limits.guest.scenarios import run_scenarios
from limits.guest_main import names

_SECONDS = 3600.0


def main() -> int:
    """Run them, and print what became of each."""
    kind = Emulated(Path(sys.argv[1]).resolve())
    with tempfile.TemporaryDirectory() as directory:
        shared = Path(directory)
        try:
            run_scenarios(kind, 2, shared, _SECONDS)
        except GuestError as error:
            print(error)
        found = shared / "results.json"
        told = json.loads(found.read_text()) if found.exists() else {}
    failures = 0
    for name in names(2):
        result = told.get(name, {"failure": "it did not come so far"})
        failures += bool(result["failure"])
        print(f"{'FAILED' if result['failure'] else 'passed'}  {result.get('seconds') or 0:6.1f} s  {name}")
        if result["failure"]:
            print(result["failure"])
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
