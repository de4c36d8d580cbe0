"""A question that is answered with y or n."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.binding import Binding
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

from jobworker_cli.text import command_line

if TYPE_CHECKING:
    from textual.app import ComposeResult

    from jobworker_cli.models import Job


class Question(ModalScreen[bool]):
    """Asks about a job; y confirms, anything else that is bound does not."""

    CSS = """
    Question { align: center middle; }
    Question Vertical { width: auto; max-width: 90%; height: auto; border: round $primary; padding: 1 2; }
    Question Static { width: auto; max-width: 100%; }
    """
    BINDINGS: ClassVar = [Binding("y", "answer(True)", "yes"), Binding("n,escape,q,enter", "answer(False)", "no")]

    def __init__(self, question: str, job: Job) -> None:
        super().__init__()
        self._question = question
        self._job = job

    def compose(self) -> ComposeResult:
        """The question, and what it is about."""
        with Vertical():
            yield Static(f"{self._question} [y/n]", markup=False)
            yield Static(command_line(self._job.argv), markup=False)

    def action_answer(self, yes: bool) -> None:
        """It was answered."""
        _ = self.dismiss(yes)
