"""Which ended jobs a server keeps, as its settings say it."""

from __future__ import annotations

from jobworker_lib.store.retention import Retention
from jobworker_server.quantities import BYTES, SECONDS, quantity

NAMES = ("retention_age", "retention_jobs", "retention_bytes")

_NONE = "none"


def age(text: str) -> float | None:
    """Seconds of such as ``30d``, ``12h`` and ``none``. ValueError for what is none of it."""
    return None if text == _NONE else quantity(text, SECONDS, "a time such as 30d, 12h or 90m, or none")


def jobs(text: str) -> int | None:
    """A number of jobs, or ``none``. ValueError for what is neither."""
    if text != _NONE and not (text.isascii() and text.isdigit()):
        raise ValueError("expected a number of jobs, or none")
    return None if text == _NONE else int(text)


def size(text: str) -> int | None:
    """Bytes of such as ``10G`` and ``none``. ValueError for what is none of it."""
    return None if text == _NONE else int(quantity(text, BYTES, "a size such as 10G or 500M, or none"))


def retention(age_text: str | None, jobs_text: str | None, bytes_text: str | None) -> Retention:
    """What is kept; the default where nothing is said. A number of bytes that is said stands alone."""
    default = Retention()
    return Retention(
        age=default.age if age_text is None else age(age_text),
        jobs=default.jobs if jobs_text is None else jobs(jobs_text),
        bytes=default.bytes if bytes_text is None else size(bytes_text),
        share=default.share if bytes_text is None else None,
    )
