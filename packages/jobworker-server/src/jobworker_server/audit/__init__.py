"""Who changed what, and who was refused what: a line of JSON for each such call."""

from __future__ import annotations

from jobworker_server.audit.audit import Audit
from jobworker_server.audit.entry import Entry
from jobworker_server.audit.settings import AuditSettings

__all__ = ["Audit", "AuditSettings", "Entry"]
