"""The server is killed at every step of serving a job's life; then it is started again, as is the job."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import grpc

from crash.invariants import check
from crash.jobs import GREETING, KINDS, LABEL, REQUEST, Life
from crash.steps import each_step, turns
from crash.strace import FILES, KILL, PROCESSES, WRITES, Step, at_step, steps_in, watching
from harness.api import Api
from harness.certs import Certs
from harness.server import Server
from jobworker.v1 import job_pb2

# Those of the state directory, and its answers; not what gRPC does to wait and to wake.
SERVER_STEPS = tuple({*WRITES, *FILES, *PROCESSES, "flock", "sendmsg"} - {"openat", "wait4"})
KIND = KINDS["exits"]


def serve_a_life(server: Server, life: Life, certs: Certs) -> None:
    """The calls of a client; they end where the server does."""
    with Api(server, certs.full) as api:
        job = start(api, life)
        life.told.started.append(job.id)
        api.wait(job.id)
        life.told.output[job.id] = b"".join(chunk.data for chunk in api.chunks(job.id))
        greeting = api.start(GREETING.argv(life.runs), labels={LABEL: GREETING.name})
        life.told.started.append(greeting.id)
        api.wait(greeting.id)
        life.told.deleting.add(greeting.id)
        api.call("Delete", job_id=greeting.id)
        life.told.deleted.append(greeting.id)


def start(api: Api, life: Life) -> job_pb2.Job:
    return api.start(KIND.argv(life.runs), labels={LABEL: KIND.name}, request_id=REQUEST)


@turns
def test_server(turn: int, certs: Certs, new_life: Callable[[], Life]) -> None:
    def trial(step: Step | None) -> Life:
        life = new_life()
        server = Server(certs, life.path)
        try:
            pid = server.pid
            with Api(server, certs.full) as api:  # it has all its threads after this
                api.wait(api.start(GREETING.argv(life.runs), labels={LABEL: GREETING.name}).id)
            strike = at_step(pid, step, KILL, life.log) if step else watching(pid, life.log, calls=SERVER_STEPS)
            with strike, suppress(grpc.RpcError):
                serve_a_life(server, life, certs)
            server.kill()
            server.start()
            with Api(server, certs.full) as api:
                again = start(api, life)
                # Where the first start did not return, it may be a new job, or the old one, and then it may be lost.
                assert life.told.started[:1] in ([], [again.id])
                assert api.wait(again.id).HasField("ended_at")
        finally:
            server.close()
        check(life)
        return life

    each_step(turn, steps_in(trial(None).log), trial, rarer=6)
