"""A server removes the ended jobs that it is not to keep, and says so."""

from __future__ import annotations

from pathlib import Path

from conformance.processes import wait_until
from harness.api import Api
from harness.certs import Certs
from harness.server import Server


def test_the_newest_jobs_are_kept_and_the_log_tells_of_the_others(certs: Certs, tmp_path: Path) -> None:
    server = Server(certs, tmp_path, options=["--retention-jobs", "1"])
    try:
        with Api(server, certs.full) as api:
            jobs = [api.wait(api.start(["true"]).id).id for _ in range(3)]
            running = api.start(["sleep", "1000"]).id
        server.kill()
        (server.state_dir / "retention.lock").unlink()  # as if a minute had passed
        server.start()
        with Api(server, certs.full) as api:
            wait_until(lambda: len(api.list()) == 2, "the removal of two jobs")
            assert {job.id for job in api.list()} == {jobs[-1], running}
        for job_id in jobs[:-1]:
            wait_until(lambda: f"job {job_id} removed by retention" in server.log)  # noqa: B023  called at once
    finally:
        server.close()
