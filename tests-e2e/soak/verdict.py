"""Whether all that was said and all that is there agree with what was to come."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conformance.processes import holders, job_processes
from jobworker_lib import Engine, Job, JobStatus, State
from jobworker_lib.events.event import Event, EventType
from jobworker_lib.events.reader import EventReader, beginning_of
from soak.work import LABEL, Work, digest, work


@dataclass
class Verdict:
    """What was counted, and what is wrong."""

    faults: list[str] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    states: Counter[str] = field(default_factory=Counter)
    told: Counter[str] = field(default_factory=Counter)
    output_bytes: int = 0

    def expect(self, holds: object, fault: str) -> None:
        """Note a fault, unless something holds."""
        if not holds:
            self.faults.append(fault)


def judge(state_dir: Path, reports: list[Path], seed: int, victims: set[str]) -> Verdict:
    """Look at a state directory on which no server is any more, and at what clients were told meanwhile."""
    verdict = Verdict()
    told = _told(reports)
    for lines in told.values():
        verdict.told.update(line["what"] for line in lines)
    with Engine(state_dir) as engine:
        jobs = list(engine.list())
        numbers = Counter(job.status().labels[LABEL] for job in jobs)
        verdict.expect(all(count == 1 for count in numbers.values()), "a start has made two jobs")
        for job in jobs:
            _judge_job(verdict, job, seed, victims, told.pop(job.id, []))
        statuses = {job.id: job.status() for job in jobs}
    for job_id, lines in told.items():
        verdict.expect(any(line["what"] == "deleting" for line in lines), f"job {job_id} was started and is not there")
        _judge_told(verdict, lines, seed, victims)
    _judge_events(verdict, state_dir, statuses)
    _judge_leftovers(verdict, state_dir)
    return verdict


def _told(reports: list[Path]) -> dict[str, list[dict[str, Any]]]:
    """What clients were told, by job."""
    told: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for report in reports:
        for line in report.read_text().splitlines():
            about = json.loads(line)
            told[about["id"]].append(about)
    return told


def _judge_job(verdict: Verdict, job: Job, seed: int, victims: set[str], lines: list[dict[str, Any]]) -> None:
    status = job.status()
    plan = work(seed, int(status.labels[LABEL]))
    verdict.kinds[plan.kind] += 1
    verdict.states[status.state] += 1
    chunks = list(job.output(follow=False))
    parts = {
        stream: b"".join(chunk.data for chunk in chunks if chunk.stream == stream) for stream in ("stdout", "stderr")
    }
    verdict.output_bytes += sum(map(len, parts.values()))
    verdict.expect(status.state.ended, f"job {job.id} ({plan.kind}) has not ended: {status.describe()}")
    verdict.expect(not job_processes(job.id), f"job {job.id} ({plan.kind}) has ended and left processes")
    whole = {"stdout": plan.stdout, "stderr": plan.stderr}
    is_whole = parts == whole
    is_part = all(whole[stream].startswith(parts[stream]) for stream in parts)
    end = f"job {job.id} ({plan.kind}) {status.describe()}"
    if status.state is State.LOST:
        verdict.expect(job.id in victims or status.started_at is None, f"{end}: nobody killed its shim")
        verdict.expect(is_part, f"{end}: its output is not what it wrote")
    elif plan.handling == "feed" and status.state is State.STOPPED:
        verdict.expect(is_part, f"{end}: its output is not what it wrote")
    else:
        verdict.expect(status.describe() in plan.ends, f"{end}: not one of {plan.ends}")
        verdict.expect(is_whole, f"{end}: its output is not what it wrote")
    for line in lines:
        if line["what"] == "ended":
            digests = {stream: digest([data]) for stream, data in parts.items()}
            verdict.expect(line["end"] == status.describe(), f"{end}: a client was told {line['end']}")
            verdict.expect(line["output"] == digests, f"{end}: a client was sent other output than is there")
        verdict.expect(line["what"] != "deleted", f"{end}: it was deleted, and is there")


def _judge_told(verdict: Verdict, lines: list[dict[str, Any]], seed: int, victims: set[str]) -> None:
    """Of a job that is not there any more."""
    for line in lines:
        if line["what"] == "ended":
            plan: Work = work(seed, line["number"])
            verdict.kinds[plan.kind] += 1
            about = f"deleted job {line['id']} ({plan.kind}) {line['end']}"
            if line["end"].startswith("lost"):
                unstarted = "its start was not recorded" in line["end"]
                verdict.expect(line["id"] in victims or unstarted, f"{about}: nobody killed its shim")
            elif not (plan.handling == "feed" and line["end"].startswith("stopped")):
                verdict.expect(line["end"] in plan.ends, f"{about}: not one of {plan.ends}")
                verdict.expect(line["output"] == plan.digests, f"{about}: a client was sent other output")


def _judge_events(verdict: Verdict, state_dir: Path, statuses: dict[str, JobStatus]) -> None:
    events: dict[str, list[Event]] = defaultdict(list)
    for event in _events(state_dir):
        events[event.job_id].append(event)
    for job_id, of_job in events.items():
        types = [event.type for event in of_job]
        verdict.expect(len(set(types)) == len(types), f"job {job_id}: an event was told twice: {types}")
        last = EventType.ENDED if job_id in statuses else EventType.DELETED
        verdict.expect(types[-1] is last, f"job {job_id}: the last event is not {last}: {types}")
    missing = statuses.keys() - events.keys()
    verdict.expect(not missing, f"no event tells of the jobs {missing}")


def _events(state_dir: Path) -> Iterator[Event]:
    log = str(state_dir / "events")
    with EventReader(log, beginning_of(log)[0]) as reader:
        while events := reader.next_batch():
            yield from events


def _judge_leftovers(verdict: Verdict, state_dir: Path) -> None:
    verdict.expect(not holders(state_dir), "processes of the engine are left")
    for place in ("new", "deleted"):
        verdict.expect(not list((state_dir / place).iterdir()), f"something half-made is left in {place}")
    for path in (state_dir / "jobs").rglob("*"):
        verdict.expect(not path.name.startswith("."), f"{path} was left half-made")
        verdict.expect(not path.is_socket(), f"the socket {path} is left")
