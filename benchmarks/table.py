"""Markdown tables, and the numbers in them."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence


def show(title: str, headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table; the first column is text, the others are numbers."""
    print(f"### {title}\n")
    print(f"| {' | '.join(headings)} |")
    print(f"| --- |{' ---: |' * (len(headings) - 1)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    print(flush=True)


def quantile(values: Sequence[float], share: float) -> float:
    """The value that ``share`` of the values do not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def milliseconds(seconds: Sequence[float]) -> tuple[str, str]:
    """Median and 99th percentile, in milliseconds."""
    return f"{statistics.median(seconds) * 1000:.2f}", f"{quantile(seconds, 0.99) * 1000:.2f}"


def spread(values: Sequence[float], digits: int = 0) -> tuple[str, str]:
    """The median, and the lowest to the highest of all rounds."""
    return f"{statistics.median(values):.{digits}f}", f"{min(values):.{digits}f} to {max(values):.{digits}f}"
