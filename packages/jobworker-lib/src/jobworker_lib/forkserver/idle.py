"""The fork server's idle shims, known by the descriptors of their links.

There are two kinds. A shim whose first job was to gain no privileges has set ``PR_SET_NO_NEW_PRIVS`` for itself, which
its jobs inherit and nothing takes back (prctl(2)). From then on it is of use to such jobs alone. So they cost nothing:
they are executed as quickly as others, by a shim that has one thread and stays their parent.
"""

from __future__ import annotations

_MOST_OF_A_KIND = 8


class IdleShims:
    """A pool of each kind; of those that wait, the last to come is the first to go."""

    def __init__(self) -> None:
        self._bound: set[int] = set()
        """Those that gain no privileges, busy ones included."""
        self._idle: dict[bool, list[int]] = {False: [], True: []}
        """Those that wait, by whether they may gain privileges."""

    def take(self, *, new_privileges: bool) -> int | None:
        """One for a job that may, or may not, gain privileges; None: none waits that would do."""
        wanted = self._idle[new_privileges] or ([] if new_privileges else self._idle[True])
        return wanted.pop() if wanted else None

    def bind(self, link: int) -> None:
        """It is given a job that gains no privileges."""
        self._bound.add(link)

    def put(self, link: int) -> bool:
        """Let it wait for a job; False: enough of its kind do."""
        waiting = self._idle[link not in self._bound]
        if len(waiting) >= _MOST_OF_A_KIND:
            return False
        waiting.append(link)
        return True

    def take_all(self) -> list[int]:
        """All that wait."""
        taken = [link for waiting in self._idle.values() for link in waiting]
        for waiting in self._idle.values():
            waiting.clear()
        return taken

    def forget(self, link: int) -> None:
        """It is gone, and the number of its link may soon be another's."""
        self._bound.discard(link)
        for waiting in self._idle.values():
            if link in waiting:
                waiting.remove(link)
