"""Commands that are killed in the middle: the next one finds all of what they wrote, or nothing of it."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from jobworker_pki import authority_files, journal, provisioning, rotating
from jobworker_pki.errors import DamagedError, WriteError
from jobworker_pki.files import PRIVATE, PUBLIC, NewFile, locked, publish
from jobworker_pki.passphrase import Passphrase
from pki_testing import clean, contents, verify

_KILLED = """
import os, shutil, signal, sys
from pathlib import Path
from jobworker_pki import {module}
from jobworker_pki.passphrase import Passphrase

def killing(really):
    def call(*arguments, **options):
        global left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        return really(*arguments, **options)
    return call

base, step, status = Path(sys.argv[1]), 0, 1
while status:
    step += 1
    directory = base.with_name(str(step))
    shutil.copytree(base, directory)
    if child := os.fork():
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert status in (0, -signal.SIGKILL), status
        continue
    left = step
    for name in ("link", "replace", "unlink", "fsync"):
        setattr(os, name, killing(getattr(os, name)))
    {command}
    os._exit(0)
print(step)
"""


def kill_at_each_step(base: Path, module: str, command: str) -> list[Path]:
    """Do something to copies of ``base``, one killed at the first step, the next at the second, to the end."""
    result = subprocess.run(
        [sys.executable, "-c", _KILLED.format(module=module, command=command), str(base)],
        env=clean({}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) > 10
    return [base.with_name(str(step)) for step in range(1, int(result.stdout) + 1)]


def visible(directory: Path) -> dict[str, bytes]:
    return {name: content for name, content in contents(directory).items() if not name.startswith(".")}


@pytest.mark.parametrize(
    ("module", "command"),
    [
        ("rotating", "rotating.begin(directory, Passphrase())"),
        ("revoking", "revoking.revoke(directory, 'full', 'unspecified', Passphrase())"),
        ("renewing", "renewing.renew(directory, 'full', Passphrase(), fresh_key=True)"),
    ],
    ids=["rotate-ca", "revoke", "renew"],
)
def test_all_or_nothing(tmp_path: Path, module: str, command: str) -> None:
    base, outcomes = tmp_path / "base", set()
    provisioning.initialise(base, [], replace=False)
    before = contents(base)
    for directory in kill_at_each_step(base, module, command):
        with locked(directory):
            after = contents(directory)
        assert after == visible(directory), "something was left behind"
        outcomes.add(frozenset(name for name in after if after[name] != before.get(name)))
        provisioning.issue(directory, "ann", "user", timedelta(days=1), replace=False)
        verify(directory, "ann", crl=True)
        verify(directory, "server", crl=True)
    assert len(outcomes) == 2, outcomes
    assert frozenset() in outcomes


def test_finishing_a_rotation_that_was_killed(tmp_path: Path) -> None:
    """Files are removed here, too."""
    base = tmp_path / "base"
    provisioning.initialise(base, [], replace=False)
    rotating.begin(base, Passphrase())
    command = "rotating.finish(directory, rotating.hanging(directory))"
    for directory in kill_at_each_step(base, "rotating", command):
        with locked(directory):
            old = [name for name in contents(directory) if name.startswith("old-")]
        assert contents(directory) == visible(directory)
        assert len(authority_files.load_trusted(directory)) == (2 if old else 1)
        assert len(old) in {0, 2}


def test_a_journal_never_leads_out_of_the_directory(tmp_path: Path) -> None:
    directory = tmp_path / "certs"
    directory.mkdir()
    target = tmp_path / "victim"
    target.write_text("x")
    (directory / journal.NAME).write_text('{"steps": [], "removed": ["../victim"]}')
    with pytest.raises(DamagedError, match="damaged"), locked(directory):
        pass
    assert target.exists()


@pytest.mark.parametrize("content", ["", "junk", "[]", '{"steps": 1}', '{"steps": [{"a": 1}], "removed": []}'])
def test_a_damaged_journal_is_told(tmp_path: Path, content: str) -> None:
    (tmp_path / journal.NAME).write_text(content)
    with pytest.raises(DamagedError, match=r"\.unfinished is damaged"), locked(tmp_path):
        pass


def test_what_another_program_made_meanwhile_stays(tmp_path: Path) -> None:
    staged = journal.temporary(tmp_path / "a.pem")
    staged.write_text("ours")
    journal.write(tmp_path, [journal.Step(staged.name, "a.pem", replace=False)], [])
    (tmp_path / "a.pem").write_text("theirs")
    with locked(tmp_path):
        assert contents(tmp_path) == {"a.pem": b"theirs"}


def test_removing_is_undone_with_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(tmp_path, [NewFile("a.csr", b"request", PUBLIC)], replace=False)
    before = contents(tmp_path)
    calls = 0
    really_sync = journal.sync

    def failing(directory: Path) -> None:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise OSError(28, "No space left on device")
        really_sync(directory)

    monkeypatch.setattr(journal, "sync", failing)
    with pytest.raises(WriteError, match="No space left"):
        publish(tmp_path, [NewFile("a.key", b"key", PRIVATE)], replace=False, remove=["a.csr"])
    assert contents(tmp_path) == before
