"""A program that uses the library: run as a script, it lives the life of an engine and says how far it has come.

``python owner.py STATE_DIR RUNS KIND``: it waits for a line, so that it can be attached to, and then prints a line of
JSON after each call that returned.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from crash.jobs import GREETING, KINDS, LABEL, start
from jobworker_lib import Engine, Job


def main() -> None:
    """Start a job and see it to its end; stop another; delete a third; list, and close."""
    state_dir, runs, kind = sys.argv[1], Path(sys.argv[2]), KINDS[sys.argv[3]]
    tell("ready", None)
    sys.stdin.readline()
    with Engine(state_dir) as engine:
        job = start(engine, kind, runs)
        tell("started", job)
        if kind.is_stopped:
            next(job.output())
            job.stop(grace=0.05)
        job.wait()
        tell("ended", job)
        gone = engine.start(GREETING.argv(runs), labels={LABEL: GREETING.name})
        tell("started", gone)
        gone.wait()
        tell("deleting", gone)
        gone.delete()
        tell("deleted", gone)
        engine.list()
    tell("closed", None)


def tell(what: str, job: Job | None) -> None:
    """Print what is true now."""
    about = {} if job is None else {"id": job.id}
    if what == "ended" and job is not None:
        about |= {"status": repr(job.status()), "output": b"".join(chunk.data for chunk in job.output()).decode()}
    print(json.dumps({"what": what, **about}), flush=True)


if __name__ == "__main__":
    main()
