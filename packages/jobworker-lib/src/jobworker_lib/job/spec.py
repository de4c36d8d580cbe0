"""A job as it was asked for: checked, completed with defaults, and kept in its directory as ``spec.json``."""

from __future__ import annotations

import math
import os
import pwd
import re
import time
import unicodedata
import uuid
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from jobworker_lib.errors import InvalidArgumentError
from jobworker_lib.isolation import checking, users
from jobworker_lib.job.isolation import Isolation
from jobworker_lib.job.limit_checks import checked_limits
from jobworker_lib.job.limits import Limits
from jobworker_lib.job.record import known_fields
from jobworker_lib.job.restart import RestartPolicy
from jobworker_lib.job.start_options import StartOptions
from jobworker_lib.job.terminal import TerminalSize
from jobworker_lib.output.limit import ACTIONS, SMALLEST_LIMIT, OutputLimit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Unpack

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
DEFAULT_TERM = "xterm-256color"
JOB_ID_VARIABLE = "JOBWORKER_JOB_ID"
"""Set in every job's environment; also how processes are found whose shim is gone."""
DIRECTORY_VARIABLE = "JOBWORKER_JOB_DIRECTORY"
"""Set there as well, by the shim: which directory the job has, so that a copy of it is not taken for it."""

HIGHEST_PRIORITY = 1000

_LABEL_KEY = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?")
_MOST_LABELS = 64
_LONGEST_LABEL_VALUE = 256
_LONGEST_OWNER = 256
_LONGEST_USER = 256
_LONGEST_REQUEST_ID = 128
_LONGEST_TIMEOUT = 10 * 366 * 86400.0
_LARGEST_TERMINAL = 65535
_MOST_RESTARTS = 1000

Argument = str | os.PathLike[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """What a job runs and how; ``env`` is the whole environment of the job."""

    id: str
    argv: tuple[str, ...]
    cwd: str
    env: dict[str, str]
    labels: dict[str, str]
    owner: str
    timeout: float | None
    limits: Limits
    request_id: str | None
    created_ns: int
    """Nanoseconds since the epoch."""
    # Those with a default are not in the directories of format 1.
    stdin: bool = False
    terminal: TerminalSize | None = None
    output_limit: OutputLimit | None = None
    priority: int = 0
    start_deadline: float | None = None
    restart: RestartPolicy | None = None
    isolation: Isolation | None = None
    user: str | None = None
    groups: tuple[str, ...] | None = None
    cgroup_parent: str | None = None
    """The cgroup in which it gets one, where it needs one; None: found from where its supervisor is."""
    hidden_paths: tuple[str, ...] = ()
    """What its engine hides from every job that has a mount namespace."""
    running_per_owner: int | None = None
    """Most jobs of its owner that run when it is started, besides what the state directory's bounds say."""
    queued_per_owner: int | None = None
    """Most jobs of its owner that waited when it was accepted."""
    new_privileges: bool = True
    """Whether it may gain privileges by executing a program; not in directories before format 4."""

    @classmethod
    def make(cls, argv: Sequence[Argument], **options: Unpack[StartOptions]) -> JobSpec:
        """Check what was asked for and fill in the defaults.

        Raises:
            InvalidArgumentError: something in it can't be used.
        """
        if unknown := options.keys() - StartOptions.__annotations__.keys():
            raise TypeError(f"start() has no argument {', '.join(sorted(unknown))}")
        job_id = str(uuid.uuid4())
        terminal = checked_terminal(options.get("terminal"))
        owner, request_id = options.get("owner"), options.get("request_id")
        cwd, user = _checked_cwd(options.get("cwd")), _checked_user(options.get("user"))
        isolation = options.get("isolation")
        environment = _default_environment(terminal, _account() if user is None else users.entry(user))
        return cls(
            id=job_id,
            argv=_checked_argv(argv),
            cwd=cwd,
            env={**environment, **_checked_env(options.get("env") or {}), JOB_ID_VARIABLE: job_id},
            labels=checked_labels(options.get("labels") or {}),
            owner=_checked_text("owner", _account().pw_name if owner is None else owner, _LONGEST_OWNER),
            timeout=checked_seconds("timeout", options.get("timeout")),
            limits=checked_limits(options.get("limits") or Limits(), _checked_string),
            request_id=_checked_text("request_id", request_id, _LONGEST_REQUEST_ID) if request_id else None,
            created_ns=time.time_ns(),
            stdin=bool(options.get("stdin")),
            terminal=terminal,
            output_limit=_checked_output_limit(options.get("output_limit")),
            priority=_checked_priority(options.get("priority") or 0),
            start_deadline=checked_seconds("start_deadline", options.get("start_deadline")),
            restart=_checked_restart(options.get("restart")),
            isolation=None if isolation is None else checking.checked_isolation(isolation, cwd),
            user=user,
            groups=checking.checked_groups(options.get("groups"), user),
            running_per_owner=_checked_bound("running_per_owner", options.get("running_per_owner"), least=1),
            queued_per_owner=_checked_bound("queued_per_owner", options.get("queued_per_owner"), least=0),
            new_privileges=options.get("new_privileges") is not False,
        )

    @property
    def deadline_ns(self) -> int | None:
        """Until when it must have been started, in nanoseconds since the epoch."""
        return None if self.start_deadline is None else self.created_ns + round(self.start_deadline * 1e9)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> JobSpec:
        """The spec that was written as JSON."""
        parts: dict[str, Any] = {
            name: kind(**known_fields(kind, value[name]))
            for name, kind in _PARTS.items()
            if value.get(name) is not None
        }
        parts["limits"] = Limits.from_json(value["limits"])
        if value.get("isolation") is not None:
            parts["isolation"] = Isolation.from_json(value["isolation"])
        lists = {name: tuple(value[name]) for name in _LISTS if value.get(name) is not None}
        return cls(**{**known_fields(cls, value), **parts, **lists})


_PARTS: dict[str, type[TerminalSize | OutputLimit | RestartPolicy]] = {
    "terminal": TerminalSize,
    "output_limit": OutputLimit,
    "restart": RestartPolicy,
}


_LISTS = ("argv", "groups", "hidden_paths")


def checked_labels(labels: Mapping[str, str]) -> dict[str, str]:
    """The labels, where each of them can be used.

    Raises:
        InvalidArgumentError: too many, a bad key, or a bad value.
    """
    if len(labels) > _MOST_LABELS:
        raise InvalidArgumentError("labels", f"there are {len(labels)}, the most is {_MOST_LABELS}")
    for key, value in labels.items():
        if not _LABEL_KEY.fullmatch(_checked_string("labels", key)):
            raise InvalidArgumentError(
                "labels",
                "a key has 1 to 63 letters, digits, '.', '_', '-' or '/', the first and last a letter or digit",
            )
        if value != "":
            _checked_text(f"labels.{key}", value, _LONGEST_LABEL_VALUE)
    return dict(labels)


def checked_seconds(field: str, seconds: float | None) -> float | None:
    """A time span that can be used, or None. InvalidArgumentError for any other."""
    if seconds is not None and not (math.isfinite(seconds) and 0 < seconds <= _LONGEST_TIMEOUT):
        raise InvalidArgumentError(field, "give a number of seconds above 0, at most ten years")
    return seconds


def checked_terminal(size: TerminalSize | None) -> TerminalSize | None:
    """A terminal's size that can be used, or None. InvalidArgumentError for any other."""
    if size is not None and not all(0 < length <= _LARGEST_TERMINAL for length in (size.rows, size.columns)):
        raise InvalidArgumentError("terminal", f"give 1 to {_LARGEST_TERMINAL} rows and columns")
    return size


def _checked_output_limit(limit: OutputLimit | None) -> OutputLimit | None:
    if limit is not None and not SMALLEST_LIMIT <= limit.bytes < 1 << 63:
        raise InvalidArgumentError("output_limit.bytes", f"give {SMALLEST_LIMIT} bytes or more")
    if limit is not None and limit.action not in ACTIONS:
        raise InvalidArgumentError("output_limit.action", f"give one of {', '.join(ACTIONS)}")
    return limit


def _checked_priority(priority: int) -> int:
    if not -HIGHEST_PRIORITY <= priority <= HIGHEST_PRIORITY:
        raise InvalidArgumentError("priority", f"give -{HIGHEST_PRIORITY} to {HIGHEST_PRIORITY}")
    return priority


def _checked_bound(field: str, most: int | None, *, least: int) -> int | None:
    if most is not None and most < least:
        raise InvalidArgumentError(field, f"give {least} or more jobs")
    return most


def _checked_restart(restart: RestartPolicy | None) -> RestartPolicy | None:
    if restart is None or restart.max_restarts == 0:
        return None
    if not 0 < restart.max_restarts <= _MOST_RESTARTS:
        raise InvalidArgumentError("restart.max_restarts", f"give 0 to {_MOST_RESTARTS}")
    checked_seconds("restart.backoff", restart.backoff)
    checked_seconds("restart.max_backoff", restart.max_backoff)
    return restart


def _checked_argv(argv: Sequence[Argument]) -> tuple[str, ...]:
    if isinstance(argv, str | bytes):
        raise InvalidArgumentError("argv", "give a list, such as ['sh', '-c', 'echo hi']; a string is not split")
    if not argv:
        raise InvalidArgumentError("argv", "the command is missing")
    arguments = tuple(_checked_string("argv", os.fspath(argument)) for argument in argv)
    if not arguments[0]:
        raise InvalidArgumentError("argv", "the command is empty")
    return arguments


def _checked_cwd(cwd: Argument | None) -> str:
    return os.path.abspath(_checked_string("cwd", os.fspath(cwd))) if cwd else os.getcwd()


def _checked_user(user: str | None) -> str | None:
    return None if user is None else _checked_text("user", user, _LONGEST_USER)


def _checked_env(env: Mapping[str, str]) -> dict[str, str]:
    for name, value in env.items():
        if not _checked_string("env", name) or "=" in name:
            raise InvalidArgumentError("env", "a name is empty or holds '='")
        _checked_string("env", value)
        if name in (JOB_ID_VARIABLE, DIRECTORY_VARIABLE):
            raise InvalidArgumentError("env", f"{name} is set by jobworker")
    return dict(env)


def _checked_string(field: str, text: object) -> str:
    if not isinstance(text, str):
        raise InvalidArgumentError(field, f"give text, not {type(text).__name__}")
    if "\0" in text:
        raise InvalidArgumentError(field, "a NUL byte can't be passed to a process")
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        raise InvalidArgumentError(field, "a character can't be encoded") from None
    return text


def _checked_text(field: str, text: object, longest: int) -> str:
    if not isinstance(text, str) or not 0 < len(text) <= longest:
        raise InvalidArgumentError(field, f"give 1 to {longest} characters")
    if any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in text):
        raise InvalidArgumentError(field, "control characters are not allowed")
    return text


def _account() -> pwd.struct_passwd:
    return _account_of(os.geteuid())


@cache
def _account_of(uid: int) -> pwd.struct_passwd:
    try:
        return pwd.getpwuid(uid)
    except KeyError:  # containers often run as a user without an entry
        return pwd.struct_passwd((f"uid{uid}", "x", uid, os.getegid(), "", "/", "/bin/sh"))


def _default_environment(terminal: TerminalSize | None, account: pwd.struct_passwd) -> dict[str, str]:
    return {
        **({"TERM": DEFAULT_TERM} if terminal else {}),
        "PATH": DEFAULT_PATH,
        "HOME": account.pw_dir or "/",
        "USER": account.pw_name,
        "LOGNAME": account.pw_name,
        "SHELL": account.pw_shell or "/bin/sh",
        "LANG": "C.UTF-8",
    }
