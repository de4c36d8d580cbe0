"""When a certificate is valid, as far as the standard library can tell without one that reads certificates."""

from __future__ import annotations

import re
import ssl
from datetime import UTC, datetime
from pathlib import Path

_PEM = re.compile("-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_TIME = rb"(?:\x17\x0d|\x18\x0f)([0-9]{12}(?:[0-9]{2})?)Z"
_VALIDITY = re.compile(rb"\x30[\x1e\x20\x22]" + _TIME + _TIME)
"""RFC 5280: a sequence of two times, each with two digits for the year or with four."""


def problem(path: Path, now: datetime) -> str | None:
    """What is wrong with the time of the first certificate in a file; None: nothing, or it can't be told."""
    try:
        found = _PEM.search(path.read_text())
        times = _VALIDITY.search(ssl.PEM_cert_to_DER_cert(found[0])) if found else None
        begin, end = (_read(text) for text in times.groups()) if times else (now, now)
    except (OSError, ValueError):
        return None
    if now > end:
        return f"it expired on {end:%Y-%m-%d %H:%M} UTC"
    return f"it is not valid before {begin:%Y-%m-%d %H:%M} UTC; is the clock here right?" if now < begin else None


def _read(text: bytes) -> datetime:
    form = "%y%m%d%H%M%S" if len(text) == 12 else "%Y%m%d%H%M%S"
    return datetime.strptime(text.decode(), form).replace(tzinfo=UTC)
