"""Numbers with units, as people write them in settings."""

from __future__ import annotations

import re

SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400}
BYTES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "t": 1 << 40}

_NUMBER = re.compile(r"([0-9]+(?:\.[0-9]+)?)([a-zA-Z]*)")


def size_text(size: int) -> str:
    """Bytes as ``quantity`` reads them, in the largest unit of which they are a whole number."""
    return _text(size, BYTES).upper()


def time_text(seconds: float) -> str:
    """Seconds as ``quantity`` reads them, in the largest unit of which they are a whole number."""
    return _text(seconds, SECONDS)


def quantity(text: str, units: dict[str, int], expected: str) -> float:
    """Such as ``1.5G`` and ``10GiB`` in bytes. ValueError, which says what is expected, for what is none of it."""
    match = _NUMBER.fullmatch(text)
    unit = match[2].lower().removesuffix("ib") if match else ""
    if match is None or unit not in units:
        raise ValueError(f"expected {expected}")
    return float(match[1]) * units[unit]


def _text(amount: float, units: dict[str, int]) -> str:
    fitting = [(factor, unit) for unit, factor in units.items() if amount and amount % factor == 0]
    factor, unit = max(fitting, default=(1, ""))
    return f"{amount / factor:.15g}{unit}"
