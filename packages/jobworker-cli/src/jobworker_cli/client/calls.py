"""The calls that have one answer: which request each sends, and what its answer means. Making them is up to others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

from jobworker.v1 import worker_service_pb2 as api
from jobworker_cli.client import convert
from jobworker_cli.client.convert_fence import require_text
from jobworker_cli.errors import InvalidRequestError
from jobworker_cli.models import Job, JobPage, JobState

T = TypeVar("T")


class Call(NamedTuple, Generic[T]):
    """A call to be made."""

    rpc: str
    request: Any
    read: Callable[[Any], T]
    """What the answer means."""
    more_seconds: float = 0.0
    """How much longer than others it may take."""


def start(request: api.StartRequest) -> Call[Job]:
    """Start a job, as ``start_request.py`` says how."""
    return Call("Start", request, _read_job)


def status(job_id: str) -> Call[Job]:
    """Tell about a job."""
    return Call("QueryStatus", api.QueryStatusRequest(job_id=_text("job_id", job_id)), _read_job)


def stop(job_id: str, grace: float, *, force: bool) -> Call[Job]:
    """Stop a job. InvalidRequestError: ``grace`` is no time."""
    request = api.StopRequest(
        job_id=_text("job_id", job_id), grace_period=convert.duration("grace", grace), force=force
    )
    return Call("Stop", request, _read_job, 0 if force else grace)


def signal(job_id: str, name: str) -> Call[None]:
    """Send a signal. InvalidRequestError: its name can't be sent."""
    request = api.SignalRequest(job_id=_text("job_id", job_id), signal=_text("signal", name))
    return Call("Signal", request, _read_nothing)


def set_timeout(job_id: str, timeout: float | None) -> Call[Job]:
    """Change how long a job may run. InvalidRequestError: it is no time."""
    request = api.UpdateRequest(job_id=_text("job_id", job_id))
    if timeout is None:
        request.no_timeout = True
    else:
        request.timeout.CopyFrom(convert.duration("timeout", timeout))
    return Call("Update", request, _read_job)


def delete(job_id: str) -> Call[None]:
    """Remove a job."""
    return Call("Delete", api.DeleteRequest(job_id=_text("job_id", job_id)), _read_nothing)


def page(
    *,
    states: Iterable[JobState] = (),
    labels: Mapping[str, str] | None = None,
    owner: str = "",
    all_owners: bool = False,
    id_prefix: str = "",
    page_size: int = 0,
    page_token: str = "",
) -> Call[JobPage]:
    """A page of a list. InvalidRequestError: a condition can't be sent."""
    require_text("labels", [*(labels or {}), *(labels or {}).values()])
    request = api.ListJobsRequest(
        page_size=convert.int32("page_size", page_size),
        page_token=_text("page_token", page_token),
        states=[convert.state_value(state) for state in states],
        labels=labels,
        owner=_text("owner", owner),
        all_owners=all_owners,
        id_prefix=_text("id_prefix", id_prefix),
    )
    return Call("ListJobs", request, _read_page)


def _text(field: str, value: str) -> str:
    if not isinstance(value, str):  # what a Job has for an id; protobuf's own message names neither
        raise InvalidRequestError(f"{field}: expected a text, not {type(value).__name__}")
    require_text(field, [value])
    return value


def _read_job(response: Any) -> Job:
    return convert.job(response.job)


def _read_page(response: api.ListJobsResponse) -> JobPage:
    return JobPage(tuple(map(convert.job, response.jobs)), response.next_page_token)


def _read_nothing(_response: object) -> None:
    return None
