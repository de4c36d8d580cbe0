"""Runs the benchmarks and prints their tables, in Markdown: ``python benchmarks/run.py [--quick] [NAME ...]``."""

from __future__ import annotations

import argparse
import os
import platform
from datetime import UTC, datetime

import command_line
import compression
import fence
import latency
import listing
import memory
import reading
import rig
import start
import throughput

_BENCHMARKS = {
    "start": start.measure,
    "fence": fence.measure,
    "throughput": throughput.measure,
    "latency": latency.measure,
    "memory": memory.measure,
    "reading": reading.measure,
    "compression": compression.measure,
    "listing": listing.measure,
    "command_line": command_line.measure,
}


def main() -> None:
    """Run those that are named, or all."""
    parser = argparse.ArgumentParser(description="Measure jobworker beside what the operating system and gRPC take.")
    parser.add_argument("--quick", action="store_true", help="measure less: to see that it runs, not for the numbers")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(_BENCHMARKS)}; all by default")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(_BENCHMARKS):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(_BENCHMARKS)}")
    kernel = ".".join(platform.release().split(".")[:2])
    print(
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores, Linux {kernel}, Python {platform.python_version()}"
        f"{', quick' if arguments.quick else ''}\n"
    )
    for name in arguments.names or _BENCHMARKS:
        _BENCHMARKS[name](rig.QUICK if arguments.quick else rig.FULL)


if __name__ == "__main__":
    main()
