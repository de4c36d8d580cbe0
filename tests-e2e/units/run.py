"""The units in a guest that systemd runs: ``make units``, as root, on Debian or Ubuntu with systemd.

It takes a minute or two, and ten on a busy machine, so no test does it. It needs User-mode Linux (``apt-get install
--no-install-recommends user-mode-linux``).
"""

from __future__ import annotations

import json
import sys
import sysconfig
import tempfile
from pathlib import Path

from harness.certs import Certs
from limits.guest import boot
from units.inside import names

_SECONDS = 1800.0
_HERE = Path(__file__).resolve()
_ROOT = _HERE.parents[2]


def main() -> int:
    """Run all scenarios, and print what became of each."""
    with tempfile.TemporaryDirectory() as directory:
        shared = Path(directory)
        Certs(shared / "certs")
        packages = sysconfig.get_path("purelib")
        try:
            boot.run(
                boot.UserMode(),
                [],
                shared,
                cgroups=2,
                environment={"PACKAGES": packages},
                keep=[_ROOT, Path(packages), Path(sys.base_prefix)],
                seconds=_SECONDS,
                init=_HERE.with_name("first.py"),
            )
        except boot.GuestError as error:
            print(error)
        found = shared / "results.json"
        told = json.loads(found.read_text()) if found.exists() else {}
    failures = 0
    for name in names():
        result = told.get(name, {"failure": "it did not come so far", "seconds": 0.0})
        failures += bool(result["failure"])
        print(f"{'FAILED' if result['failure'] else 'passed'}  {result['seconds']:6.1f} s  {name}")
        if result["failure"]:
            print(result["failure"])
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
