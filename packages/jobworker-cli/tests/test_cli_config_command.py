"""``config``: a file that is made, changed with its comments kept, and explained."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from jobworker_cli import config_edit

if TYPE_CHECKING:
    from cli_process import Cli


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config" / "jobworker" / "config.yaml"


def test_init_writes_what_is_in_use(cli: Cli, file: Path, certs: Path) -> None:
    made = cli("--server", "jobs.example.com:7", "--name", "readonly", "config", "init")
    assert (made.returncode, made.stdout) == (0, f"{file}\n")
    assert made.stderr == "next: `jobworker-cli list`\n"
    assert yaml.safe_load(file.read_text()) == {
        "serverAddress": "jobs.example.com:7",
        "serverCA": str(certs / "ca.pem"),
        "clientCertificate": str(certs / "readonly.pem"),
        "clientKey": str(certs / "readonly.key"),
    }
    again = cli("config", "init")
    assert again.returncode == 2
    assert again.stderr == (
        f"error: the configuration file {file} exists\n"
        "hint: `jobworker-cli config set KEY VALUE` changes it; --force replaces it\n"
    )
    assert cli("--context", "work", "config", "init", "--force").returncode == 0
    assert cli("config", "list").stdout == "* work\n"


def test_contexts_are_made_chosen_and_listed(cli: Cli, file: Path) -> None:
    assert cli("--context", "a", "config", "set", "serverAddress", "a:1").returncode == 0
    assert cli("--context", "b", "config", "set", "serverAddress", "b:1").returncode == 0
    assert cli("config", "get", "serverAddress").returncode == 2
    assert cli("config", "use", "b").returncode == 0
    assert cli("config", "list").stdout == "  a\n* b\n"
    assert cli("config", "get", "serverAddress").stdout == "b:1\n"
    assert cli("--context", "a", "config", "get", "serverAddress").stdout == "a:1\n"
    assert cli("config", "set", "serverAddress", "b:2").returncode == 0
    assert yaml.safe_load(file.read_text())["contexts"]["b"] == {"serverAddress": "b:2"}
    missing = cli("config", "use", "c")
    assert (missing.returncode, missing.stderr) == (2, f"error: {file} has no context 'c'\nhint: it has: a, b\n")


def test_view_tells_where_each_value_comes_from(cli: Cli, file: Path, certs: Path) -> None:
    cli("config", "set", "serverAddress", "a:1")
    shown = cli("--timeout", "3", "config", "view")
    rows = [line.split(maxsplit=2) for line in shown.stdout.splitlines()]
    assert rows[0] == ["server", "a:1", f"serverAddress in {file}"]
    assert rows[1] == ["ca", str(certs / "ca.pem"), "JOBWORKER_CERTS"]
    assert ["timeout", "3", "--timeout"] in rows
    assert ["reconnect", "30", "the default of --reconnect"] in rows


def test_paths_are_kept_relative_to_the_file(cli: Cli, file: Path, tmp_path: Path) -> None:
    cli("config", "set", "serverCA", "config/jobworker/keys/ca.pem")
    cli("config", "set", "clientKey", "elsewhere.key")
    content = yaml.safe_load(file.read_text())
    assert content == {"serverCA": "keys/ca.pem", "clientKey": str(tmp_path / "elsewhere.key")}
    assert cli("config", "get", "serverCA", JOBWORKER_CERTS="").stdout == f"{file.parent}/keys/ca.pem\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["set", "serverAdress", "a:1"], "unknown key 'serverAdress'\nhint: did you mean serverAddress?"),
        (["get", "zebra"], "unknown key 'zebra'\nhint: known keys: serverAddress, serverCA"),
        (["set", "serverAddress", "nowhere"], "the server's address 'nowhere' is not HOST:PORT"),
        (["use", "a"], "has no context 'a'\nhint: `jobworker-cli --context NAME config set KEY VALUE` makes one"),
    ],
)
def test_wrong_usage(cli: Cli, file: Path, arguments: list[str], message: str) -> None:
    refused = cli("config", *arguments)
    assert refused.returncode == 2
    assert message in refused.stderr
    assert not file.exists()


COMMENTED = """\
# where the jobs run
currentContext: work  # or home
contexts:
  work:  # the big one
    serverAddress: 'old:1'   # since May

  # at home
  home: {serverAddress: "h:1"}
serverCA: ca.pem
# the end
"""


@pytest.mark.parametrize(
    ("keys", "value", "before", "after"),
    [
        (["currentContext"], "home", "currentContext: work ", "currentContext: home "),
        (["contexts", "work", "serverAddress"], "new:1", "'old:1'", "new:1"),
        (["contexts", "home", "serverAddress"], "new:1", '"h:1"', "new:1"),
        (["serverAddress"], "x:1", "serverCA: ca.pem\n", "serverCA: ca.pem\nserverAddress: x:1\n"),
        (["contexts", "work", "clientKey"], "k", "# since May\n", "# since May\n    clientKey: k\n"),
        (["contexts", "yes", "clientKey"], "no", '"h:1"}\n', "\"h:1\"}\n  'yes':\n    clientKey: 'no'\n"),
    ],
)
def test_nothing_but_the_value_is_changed(tmp_path: Path, keys: list[str], value: str, before: str, after: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(COMMENTED)
    path.chmod(0o640)
    config_edit.set_value(path, keys, value)
    assert path.read_text() == COMMENTED.replace(before, after)
    assert path.stat().st_mode & 0o777 == 0o640


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=20)


@settings(deadline=None)
@given(st.lists(st.tuples(st.lists(TEXTS, min_size=1, max_size=3), TEXTS), max_size=5))
def test_whatever_is_set_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[list[str], str]]
) -> None:
    path = tmp_path_factory.mktemp("edit") / "config.yaml"
    for keys, value in changes:
        kept = {tuple(known[:1]) for known, _ in changes if known[:1] == keys[:1]}
        if len({len(known) for known, _ in changes if tuple(known[:1]) in kept}) > 1:
            continue  # a value where another change wants a mapping
        config_edit.set_value(path, keys, value)
        content = yaml.safe_load(path.read_text())
        for key in keys:
            content = content[key]
        assert content == value
