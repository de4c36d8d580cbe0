"""YAML that people write, with errors that say where it is none. It is imported only where there is some to read."""

from __future__ import annotations

from typing import Any

from jobworker_cli.errors import ConfigurationError


def parse(text: bytes, name: object, *, texts_alone: bool = False) -> Any:
    """What ``text`` holds, which messages call ``name``; ``texts_alone``: ``true`` and ``1`` stay the texts they are.

    Raises:
        ConfigurationError: it is not YAML.
    """
    import yaml

    try:
        return yaml.load(text, yaml.BaseLoader if texts_alone else yaml.SafeLoader)  # noqa: S506  both are safe
    except yaml.MarkedYAMLError as error:
        where = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigurationError(f"{name}{where}: this is not YAML: {error.problem}") from None
    except yaml.reader.ReaderError as error:
        raise ConfigurationError(f"{name}: this is not YAML: at byte {error.position}: {error.reason}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigurationError(f"{name}: this is not YAML: {error}") from None
