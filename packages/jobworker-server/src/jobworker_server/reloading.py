"""Files that are read again while the server runs: when they change, and when it is asked to by SIGHUP.

A change is taken when the files have stayed the same for a moment, and are whole: a certificate whose key is still the
old one is looked at again until the key has come, too. What can't be used is told, and what was there stays in use.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from jobworker_server.errors import ServerError

_LOOK_SECONDS = 0.5
"""How often files are looked at; a change is taken when two looks in a row have seen the same."""
_PATIENCE_SECONDS = 3.0
"""How long files that can't be used may be about to be completed, before it is told that they can't."""

_log = logging.getLogger(__name__)

Seen = tuple[tuple[int, ...] | None, ...]


class Reloadable:
    """Something that is loaded from files; to be made before it is loaded first, so that no change is missed.

    ``what`` is its name in the log, such as "the policy". ``reload`` reads the files, puts what they hold in the place
    of what was there by one assignment, and returns what that is, for the log; it runs in a thread of its own. It
    raises ServerError, and changes nothing, where the files can't be used.
    """

    def __init__(self, what: str, files: Sequence[Path], reload: Callable[[], str]) -> None:
        self.what = what
        self.reload = reload
        self._files = files
        self.loaded = self.see()

    def see(self) -> Seen:
        """What is different after the files have changed."""
        return tuple(map(_seen, self._files))


class Reloading:
    """Watches files. ``then`` is called, in the event loop, after anything was loaded from them."""

    def __init__(self, reloadables: Iterable[Reloadable], then: Callable[[], None]) -> None:
        self._watches = [_Watch(reloadable) for reloadable in reloadables]
        self._then = then
        self._asked = asyncio.Event()
        self._when_done: list[Callable[[], None]] = []

    def ask(self, when_done: Callable[[], None] | None = None) -> None:
        """Load everything again, whether it has changed or not; ``when_done`` is called after that."""
        if when_done:
            self._when_done.append(when_done)
        self._asked.set()

    async def run(self) -> None:
        """Watch until cancelled."""
        thread = ThreadPoolExecutor(1, "jobworker-reloading")
        try:
            while True:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._asked.wait(), _LOOK_SECONDS)
                asked = self._asked.is_set()
                self._asked.clear()
                when_done, self._when_done = self._when_done, []
                try:
                    if await asyncio.get_running_loop().run_in_executor(thread, self._look, asked):
                        self._then()
                except Exception:  # noqa: BLE001  whatever it is, files are to be watched on
                    _log.exception("a fault in looking at files; they are looked at again")
                for tell in when_done:
                    tell()
        finally:
            thread.shutdown(wait=False)  # a filesystem that hangs does not hold up the end of the server

    def _look(self, asked: bool) -> bool:
        """Whether anything was loaded."""
        loaded = [watch.load() if asked else watch.look() for watch in self._watches]
        return any(loaded)


class _Watch:
    """What is known of the files of one that is reloadable."""

    def __init__(self, reloadable: Reloadable) -> None:
        self._reloadable = reloadable
        self._taken = self._last = reloadable.loaded
        self._failing_since: float | None = None

    def look(self) -> bool:
        """Load the files where they have changed and settled. Returns whether they were loaded."""
        last, self._last = self._last, self._reloadable.see()
        if self._last == last != self._taken:
            return self._try()
        self._failing_since = None
        return False

    def load(self) -> bool:
        """Load the files as they are now."""
        self._failing_since = float("-inf")
        self._last = self._reloadable.see()
        return self._try()

    def _try(self) -> bool:
        what = self._reloadable.what
        try:
            found = self._reloadable.reload()
        except ServerError as error:
            return self._failed(error)
        except Exception:  # noqa: BLE001  whatever it is, the others are to be watched on
            self._taken = self._last
            _log.exception("a fault: %s was not reloaded, the old one stays in use", what)
            return False
        self._taken = self._last
        self._failing_since = None
        _log.info("%s was reloaded: %s", what, found)
        return True

    def _failed(self, error: ServerError) -> bool:
        now = time.monotonic()
        if self._failing_since is None:
            self._failing_since = now
        if now >= self._failing_since + _PATIENCE_SECONDS:
            self._taken = self._last  # until the files change again
            _log.error("%s was not reloaded, the old one stays in use: %s", self._reloadable.what, error)
        return False


def _seen(path: Path) -> tuple[int, ...] | None:
    """What changes with a file, or with a link on the way to it."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
