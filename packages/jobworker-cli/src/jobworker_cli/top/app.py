"""The program of ``top``."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding
from textual.widgets import DataTable, Footer, Input, Static

from jobworker_cli.client.aio import Client
from jobworker_cli.errors import ClientError, JobNotFoundError, JobNotRunningError, NoAnswerError
from jobworker_cli.models import Job, JobState
from jobworker_cli.top.log_screen import LogScreen
from jobworker_cli.top.question import Question
from jobworker_cli.top.rows import COLUMNS, Look, in_order, labels_text, matches, row

if TYPE_CHECKING:
    from jobworker_cli.config import Configuration
    from jobworker_cli.fence import Sample

_MOST_JOBS = 500
_MOST_LOOKS = 64
_LIVE = [state for state in JobState if not state.ended]


class TopApp(App[ClientError | None]):
    """A table of jobs that is filled anew at an interval. It returns the error that ended it, if one did."""

    CSS = """
    #summary { height: 1; text-style: bold; }
    #filter { display: none; }
    #filter.shown { display: block; }
    DataTable { height: 1fr; }
    """
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar = [
        Binding("enter", "log", "log", priority=False),
        Binding("l", "log", show=False),
        Binding("s", "stop", "stop"),
        Binding("K", "kill", "kill"),
        Binding("slash", "filter", "filter"),
        Binding("e", "ended", "ended too"),
        Binding("escape", "no_filter", show=False),
        Binding("q", "quit", "quit"),
        Binding("ctrl+c", "quit", show=False, priority=True),
    ]

    def __init__(
        self, configuration: Configuration, labels: Mapping[str, str], *, all_owners: bool, interval: float
    ) -> None:
        super().__init__()
        self._configuration = configuration
        self._labels = labels
        self._all_owners = all_owners
        self._interval = interval
        self._shows_ended = False
        self._words = ""
        self._looks: dict[str, Look] = {}
        self._before: dict[str, Look] = {}
        self._has_answered = False
        self._asked = asyncio.Event()
        self.client: Client

    def compose(self) -> ComposeResult:
        """The parts of the screen."""
        yield Static(id="summary", markup=False)
        yield DataTable(cursor_type="row", zebra_stripes=True)
        yield Input(id="filter", placeholder="id, command, label, owner or state")
        yield Footer()

    def on_mount(self) -> None:
        """Connect, and begin to look."""
        self.table.add_columns(*COLUMNS)
        self.table.focus()
        try:
            self.client = Client.configured(self._configuration)
        except ClientError as error:
            self.exit(error)
            return
        self.run_worker(self._look_on(), exclusive=False)

    async def on_unmount(self) -> None:
        """Hang up."""
        if hasattr(self, "client"):
            await self.client.close()

    @property
    def table(self) -> DataTable[Text]:
        """The table of jobs."""
        return self.query_one(DataTable)

    @property
    def chosen(self) -> Job | None:
        """The job under the cursor."""
        if not self.table.row_count:
            return None
        key = self.table.coordinate_to_cell_key(self.table.cursor_coordinate).row_key.value
        look = self._looks.get(key or "")
        return look.job if look else None

    def action_log(self) -> None:
        """Show the job's output."""
        if (job := self.chosen) and not isinstance(self.screen, LogScreen):
            _ = self.push_screen(LogScreen(self.client, job))

    def on_data_table_row_selected(self, _event: DataTable.RowSelected) -> None:
        """Enter on a row."""
        self.action_log()

    def action_stop(self) -> None:
        """Stop the job, once that was confirmed."""
        self._ask_to_end("stop", force=False)

    def action_kill(self) -> None:
        """Kill the job, once that was confirmed."""
        self._ask_to_end("kill", force=True)

    def action_filter(self) -> None:
        """Ask for the words to filter by."""
        field = self.query_one("#filter", Input)
        field.add_class("shown")
        field.focus()

    def action_no_filter(self) -> None:
        """Show all jobs again."""
        self.query_one("#filter", Input).value = ""
        self._end_of_filter()

    def action_ended(self) -> None:
        """Show jobs that have ended, or leave them out."""
        self._shows_ended = not self._shows_ended
        self._asked.set()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter while it is typed."""
        self._words = event.value
        self._show()

    def on_input_submitted(self, _event: Input.Submitted) -> None:
        """Go back to the table, filtered."""
        self._end_of_filter()

    def _end_of_filter(self) -> None:
        field = self.query_one("#filter", Input)
        field.set_class(bool(field.value), "shown")
        self.table.focus()

    def _ask_to_end(self, verb: str, *, force: bool) -> None:
        job = self.chosen
        if job is None or job.state.ended:
            self.bell()
            return

        def answered(yes: bool | None) -> None:
            if yes:
                self.run_worker(self._end(job, force=force))

        _ = self.push_screen(Question(f"{verb} job {job.id[:8]}?", job), answered)

    async def _end(self, job: Job, *, force: bool) -> None:
        try:
            await self.client.stop(job.id, force=force)
        except JobNotRunningError:
            pass  # by itself, meanwhile
        except ClientError as error:
            self.notify(f"{error}\n{error.hint}", severity="error", markup=False)
        self._asked.set()

    async def _look_on(self) -> None:
        """Look at the jobs at the interval, and whenever that is asked for."""
        while True:
            try:
                await self._look()
                self._has_answered = True
            except NoAnswerError as error:
                if not self._has_answered:
                    self.exit(error)
                    return
                self.query_one("#summary", Static).update(f"{error}; trying again")
            except ClientError as error:
                self.exit(error)
                return
            self._asked.clear()
            try:
                await asyncio.wait_for(self._asked.wait(), self._interval)
            except TimeoutError:
                continue

    async def _look(self) -> None:
        states = [] if self._shows_ended else _LIVE
        page = await self.client.list_page(
            states=states, labels=self._labels, all_owners=self._all_owners, page_size=_MOST_JOBS
        )
        jobs = in_order(page.jobs)
        running = [job for job in jobs if job.state is JobState.RUNNING][:_MOST_LOOKS]
        samples = dict(zip((job.id for job in running), await asyncio.gather(*map(self._sample, running)), strict=True))
        now = time.monotonic()
        self._before, self._looks = self._looks, {job.id: Look(job, samples.get(job.id), now) for job in jobs}
        self._show()

    async def _sample(self, job: Job) -> Sample | None:
        try:
            async for sample in self.client.stats(job.id, once=True):
                return sample
        except JobNotFoundError:
            pass  # removed meanwhile
        return None

    def _show(self) -> None:
        """Fill the table, the cursor on the job on which it was."""
        chosen = self.chosen
        now = datetime.now(UTC)
        shown = [look for look in self._looks.values() if matches(look.job, self._words)]
        self.table.clear()
        for look in shown:
            self.table.add_row(*map(Text, row(look, self._before.get(look.job.id), now)), key=look.job.id)
        if chosen:
            ids = [look.job.id for look in shown]
            self.table.move_cursor(row=ids.index(chosen.id) if chosen.id in ids else 0)
        self._summarize(len(shown))

    def _summarize(self, shown: int) -> None:
        running = sum(look.job.state is JobState.RUNNING for look in self._looks.values())
        parts = [f"{self._configuration.server.value}", f"{running} running", f"{shown} shown"]
        if self._labels:
            parts.append(labels_text(self._labels))
        self.query_one("#summary", Static).update("  ".join(parts))
