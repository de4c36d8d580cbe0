"""Which jobs to list: named once, for both clients."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypedDict

from jobworker_cli.models import JobState


class ListOptions(TypedDict, total=False):
    """The keyword arguments of ``Client.list``. Conditions are joined by and."""

    states: Iterable[JobState]
    """In any of these; empty: in all."""
    labels: Mapping[str, str] | None
    """That carry all of these."""
    owner: str
    """Of this owner; empty: the caller's own, unless ``all_owners`` is set."""
    all_owners: bool
    """Every owner's, as far as the caller may see them."""
    id_prefix: str
    """Whose id begins with this."""
    page_size: int
    """Jobs in a page, up to 1000; 0: the server's default."""


class PageOptions(ListOptions, total=False):
    """The keyword arguments of ``Client.list_page``."""

    page_token: str
    """The page after the one that came with this; empty: the first one."""
