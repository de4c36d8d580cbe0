"""``python -m jobworker_lib doctor [CGROUP]``: print what this host can enforce, and how to get the rest."""

from __future__ import annotations

import sys

from jobworker_lib.doctor import report


def main() -> int:
    """Do so; the exit status is 2 for wrong usage."""
    if sys.argv[1:2] != ["doctor"] or len(sys.argv) > 3:
        print("usage: python -m jobworker_lib doctor [CGROUP]", file=sys.stderr)
        return 2
    print(report(*sys.argv[2:]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
