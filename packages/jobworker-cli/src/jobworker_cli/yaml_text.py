"""YAML that people write, with errors that say where it is none. It is imported only where there is some to read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jobworker_cli.errors import ConfigurationError


def parse(text: bytes, name: object, *, texts_alone: bool = False) -> Any:
    """What ``text`` holds, which messages call ``name``; ``texts_alone``: ``true`` and ``1`` stay the texts they are.

    Raises:
        ConfigurationError: it is not YAML, or a mapping in it has a key twice.
    """
    import yaml

    try:
        loader = (yaml.BaseLoader if texts_alone else yaml.SafeLoader)(text)
        node = loader.get_single_node()
        _require_single_keys(node, name)
        return None if node is None else loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        where = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigurationError(f"{name}{where}: this is not YAML: {error.problem}") from None
    except yaml.reader.ReaderError as error:
        raise ConfigurationError(f"{name}: this is not YAML: at byte {error.position}: {error.reason}") from None
    except RecursionError:
        raise ConfigurationError(f"{name}: it is nested too deep") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigurationError(f"{name}: this is not YAML: {error}") from None


def _require_single_keys(root: Any, name: object) -> None:
    """Refuse a key that a mapping has twice, of which YAML's readers take the last without a word."""
    from yaml import MappingNode, SequenceNode

    nodes, seen = [root], set()
    while nodes:
        node = nodes.pop()
        if id(node) in seen:  # an alias
            continue
        seen.add(id(node))
        if isinstance(node, SequenceNode):
            nodes += node.value
        elif isinstance(node, MappingNode):
            _require_single([key for key, _ in node.value], name)
            nodes += [value for _, value in node.value]


def _require_single(keys: Sequence[Any], name: object) -> None:
    lines: dict[str, int] = {}
    for key in keys:
        text, line = str(key.value), key.start_mark.line + 1
        if text in lines:
            where = f"line {line}" if lines[text] == line else f"lines {lines[text]} and {line}"
            raise ConfigurationError(f"{name}, {where}: the key {text!r} is there twice")
        lines[text] = line
