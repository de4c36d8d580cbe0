"""Waiting for the end of jobs: which call to make next, and what its answer means."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

import grpc

from jobworker.v1 import worker_service_pb2 as api
from jobworker_cli.client import calls, convert, rpc_errors
from jobworker_cli.models import Job

_CALL_SECONDS = 60.0
"""No one call is so long that a dead server would not be noticed."""


class Waiting:
    """Jobs whose end is waited for. The server is asked whether it is there first, and after each long silence."""

    def __init__(self, job_ids: Iterable[str], timeout: float | None, call_timeout: float) -> None:
        self.pending = list(dict.fromkeys(job_ids))
        """Those that have not ended."""
        self._until = None if timeout is None else time.monotonic() + timeout
        self._call_timeout = call_timeout
        self._asks = True

    def next_call(self) -> tuple[str, Any, float]:
        """The RPC, its request and its deadline.

        Raises:
            TimeoutError: the time is over.
        """
        if self._asks:
            query = calls.status(self.pending[0])
            return query.rpc, query.request, self._call_timeout
        left = _CALL_SECONDS if self._until is None else self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the job has not ended" if len(self.pending) == 1 else "no more jobs have ended")
        return "Wait", api.WaitRequest(job_ids=self.pending, any=True), min(left, _CALL_SECONDS)

    def take(self, response: Any) -> Sequence[Job]:
        """The jobs that have ended."""
        messages = [response.job] if isinstance(response, api.QueryStatusResponse) else response.jobs
        self._asks = False
        ended = [job for job in map(convert.job, messages) if job.state.ended]
        for job in ended:
            self.pending.remove(job.id)
        return ended

    def is_silence(self, error: grpc.RpcError) -> bool:
        """Whether a call failed for nothing else but that no job has ended."""
        if self._asks or rpc_errors.code_of(error) is not grpc.StatusCode.DEADLINE_EXCEEDED:
            return False
        self._asks = self._until is None or time.monotonic() < self._until
        return True

    def lost(self) -> None:
        """The server was away: it is asked whether it is there again."""
        self._asks = True
