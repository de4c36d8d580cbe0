"""A YAML file whose entries know where they stand, so that an error can say it."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import yaml

from jobworker_server.errors import ConfigError
from jobworker_server.nearest import nearest


@dataclass(frozen=True, slots=True)
class Entry:
    """What stands at one place of the file."""

    file: Path
    node: yaml.Node
    place: str
    """The keys that lead to it, with dots between."""

    def error(self, problem: str) -> ConfigError:
        """The error that tells of a problem here."""
        where = f"{self.file}, line {self.node.start_mark.line + 1}"
        return ConfigError(f"{where}: {self.place}: {problem}" if self.place else f"{where}: {problem}")

    def mapping(self, known: Iterable[str] | None = None, what: str = "key") -> dict[str, Entry]:
        """The entries in it, by their keys; nothing counts as none.

        Args:
            known: the keys that there may be; None: any.
            what: what a key stands for, in a sentence.

        Raises:
            ConfigError: it is no mapping, or a key is there twice, is not known, or is no text.
        """
        if self._is_empty():
            return {}
        if not isinstance(self.node, yaml.MappingNode):
            raise self.error(f"expected a mapping, such as {_example(known)}: ..., not {self._text()!r}")
        found: dict[str, Entry] = {}
        for key_node, value in self.node.value:
            key_entry = Entry(self.file, key_node, self.place)
            key = key_entry.value()
            if not isinstance(key, str):
                raise key_entry.error(f"the {what} {key!r} is not text; put it in quotes")
            if key in found:
                raise key_entry.error(f"the {what} {key!r} is there twice")
            if known is not None:
                key_entry.known(known, what)
            found[key] = Entry(self.file, value, f"{self.place}.{key}" if self.place else key)
        return found

    def texts(self) -> list[Entry]:
        """The entries of a list of text. ConfigError where it is none, or something is in it twice."""
        if not isinstance(self.node, yaml.SequenceNode):
            raise self.error(f"expected a list, such as [{self._text()}]")
        entries = [Entry(self.file, node, self.place) for node in self.node.value]
        seen: set[str] = set()
        for entry in entries:
            if entry.text() in seen:
                raise entry.error(f"{entry.text()!r} is there twice")
            seen.add(entry.text())
        return entries

    def text(self) -> str:
        """The text that it is. ConfigError where it is none."""
        value = self.value()
        if not isinstance(value, str):
            raise self.error(f"expected text, not {value!r}; put it in quotes")
        if not value or "\0" in value:
            raise self.error("expected text")
        return value

    def choice(self, choices: Collection[str]) -> str:
        """One of these texts. ConfigError where it is none of them."""
        value = self.value()
        if not isinstance(value, str) or value not in choices:
            raise self.error(f"expected {' or '.join(choices)}, not {self._text()!r}")
        return value

    def known(self, names: Iterable[str], what: str) -> None:
        """ConfigError, with the nearest one, where it is none of these names."""
        if self.text() not in names:
            raise self.error(f"there is no {what} {self.text()!r}; {nearest(self.text(), names)}")

    def number(self, least: int = 1, most: int | None = None) -> int:
        """The number that it is, of those from ``least`` to ``most``. ConfigError where it is none."""
        value = self.value()
        if type(value) is not int or value < least or (most is not None and value > most):
            which = f"{least} or more" if most is None else f"{least} to {most}"
            raise self.error(f"expected a whole number, {which}, not {self._text()!r}")
        return value

    def flag(self) -> bool:
        """Whether it is true. ConfigError where it is neither true nor false."""
        value = self.value()
        if type(value) is not bool:
            raise self.error(f"expected true or false, not {self._text()!r}")
        return value

    def value(self) -> object:
        """All of it as Python has it. ConfigError where it has no value."""
        try:
            return yaml.constructor.SafeConstructor().construct_document(self.node)
        except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
            raise self.error(f"it can't be read: {getattr(error, 'problem', None) or error}") from None

    def _text(self) -> str:
        """What stands there."""
        return str(self.node.value) if isinstance(self.node, yaml.ScalarNode) else "..."

    def _is_empty(self) -> bool:
        return isinstance(self.node, yaml.ScalarNode) and self.value() is None


def read(path: Path, what: str) -> Entry:
    """The file as a whole; ``what`` it is, in a sentence.

    Raises:
        ConfigError: it can't be read, may be written to by anybody, or is not YAML.
    """
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & stat.S_IWOTH:
                raise ConfigError(f"every user of this host may write to the {what} {path}; run chmod o-w {path}")
            node = yaml.compose(file, Loader=yaml.SafeLoader)
    except OSError as error:
        raise ConfigError(f"the {what} {path} can't be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{path}{where}: the {what} is not YAML{f': {problem}' if problem else ''}") from None
    start = yaml.Mark(str(path), 0, 0, 0, "", 0)
    return Entry(path, node or yaml.MappingNode("tag:yaml.org,2002:map", [], start, start), "")


def _example(known: Iterable[str] | None) -> str:
    return next(iter(known or ()), "name")
