"""The policy that holds now."""

from __future__ import annotations

import logging
from itertools import islice
from pathlib import Path

from jobworker_server.policy import file
from jobworker_server.policy.policy import BUILT_IN, Policy
from jobworker_server.policy.warnings import warnings
from jobworker_server.reloading import Reloadable

_MOST_WARNINGS = 20

_log = logging.getLogger(__name__)


class PolicyInForce:
    """The policy of a file, or the built-in one where there is no file.

    Raises:
        ConfigError: the file can't be used.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self.reloadables = () if path is None else (Reloadable("the policy", (path,), self.reload),)
        """What is loaded again when its file changes."""
        self.current: Policy = BUILT_IN if path is None else file.read(path)
        """The policy as a whole, for whoever asks more than one thing of it."""

    def reload(self) -> str:
        """Read the file again, and tell which roles there are.

        Raises:
            ConfigError: it can't be used; the old policy stays in force.
        """
        if self._path is not None:
            self.current = file.read(self._path)
            self.warn()
        return self.summary

    def warn(self) -> None:
        """Tell in the log what is most likely not meant, on this host; not more than a few lines of it."""
        if self._path is None:
            return
        found = warnings(self.current)
        for warning in islice(found, _MOST_WARNINGS):
            _log.warning("the policy %s: %s", self._path, warning)
        if any(True for _ in found):
            _log.warning("the policy %s: there are more; jobworker-server policy check tells all", self._path)

    @property
    def summary(self) -> str:
        """What there is in it, in a few words."""
        count = len(self.current.owners)
        owners = f", and bounds for {count} owner{'s' if count > 1 else ''}" if count else ""
        return f"it has the roles {', '.join(self.current.roles)}{owners}"
