"""``jobworker-pki show``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jobworker_pki.show import show as show_file


def show(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A certificate or a request in PEM form.")],
) -> None:
    """Print what a certificate or a request says.

    That is: name, role, validity, when to renew it, and more.
    """
    typer.echo(show_file(file))
