"""``python -m jobworker_lib.shim JOBDIR``: supervise one job in the foreground, on whatever host this is.

The directory holds the job's ``spec.json``. The exit status is 0 when the exit record is written, 1 otherwise.
"""

from __future__ import annotations

import sys
from contextlib import suppress

from jobworker_lib.job.directory import JobDirectory
from jobworker_lib.shim.main import prepare, run_job


def main() -> int:
    """Run the job of the directory that is the only argument."""
    if len(sys.argv) != 2:
        print("usage: python -m jobworker_lib.shim JOBDIR", file=sys.stderr)
        return 2
    directory = JobDirectory(sys.argv[1])
    with suppress(FileNotFoundError):
        if directory.was_taken():
            print(f"{directory.path}: this job was run already", file=sys.stderr)
            return 1
        if directory.try_lock() is None:
            print(f"{directory.path}: this job has a supervisor already", file=sys.stderr)
            return 1
        prepare()
        run_job(directory, None)
        return 0 if directory.has_exit() else 1
    print(f"{directory.path}: there is no spec.json", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
