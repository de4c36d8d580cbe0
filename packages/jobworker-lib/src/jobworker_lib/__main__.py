"""``python -m jobworker_lib doctor``: tell what this host can enforce, and how to get the rest."""

from __future__ import annotations

import argparse
import sys

from jobworker_lib import doctor


def main() -> int:
    """Run the command: its exit status."""
    parser = argparse.ArgumentParser(prog="python -m jobworker_lib", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("doctor", help="tell which limits and which isolation this host can enforce")
    command.add_argument("--cgroup", metavar="PATH", help="the cgroup in which jobs are to get theirs, such as /jobs")
    arguments = parser.parse_args()
    for line in doctor.report(arguments.cgroup):
        print(line)
    return 0


if __name__ == "__main__":
    sys.exit(main())
