"""Changes of the configuration file that leave its comments and its order as they are."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from jobworker_cli.errors import ConfigurationError

_INDENT = 2


def set_value(path: Path, keys: Sequence[str], value: str) -> None:
    """Set the value at ``keys``, from the file's root on; what is missing of it is added.

    Raises:
        ConfigurationError: the file can't be written.
    """
    text = path.read_text() if path.exists() else ""
    wanted = _changed(yaml.safe_load(text) or {}, keys, value)
    edited = _edited(text, keys, value)
    if edited is None or _load(edited) != wanted:  # a form that is not known here: the comments are lost
        edited = yaml.safe_dump(wanted, sort_keys=False, allow_unicode=True)
    write(path, edited)


def write(path: Path, text: str) -> None:
    """Write the file as a whole, or not at all. ConfigurationError: it can't be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        target = path.resolve()  # a link stays one
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(text)
            Path(name).chmod(target.stat().st_mode & 0o777 if target.exists() else 0o600)
            Path(name).replace(target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ConfigurationError(f"the configuration file {path} can't be written: {error.strerror}") from None


def _changed(content: Any, keys: Sequence[str], value: str) -> Any:
    first, *rest = keys
    content = dict(content or {})
    content[first] = _changed(content.get(first), rest, value) if rest else value
    return content


def _edited(text: str, keys: Sequence[str], value: str) -> str | None:
    """The text with nothing but the value changed; None where that takes more."""
    node: Any = yaml.compose(text)
    if node is None:
        return text + _lines(keys, value, 0)
    for depth, key in enumerate(keys):
        if not isinstance(node, yaml.MappingNode):
            return None
        found = next((item for name, item in node.value if name.value == key), None)
        if found is None:
            return _inserted(text, node, keys[depth:], value)
        node = found
    if not isinstance(node, yaml.ScalarNode) or node.style in ("|", ">"):
        return None
    return text[: node.start_mark.index] + _scalar(value) + text[node.end_mark.index :]


def _inserted(text: str, node: Any, keys: Sequence[str], value: str) -> str | None:
    """The text with new lines after the last entry of a mapping."""
    if node.flow_style or not node.value:
        return None
    column = node.value[0][0].start_mark.column
    last = node.value[-1][1]
    while isinstance(last, yaml.MappingNode) and last.value and not last.flow_style:
        last = last.value[-1][1]
    end = text.find("\n", last.end_mark.index)
    head, tail = (text + "\n", "") if end < 0 else (text[: end + 1], text[end + 1 :])
    return head + _lines(keys, value, column) + tail


def _lines(keys: Sequence[str], value: str, column: int) -> str:
    lines = []
    for depth, key in enumerate(keys):
        end = f" {_scalar(value)}" if depth == len(keys) - 1 else ""
        lines.append(f"{' ' * (column + _INDENT * depth)}{_scalar(key)}:{end}\n")
    return "".join(lines)


def _scalar(text: str) -> str:
    """A text as YAML has it on one line, quoted where it must be."""
    dumped = yaml.safe_dump(text, width=1 << 30, allow_unicode=True).removesuffix("\n").removesuffix("\n...")
    return dumped if "\n" not in dumped else f'"{text!r}"'


def _load(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return None
