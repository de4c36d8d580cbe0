"""Generates docs/cli and the man pages from the command line itself; --check tells whether they are up to date."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from jobworker_cli import __version__, main
from jobworker_cli.command_help import summary
from jobworker_cli.command_table import COMMANDS

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "cli"
MAN = Path(__file__).parent / "man"
_EXAMPLE_INDENT = " " * 4
_ROOT = "jobworker-cli"


class Page:
    """A command, as its help tells about it."""

    def __init__(self, name: str, command: Any) -> None:
        self.name = name
        self.command = command
        self.context = typer.Context(command, info_name=name, help_option_names=["-h", "--help"])
        text: str = (command.help or "").replace("\b\n", "")
        first, _, self._rest = text.partition("\n\n")
        self.summary = " ".join(first.split())

    @property
    def usage(self) -> str:
        """Its line of usage."""
        return " ".join([self.name, *self.command.collect_usage_pieces(self.context)])

    @property
    def paragraphs(self) -> list[tuple[bool, str]]:
        """What its help says, each with whether it is an example."""
        found = []
        for part in self._rest.split("\n\n"):
            if part.strip():
                is_example = part.startswith(_EXAMPLE_INDENT)
                found.append((is_example, part if is_example else " ".join(part.split())))
        return found

    def sections(self) -> Iterator[tuple[str, list[tuple[str, str]]]]:
        """Arguments and options by section."""
        options: dict[str, list[tuple[str, str]]] = {"Arguments": []}
        for parameter in self.command.get_params(self.context):
            if parameter.param_type_name == "argument":
                options["Arguments"].append((parameter.metavar or "", getattr(parameter, "help", None) or ""))
            elif (record := parameter.get_help_record(self.context)) is not None:
                title = getattr(parameter, "rich_help_panel", None) or "Options"
                options.setdefault(title, []).append(record)
        yield from ((title, records) for title, records in options.items() if records)

    def subcommands(self) -> list[tuple[str, Any]]:
        """The commands of a group."""
        if not hasattr(self.command, "list_commands") or self.name == _ROOT:
            return []
        names = self.command.list_commands(self.context)
        found = [(name, self.command.get_command(self.context, name)) for name in names]
        return [(name, command) for name, command in found if not command.hidden]


def pages() -> list[Page]:
    """The command line as a whole, its commands, and theirs."""
    root = Page("jobworker-cli", typer.main.get_command(main.app))
    found = [root]
    for name in COMMANDS:
        page = Page(f"jobworker-cli {name}", root.command.get_command(root.context, name))
        found.append(page)
        found += [Page(f"{page.name} {below}", command) for below, command in page.subcommands()]
    return found


def markdown(page: Page) -> str:
    """A page of docs/cli."""
    lines = [f"# {page.name}", "", page.summary, "", "```", page.usage, "```", "", *_aliases(page)]
    for is_example, text in page.paragraphs:
        shell = ["```sh", re.sub(r"^ {4}", "", text, flags=re.MULTILINE), "```"]
        lines += [*(shell if is_example else [_plain(text)]), ""]
    for title, records in page.sections():
        lines += _table(title, [(f"`{_cell(name)}`", _cell(_plain(text))) for name, text in records])
    if page.name == _ROOT:
        rows = [(f"[{name}]({name}.md)", entry.summary) for name, entry in COMMANDS.items()]
        lines += [*_table("Commands", rows), EXIT_STATUSES]
    else:
        below = [(f"[{name}]({_stem(page)}-{name}.md)", summary(command)) for name, command in page.subcommands()]
        lines += _table("Commands", below) if below else []
        lines += ["## Exit status and signals", "", _plain(exit_text(page)), "", _ELSEWHERE]
    return "\n".join(lines).rstrip() + "\n"


def _table(title: str, rows: list[tuple[str, str]]) -> list[str]:
    return [f"## {title}", "", "| | |", "| --- | --- |", *(f"| {name} | {text} |" for name, text in rows), ""]


def exit_text(page: Page) -> str:
    """How a command exits, and what signals do."""
    return _EXITS.get(_stem(page), _EXIT)


_ELSEWHERE = "Options before the command, configuration, and exit statuses in a table: [jobworker-cli](README.md)."
_FAILURES = (
    "1 refused or failed, 2 wrong usage, 3 no such job, 4 not authenticated or not allowed, 5 no answer from the server"
)
_EXIT = f"0 done, {_FAILURES}; 130 ended by Ctrl-C, 141 nobody reads the standard output any more."
_OF_THE_JOB = (
    "The job's own exit code, 128 + N where signal N ended it, 126 or 127 where its command could not be executed or "
    f"was not found, 125 where how it ended is not known; before there was a job to wait for: {_FAILURES}."
)
_EXITS = {
    "run": f"{_OF_THE_JOB} Ctrl-C, SIGTERM, SIGHUP and a closed output stop the job; a second Ctrl-C kills it.",
    "attach": f"{_OF_THE_JOB} 0 where the job was left by Ctrl-P Ctrl-Q. Ctrl-C leaves a job without a terminal "
    "running; one with a terminal gets it.",
    "wait": f"{_OF_THE_JOB} 130 ended by Ctrl-C; the jobs go on.",
    "start": f"0 started, {_FAILURES}. The first Ctrl-C, SIGTERM or SIGHUP waits for the server's answer: 130, 143 or "
    "129, once it was told whether there is a job.",
}

EXIT_STATUSES = """\
## Exit statuses

| | |
| --- | --- |
| 0 | done |
| 1 | refused or failed |
| 2 | wrong usage: options, configuration, certificate files, values that the server can't take |
| 3 | no such job |
| 4 | not authenticated or not allowed |
| 5 | no answer from the server, or one that can't be trusted |
| 130, 141 | ended by Ctrl-C; whoever read the standard output has gone |

`run`, `attach` and `wait` exit as the job did; their pages say more. The
[README](../../packages/jobworker-cli/README.md) has the configuration file, JSON keys and examples.

## Signals

| | |
| --- | --- |
| Ctrl-C (SIGINT) | ends a command; `run` stops the job, `start` waits for the answer and tells whether there is a job |
| SIGTERM, SIGHUP | the same for `run` and `start`; others end at once |
| SIGPIPE, a closed output | ends a command with 141; `run` stops the job first |"""


def manual(page: Page) -> str:
    """A man page."""
    name = page.name.replace(" ", "-")
    lines = [
        f'.TH "{name.upper()}" "1" "" "jobworker-cli {__version__}" "jobworker"',
        ".SH NAME",
        f"{name} \\- {_roff(page.summary.rstrip('.'))}",
        ".SH SYNOPSIS",
        f".B {_roff(page.usage)}",
        ".SH DESCRIPTION",
    ]
    for is_example, text in page.paragraphs:
        lines += [".PP", ".nf", _roff(text), ".fi"] if is_example else [".PP", _roff(text)]
    for title, records in page.sections():
        lines.append(f".SH {title.upper()}")
        for option, text in records:
            lines += [".TP", f"\\fB{_roff(option)}\\fR", _roff(text)]
    lines += [".SH EXIT STATUS AND SIGNALS", _roff(exit_text(page))]
    if page.name == _ROOT:
        lines.append(".SH COMMANDS")
        for command, entry in COMMANDS.items():
            lines += [".TP", f"\\fBjobworker\\-cli\\-{_roff(command)}\\fR(1)", _roff(entry.summary)]
    else:
        lines += [".SH SEE ALSO", "\\fBjobworker\\-cli\\fR(1)"]
    return "\n".join(lines) + "\n"


def files() -> dict[Path, str]:
    """Every file that is generated."""
    found = {}
    for page in pages():
        found[PAGES / _file(page)] = markdown(page)
        found[MAN / f"{page.name.replace(' ', '-')}.1"] = manual(page)
    return found


def check() -> list[str]:
    """What is not as it would be generated."""
    wanted = files()
    there = {*PAGES.glob("*.md"), *MAN.glob("*.1")}
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text() != text]
    return [str(path.relative_to(ROOT)) for path in (*stale, *(there - wanted.keys()))]


def write() -> None:
    """Generate all, and remove what is no command any more."""
    wanted = files()
    for directory in (PAGES, MAN):
        directory.mkdir(exist_ok=True)
        for path in {*directory.glob("*.md"), *directory.glob("*.1")} - wanted.keys():
            path.unlink()
    for path, text in wanted.items():
        path.write_text(text)


def _file(page: Page) -> str:
    return "README.md" if page.name == _ROOT else f"{_stem(page)}.md"


def _stem(page: Page) -> str:
    return page.name.removeprefix("jobworker-cli ").replace(" ", "-")


def _aliases(page: Page) -> list[str]:
    entry = COMMANDS.get(_stem(page))
    return [f"Also: {', '.join(f'`{alias}`' for alias in entry.aliases)}.", ""] if entry and entry.aliases else []


def _plain(text: str) -> str:
    return re.sub(r"^Also: [^.]*\. ?", "", " ".join(text.split())).replace("<", "&lt;").replace("*", "\\*")


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _roff(text: str) -> str:
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^([.'])", r"\\&\1", escaped, flags=re.MULTILINE)


def _main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail where something is not up to date")
    if not parser.parse_args().check:
        write()
        return 0
    stale = check()
    if stale:
        print(f"not as generated: {', '.join(stale)}\n`make docs` generates them", file=sys.stderr)
    return bool(stale)


if __name__ == "__main__":
    sys.exit(_main())
