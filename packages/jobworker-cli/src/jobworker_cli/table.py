"""Jobs as a table: cut to a terminal's width for people, whole and in plain columns for pipes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from jobworker_cli.render import utc
from jobworker_cli.text import command_line, escape, truncate, width

if TYPE_CHECKING:
    from jobworker_cli.models import Job

_GAP = "  "
_SHORTEST_ID = 8
_STATUS_CELLS = 36
_SHORTEST_STATUS_CELLS = 8
_OWNER_CELLS = 20
_SHORTEST_COMMAND_CELLS = 8


def for_terminal(
    jobs: Sequence[Job], columns: int, now: datetime | None = None, *, cut_mark: str = "…"
) -> Iterator[str]:
    """Lines that fit ``columns`` cells where at all possible: short ids, ages, command and then status cut at the end.

    ``cut_mark`` stands where something was cut.
    """
    moment = now or datetime.now(UTC)
    id_length = _short_id_length([job.id for job in jobs])
    rows = [["ID", "STATUS", "OWNER", "AGE", "COMMAND"]]
    for job in jobs:
        owner = truncate(escape(job.owner), min(_OWNER_CELLS, columns // 8 if columns < 80 else columns), cut_mark)
        since = age((moment - job.created_at).total_seconds())
        rows.append([job.id[:id_length], escape(job.describe()), owner, since, command_line(job.argv)])
    others = sum(max(width(row[i]) for row in rows) + len(_GAP) for i in (0, 2, 3))
    status_room = columns - others - len(_GAP) - _SHORTEST_COMMAND_CELLS
    status_cells = min(max(status_room, _SHORTEST_STATUS_CELLS), _STATUS_CELLS)
    for row in rows:
        row[1] = truncate(row[1], status_cells, cut_mark)
    command_room = columns - others - len(_GAP) - max(width(row[1]) for row in rows)
    for row in rows:
        row[4] = truncate(row[4], max(command_room, _SHORTEST_COMMAND_CELLS), cut_mark)
    return _aligned(rows)


def for_pipe(jobs: Sequence[Job]) -> Iterator[str]:
    """Lines with whole ids, times and commands."""
    rows = [["ID", "STATUS", "OWNER", "CREATED", "COMMAND"]]
    for job in jobs:
        created = utc(job.created_at)
        rows.append([job.id, escape(job.describe()), escape(job.owner), created, command_line(job.argv)])
    return _aligned(rows)


def wide(jobs: Sequence[Job]) -> Iterator[str]:
    """Lines with all that a row can tell, however long."""
    rows = [["ID", "STATUS", "OWNER", "CREATED", "STARTED", "ENDED", "OUTPUT", "LABELS", "COMMAND"]]
    for job in jobs:
        times = (_moment(job.created_at), _moment(job.started_at), _moment(job.ended_at))
        labels = ",".join(f"{key}={value}" for key, value in sorted(job.labels.items()))
        rows.append([
            job.id, escape(job.describe()), escape(job.owner), *times,
            str(job.output_bytes), escape(labels) or "-", command_line(job.argv),
        ])  # fmt: skip
    return _aligned(rows)


def _moment(time: datetime | None) -> str:
    return f"{time:%Y-%m-%dT%H:%M:%SZ}" if time else "-"


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(width, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell + " " * (cells - width(cell)) for cell, cells in zip(row, widths, strict=True))
        yield _GAP.join(cells).rstrip()


def _short_id_length(ids: Sequence[str]) -> int:
    """The least length, 8 or more, at which these ids differ."""
    length = _SHORTEST_ID
    while len({job_id[:length] for job_id in ids}) < len(set(ids)):
        length += 1
    return length


def age(seconds: float) -> str:
    """A time span in its largest whole unit."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{max(int(seconds), 0)}s"
