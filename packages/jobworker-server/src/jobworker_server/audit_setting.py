"""The audit, as the configuration file says it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jobworker_server.audit.settings import DEFAULT_KEEP, DEFAULT_MAX_BYTES, SYSLOG, AuditSettings
from jobworker_server.errors import ConfigError
from jobworker_server.nearest import nearest
from jobworker_server.quantities import BYTES, quantity

_KEYS = ("file", "maxBytes", "keep", "syslog", "argv")
_SMALLEST = 64 << 10
"""A few lines at least."""


def audit_settings(value: object, directory: Path) -> AuditSettings:
    """What ``audit`` of the configuration file says; the file is relative to ``directory``.

    Raises:
        ConfigError: it can't be used; the message does not name the file.
    """
    if not isinstance(value, dict):
        raise ConfigError("audit must hold file or syslog, such as audit: {file: /var/log/jobworker/audit.log}")
    for key in value:
        if key not in _KEYS:
            raise ConfigError(f"audit: there is no setting {key!r}; {nearest(str(key), _KEYS)}")
    syslog = _syslog(value)
    if ("file" in value) == (syslog is not None):
        raise ConfigError("audit must hold either file or syslog")
    if syslog and ("maxBytes" in value or "keep" in value):
        raise ConfigError("audit.maxBytes and audit.keep are of a file; the system log keeps what it likes")
    return AuditSettings(
        file=directory / _text(value, "file") if "file" in value else None,
        max_bytes=_max_bytes(value),
        keep=_keep(value),
        syslog=syslog,
        argv=_flag(value, "argv"),
    )


def _syslog(value: dict[str, Any]) -> Path | None:
    found = value.get("syslog", False)
    if isinstance(found, bool):
        return SYSLOG if found else None
    if not isinstance(found, str) or not found.startswith("/"):
        raise ConfigError(f"audit.syslog: expected true, or the absolute path of a socket, not {found!r}")
    return Path(found)


def _text(value: dict[str, Any], key: str) -> str:
    found = value[key]
    if not isinstance(found, str) or not found:
        raise ConfigError(f"audit.{key}: expected a path, not {found!r}")
    return found


def _max_bytes(value: dict[str, Any]) -> int:
    text = str(value.get("maxBytes", DEFAULT_MAX_BYTES))
    try:
        found = int(quantity(text, BYTES, "a size such as 100M"))
    except ValueError as error:
        raise ConfigError(f"audit.maxBytes: {error}, not {text!r}") from None
    if found < _SMALLEST:
        raise ConfigError(f"audit.maxBytes: expected 64K or more, not {text!r}")
    return found


def _keep(value: dict[str, Any]) -> int:
    found = value.get("keep", DEFAULT_KEEP)
    if type(found) is not int or not 1 <= found <= 1000:
        raise ConfigError(f"audit.keep: expected a number of files, 1 to 1000, not {found!r}")
    return found


def _flag(value: dict[str, Any], key: str) -> bool:
    found = value.get(key, False)
    if not isinstance(found, bool):
        raise ConfigError(f"audit.{key}: expected true or false, not {found!r}")
    return found
