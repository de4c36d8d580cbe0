"""What is kept on disk as a JSON object and read by other versions of this package."""

from __future__ import annotations

from dataclasses import fields
from typing import Any


def known_fields(kind: type[Any], value: dict[str, Any]) -> dict[str, Any]:
    """What of a JSON object this version knows: a key that a later one has added is none of its business."""
    return {field.name: value[field.name] for field in fields(kind) if field.name in value}
