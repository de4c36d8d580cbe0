"""A job joined from the command line: keys go to it, and its output comes out here."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING

from jobworker_cli.input_feed import InputFeed
from jobworker_cli.local_terminal import RawTerminal
from jobworker_cli.terminal import say, write_output

if TYPE_CHECKING:
    from jobworker_cli.attachment import Attachment
    from jobworker_cli.models import Job

_STDIN = 0


def join(attachment: Attachment, *, feed: bool) -> Job | None:
    """Stand for the job until it has ended: the job, or None where it was left, which is said.

    ``feed`` hands the standard input on to it. Where that is a terminal, and the job has one, every key is handed on
    but Ctrl-P Ctrl-Q, which leaves the job.

    Raises:
        OutputInterruptedError: the connection was lost.
        OutputClosedError: nobody reads the output any more.
    """
    with attachment:
        if not feed:
            _show(attachment)
            return attachment.job
        with ExitStack() as undo:
            is_raw = attachment.job.tty and os.isatty(_STDIN)
            inputs = undo.enter_context(InputFeed(attachment, detachable=is_raw))
            terminal = undo.enter_context(RawTerminal(inputs.resized)) if is_raw else None
            try:
                _show(attachment)
            finally:
                if terminal and not attachment.job.state.ended:
                    terminal.calm()
    if not inputs.detached:
        return attachment.job
    say(f"left the job, which goes on: `jobworker-cli attach {attachment.job.id}` joins it again")
    return None


def _show(attachment: Attachment) -> None:
    for batch in attachment.output_batches():
        write_output(batch)
