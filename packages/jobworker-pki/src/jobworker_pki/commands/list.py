"""``jobworker-pki list``."""

from __future__ import annotations

from typing import Annotated

import typer

from jobworker_pki import listing, report
from jobworker_pki.commands.options import Directory


def list_(
    directory: Directory = report.DEFAULT_DIRECTORY,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object, for programs.")] = False,
) -> None:
    """List requests and certificates.

    Requests that wait, certificates that were issued, until when they are valid, and which to renew.
    """
    contents = listing.load(directory)
    if not contents.requests and not contents.entries:
        report.note(f"nothing is known of certificates in {directory}")
    typer.echo(listing.as_json(contents) if as_json else listing.as_text(contents))
