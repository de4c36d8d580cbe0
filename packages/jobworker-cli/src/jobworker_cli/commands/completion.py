"""``completion``: the script that completes jobworker-cli in a shell."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from jobworker_cli.command_help import Command, HelpGroup, help_text
from jobworker_cli.completion.scripts import SCRIPTS, Shell
from jobworker_cli.terminal import print_line, write

_STDOUT = 1

app = typer.Typer(
    cls=HelpGroup,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _group() -> None:
    """Print the script that completes jobworker-cli in a shell.

    Commands and options are completed, ids and labels of jobs (which the server is asked for), states, contexts,
    signals, and files. To have it in each new shell:

        source <(jobworker-cli completion bash)  # in ~/.bashrc
        source <(jobworker-cli completion zsh)   # in ~/.zshrc, after compinit
        jobworker-cli completion fish | source   # in ~/.config/fish/config.fish
    """


def words(
    context: typer.Context,
    line: Annotated[list[str], typer.Argument(metavar="[WORD ...]", hidden=True, help="Up to the cursor.")],
) -> None:
    """Print what may stand in place of the last word, a line each, its description after a tab."""
    from jobworker_cli.completion.words import complete

    root: Any = context.find_root().command
    found = [f"{candidate.word}\t{candidate.help}" for candidate in complete(root, line[:-1], line[-1])]
    if found:
        print_line("\n".join(found))


def _add(shell: Shell) -> None:
    def script() -> None:
        write(_STDOUT, SCRIPTS[shell].encode())

    script.__doc__ = f"""Print the script for {shell}.

    jobworker-cli completion {shell}
    """
    app.command(str(shell), cls=Command, help=help_text(script))(script)


app.callback(help=help_text(_group))(_group)
for _shell in Shell:
    _add(_shell)
app.command("words", cls=Command, hidden=True, help=help_text(words))(words)
