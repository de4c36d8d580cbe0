"""From the command line's options to a client."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from jobworker_cli import config
from jobworker_cli.terminal import say

if TYPE_CHECKING:
    from jobworker_cli.client import Client


def connect(flags: Mapping[str, str | None]) -> Client:
    """Make the client that flags, environment and configuration file ask for.

    Raises:
        ConfigurationError: they hold something that can't be used, or a file that they name can't be read.
    """
    warn_of_misspelt_variables()
    configuration = config.resolve(flags, os.environ)
    from jobworker_cli.client import Client  # not before: `--help` and wrong usage need no grpc

    return Client.configured(configuration, tell=say)


def warn_of_misspelt_variables() -> None:
    """Tell of variables that count for nothing and look as if they should."""
    for variable, right in config.misspelt(os.environ):
        say(f"warning: {variable} is set, which jobworker-cli does not know; did you mean {right}?")
