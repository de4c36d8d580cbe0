"""``config``: the configuration file, shown and changed."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobworker_cli import config, config_file
from jobworker_cli.command_help import Command, HelpGroup, help_text
from jobworker_cli.connection import warn_of_misspelt_variables
from jobworker_cli.errors import ConfigurationError
from jobworker_cli.terminal import print_line, say

if TYPE_CHECKING:
    from jobworker_cli.setting import Setting

Key = Annotated[
    str,
    typer.Argument(metavar="KEY", hidden=True, help=f"One of {', '.join(config_file.SETTINGS)}."),
]

app = typer.Typer(
    cls=HelpGroup,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _group() -> None:
    """Show and change the configuration file.

    It holds where a server is and with which certificates to talk to it, for several servers under named contexts.
    The options --config and --context before `config` say which file and which context are meant; the default is
    $XDG_CONFIG_HOME/jobworker/config.yaml.

        jobworker-cli --server jobs.example.com:50051 --name ann config init
        jobworker-cli --context home config set serverAddress nas.local:50051
        jobworker-cli config use home
    """


def init(
    context: typer.Context,
    *,
    force: Annotated[bool, typer.Option("--force", help="In place of a file that is there.")] = False,
) -> None:
    """Write a configuration file with the server and certificates that are in use now.

    They come from the options before `config`, the environment and the defaults. With --context they are written as a
    context of that name, which is the current one from then on.

        jobworker-cli --server jobs.example.com:50051 --name ann config init
    """
    flags: dict[str, str | None] = context.obj
    path = config.file_in_use(flags, os.environ)
    if path.exists() and not force:
        hint = "`jobworker-cli config set KEY VALUE` changes it; --force replaces it"
        raise ConfigurationError(f"the configuration file {path} exists", hint)
    found = config.resolve(flags, os.environ, read_file=False)
    from jobworker_cli import config_edit

    name = flags.get("context")
    lines = [f"currentContext: {name}\n" if name else ""]
    config_edit.write(path, "".join(lines))
    for key, role in config_file.SETTINGS.items():
        setting: Setting | None = getattr(found, role)
        if setting is None:
            continue
        _set(path, name, key, setting.value)
        if role in config_file.PATHS and not Path(setting.value).exists():
            say(f"note: there is no file {setting.value} (from {setting.source})")
    print_line(str(path))
    say("next: `jobworker-cli list`")


def get(context: typer.Context, key: Key) -> None:
    """Print the value of a key that would count now, from wherever it comes.

    jobworker-cli --context work config get serverAddress
    """
    config_file.require_key(key, config.file_in_use(context.obj, os.environ))
    found = config.resolve(context.obj, os.environ)
    setting: Setting | None = getattr(found, config_file.SETTINGS[key])
    if setting is None:
        raise ConfigurationError(f"{key} is not set", f"`jobworker-cli config set {key} VALUE` sets it")
    print_line(setting.value)


def set_key(
    context: typer.Context,
    key: Key,
    value: Annotated[str, typer.Argument(metavar="VALUE", hidden=True, help="HOST:PORT, or a file.")],
) -> None:
    """Set a key in the file, in the current context or that of --context; a new context is made.

    Comments stay. A path is kept relative to the file where it is below the file's directory.

        jobworker-cli --context home config set serverAddress nas.local:50051
    """
    path = config.file_in_use(context.obj, os.environ)
    config_file.require_key(key, path)
    if config_file.SETTINGS[key] == "server":
        config.check_server(value, key)
    _set(path, context.obj.get("context") or _current(path), key, value)


def use(
    context: typer.Context,
    name: Annotated[str, typer.Argument(metavar="CONTEXT", hidden=True, help="One of the file's contexts.")],
) -> None:
    """Choose the context that counts where --context names none.

    jobworker-cli config use work
    """
    path = config.file_in_use(context.obj, os.environ)
    names = _contexts(path)
    if name not in names:
        hint = (
            f"it has: {', '.join(names)}" if names else "`jobworker-cli --context NAME config set KEY VALUE` makes one"
        )
        raise ConfigurationError(f"{path} has no context {name!r}", hint)
    from jobworker_cli import config_edit

    config_edit.set_value(path, [config_file.CURRENT], name)


def list_contexts(context: typer.Context) -> None:
    """List the contexts of the file; a star marks the current one.

    jobworker-cli config list
    """
    path = config.file_in_use(context.obj, os.environ)
    current = context.obj.get("context") or os.environ.get("JOBWORKER_CONTEXT") or _current(path)
    for name in _contexts(path):
        print_line(f"{'*' if name == current else ' '} {name}")


def view(context: typer.Context) -> None:
    """Show each value that counts now, and the source that it comes from.

    jobworker-cli --context work config view
    """
    warn_of_misspelt_variables()
    found = config.resolve(context.obj, os.environ)
    rows = [(role, setting) for role, setting in found._asdict().items() if setting]
    name_cells = max(len(role) for role, _ in rows)
    value_cells = max(len(setting.value) for _, setting in rows)
    for role, setting in rows:
        print_line(f"{role:{name_cells}}  {setting.value:{value_cells}}  {setting.source}")


def _set(path: Path, context: str | None, key: str, value: str) -> None:
    from jobworker_cli import config_edit

    if config_file.SETTINGS[key] in config_file.PATHS:
        value = _path_for(path, value)
    config_edit.set_value(path, [config_file.CONTEXTS, context, key] if context else [key], value)


def _path_for(path: Path, value: str) -> str:
    """A path of the caller's as the file is to have it."""
    whole = Path(os.path.abspath(Path(value).expanduser()))
    base = Path(os.path.abspath(path.parent))
    return str(whole.relative_to(base)) if whole.is_relative_to(base) else str(whole)


def _contexts(path: Path) -> list[str]:
    return config_file.context_names(path) if path.exists() else []


def _current(path: Path) -> str | None:
    """The context that counts in this file where none is chosen."""
    if not path.exists():
        return None
    content: dict[str, Any] = config_file.load(path)
    names = _contexts(path)
    if content.get(config_file.CURRENT):
        return str(content[config_file.CURRENT])
    is_flat = any(key in content for key in config_file.SETTINGS)
    return names[0] if len(names) == 1 and not is_flat else None


def _add(command: Callable[..., None], name: str) -> None:
    app.command(name, cls=Command, help=help_text(command))(command)


app.callback(help=help_text(_group))(_group)
_add(init, "init")
_add(get, "get")
_add(set_key, "set")
_add(use, "use")
_add(list_contexts, "list")
_add(view, "view")
