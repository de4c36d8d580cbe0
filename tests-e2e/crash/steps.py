"""Which steps are tried: all with ``JOBWORKER_CRASH_EVERY=1``, otherwise every so many, from a random one on."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterable

import pytest

from crash.strace import Step

EVERY = int(os.environ.get("JOBWORKER_CRASH_EVERY", "15"))
ONLY = os.environ.get("JOBWORKER_CRASH_STEP")
"""One step alone, such as ``write:2``, to see a failure again."""

_TURNS = 2

turns = pytest.mark.parametrize("turn", range(_TURNS))
"""Each test is two, that share its steps, so that two processors have something to do."""


def each_step(turn: int, steps: Iterable[Step], trial: Callable[[Step], object], *, rarer: int = 1) -> None:
    """Call ``trial`` with this turn's share of the steps. Which these are is chosen by the seed of pytest-randomly.

    ``rarer``: of a sample, only one in so many is tried, for these trials take long.
    """
    every = EVERY * rarer if EVERY > 1 else 1
    chosen = list(steps)[turn::_TURNS]
    chosen = chosen[random.randrange(every) :: every]  # noqa: S311  # to be repeated, not to be secret
    if ONLY is not None:
        chosen = [step for step in steps if str(step) == ONLY]
    for step in chosen:
        try:
            trial(step)
        except BaseException as error:
            error.add_note(f"at the step {step}; again with JOBWORKER_CRASH_STEP={step}")
            raise
