"""Holds a start against the rules for it: refuses what they forbid, and adds what they demand."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from jobworker_lib import Isolation
from jobworker_lib.isolation import users
from jobworker_server.errors import PermissionDeniedError
from jobworker_server.identity import Identity
from jobworker_server.limit_policy import LimitPolicy
from jobworker_server.policy import fence
from jobworker_server.policy.policy import Policy
from jobworker_server.policy.rules import Rules, matches

PRIVATE_TMP = "/tmp"  # noqa: S108 - the job's own
_ROOT = "/"
_TERM = "TERM"
_TERMINAL_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
_MOST_TOLD = 10
_LONGEST_SHOWN = 100


def permit_of(policy: Policy, caller: Identity, limits: LimitPolicy) -> Permit:
    """What a caller may start by a policy; ``limits`` hold besides. PermissionDeniedError: there is no such role."""
    rules = policy.rules(caller.role, caller.owner)
    return Permit(caller.role, replace(rules, limits=limits.and_(rules.limits)))


@dataclass(frozen=True, slots=True)
class Permit:
    """What those who have a role may start. Every method raises PermissionDeniedError for what they may not."""

    role: str
    rules: Rules

    def check_command(self, argv: Sequence[str]) -> None:
        """Refuse a command that is not listed.

        It is compared as it stands: what is listed is absolute, so neither the working directory nor the PATH has a say
        in what is executed.
        """
        allowed = self.rules.commands
        if allowed is not None and (not argv or argv[0] not in allowed):
            raise self._refusal(f"start {_shown(argv[0] if argv else '')}", allowed)

    def priority(self, asked: int) -> int:
        """The place in the queue; of a start that asks for none, which is 0, the highest that it may have of those."""
        most = self.rules.priority
        if most is None or asked <= most:
            return asked
        if asked == 0:
            return most
        raise self._refusal(f"queue jobs with the priority {asked}", (f"{most} and lower",))

    def check_environment(self, names: Mapping[str, str], *, has_terminal: bool) -> None:
        """Refuse a variable that may not be set; of a terminal its plain type may be told always."""
        allowed = self.rules.environment
        if allowed is None:
            return
        for name, value in names.items():
            is_type = has_terminal and name == _TERM and _TERMINAL_TYPE.fullmatch(value)
            if not (is_type or matches(name, allowed)):
                raise self._refusal(f"set the variable {_shown(name)}", allowed)

    def user(self, asked: str) -> str | None:
        """The user that the job runs as; None: that of the server."""
        allowed = self.rules.users
        if allowed is None:
            return asked or None
        if not allowed or (asked and asked not in allowed):
            raise self._refusal(
                f"start jobs of the user {_shown(asked)}" if asked else "start jobs of any user", allowed
            )
        return asked or allowed[0]

    def groups(self, user: str | None, asked: Sequence[str]) -> Sequence[str] | None:
        """The supplementary groups in place of those of the user. None: those of the user.

        Raises:
            InvalidArgumentError: this host has no such user, or no such group.
        """
        if self.rules.users is not None and user is not None and asked:
            own = users.account(user).groups
            if not set(users.account(user, asked).groups) <= set(own):
                raise self._refusal(f"start jobs of the user {user!r} with groups that it is not in")
        return list(asked) or None

    def isolation(self, asked: Isolation | None) -> Isolation | None:
        """What is asked for, with what is demanded; None: none of it."""
        demanded = self.rules.isolation
        if asked is None or demanded is None:
            return asked if demanded is None else demanded
        if demanded.drop_capabilities and asked.kept_capabilities:
            raise self._refusal("keep capabilities")
        for path in asked.writable:
            if self.rules.writable is not None and path not in self.rules.writable:
                raise self._refusal(f"let jobs write to {_shown(path)}", self.rules.writable)
        return fence.both(asked, demanded)

    def working_directory(self, asked: str, default: str, isolation: Isolation | None) -> str:
        """The working directory, in which a job can write; ``default``: where nothing says."""
        has_own_tmp = isolation is not None and isolation.private_tmp
        harmless = (_ROOT, PRIVATE_TMP) if has_own_tmp else (_ROOT,)
        allowed = self.rules.writable
        if allowed is not None and asked and asked not in (*harmless, *allowed):
            raise self._refusal(f"start jobs in {_shown(asked)}", (*allowed, *harmless))
        if asked:
            return asked
        if isolation and has_own_tmp and (isolation.read_only or allowed is not None):
            return PRIVATE_TMP  # it could write to a home directory
        return default if allowed is None else (*allowed, _ROOT)[0]

    def _refusal(self, what: str, instead: Iterable[str] | None = None) -> PermissionDeniedError:
        """``instead``: what may be done of the kind."""
        message = f"the role {self.role!r} does not allow to {what}"
        if instead is not None:
            some = list(instead)
            message += (
                f"; it allows {', '.join(some[:_MOST_TOLD]) or 'none'}{', ...' if len(some) > _MOST_TOLD else ''}"
            )
        return PermissionDeniedError("NOT_ALLOWED", message)


def _shown(text: str) -> str:
    """What a client has sent, for a message that goes to the log, too."""
    return repr(text) if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]!r}..."
