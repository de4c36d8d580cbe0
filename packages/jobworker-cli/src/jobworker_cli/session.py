"""A job joined from the command line: keys go to it, and its output comes out here."""

from __future__ import annotations

import os
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

from jobworker_cli.errors import InputClosedError, NoAnswerError, OutputInterruptedError
from jobworker_cli.input_feed import InputFeed
from jobworker_cli.job_output import write_output
from jobworker_cli.local_terminal import RawTerminal, local_size
from jobworker_cli.terminal import say

if TYPE_CHECKING:
    from jobworker_cli.client.attachment import Attachment
    from jobworker_cli.models import Job

_STDIN = 0


def join(attachment: Attachment, *, feed: bool) -> Job | None:
    """Stand for the job until it has ended: the job, or None where it was left, which is said.

    ``feed`` hands the standard input on to it. Where that is a terminal, and the job has one, every key is handed on
    but Ctrl-P Ctrl-Q, which leaves the job.

    Where the connection is lost, the job is joined again when the server is back, and its output goes on where it was.
    But a pipe's input might have a hole then, where some of it was on its way: such a job is left as it is.

    Raises:
        OutputInterruptedError: the connection was lost, and input with it, or the server did not come back.
        OutputClosedError: nobody reads the output any more.
    """
    while True:
        try:
            return _stay(attachment, feed=feed)
        except OutputInterruptedError as lost:
            is_typed = feed and _is_terminal(attachment)
            if not (is_typed or attachment.input_is_certain):
                raise
            try:
                attachment.rejoin()
            except NoAnswerError:
                raise lost from None
            if is_typed:
                say("what was typed just before may not have reached the job")
                resize(attachment)


def resize(attachment: Attachment) -> None:
    """Give the job's terminal the size of the one here; who draws on it draws anew."""
    if size := local_size():
        with suppress(InputClosedError):  # it has just ended
            attachment.resize(size)


def _is_terminal(attachment: Attachment) -> bool:
    return attachment.job.tty and os.isatty(_STDIN)


def _stay(attachment: Attachment, *, feed: bool) -> Job | None:
    with attachment:
        if not feed:
            _show(attachment)
            return attachment.job
        with ExitStack() as undo:
            is_raw = _is_terminal(attachment)
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
