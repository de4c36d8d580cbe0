"""Writing: private from creation on, whole or not at all, nothing replaced unasked."""

from __future__ import annotations

import fcntl
import os
import stat
from datetime import timedelta
from pathlib import Path

import pytest

from jobworker_pki import provisioning
from jobworker_pki.authority import Authority
from jobworker_pki.errors import AlreadyExistsError, AuthorityError, WriteError
from jobworker_pki.files import PRIVATE, PUBLIC, NewFile, locked, publish
from jobworker_pki.passphrase import Passphrase
from pki_testing import contents

DAY = timedelta(days=1)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def pair(stem: str, content: bytes) -> list[NewFile]:
    return [NewFile(f"{stem}.key", content, PRIVATE), NewFile(f"{stem}.pem", content, PUBLIC)]


def test_modes(tmp_path: Path) -> None:
    directory = tmp_path / "deep" / "certs"
    provisioning.initialise(directory, [], replace=False)
    assert mode(directory) == 0o700
    assert {mode(path) for path in directory.glob("*.key")} == {0o600}
    assert len(list(directory.iterdir())) == 10
    assert mode(directory / "ledger.jsonl") == 0o600
    assert {mode(path) & 0o700 for path in directory.glob("*.pem")} == {0o600}


def test_a_key_is_private_from_creation_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    created: list[tuple[str, int, int]] = []
    really_open = os.open

    def watching(path: Path, flags: int, file_mode: int = 0o777) -> int:
        if flags & os.O_CREAT:
            created.append((str(path), flags, file_mode))
        return really_open(path, flags, file_mode)

    monkeypatch.setattr(os, "open", watching)
    publish(tmp_path, pair("a", b"x"), replace=False)
    assert [file_mode for path, _, file_mode in created if ".key" in path] == [0o600]
    assert all(flags & os.O_EXCL for _, flags, _ in created)


def test_a_directory_that_is_there_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    provisioning.issue(tmp_path, "ann", "user", DAY, replace=False)
    assert mode(tmp_path) == 0o755


@pytest.mark.parametrize("present", ["a.key", "a.pem"])
def test_half_a_pair_is_not_replaced_unasked(tmp_path: Path, present: str) -> None:
    (tmp_path / present).write_bytes(b"old")
    with pytest.raises(AlreadyExistsError, match="Nothing was changed") as caught:
        publish(tmp_path, pair("a", b"new"), replace=False)
    assert caught.value.paths == (tmp_path / present,)
    assert contents(tmp_path) == {present: b"old"}


def test_a_dangling_link_is_not_written_through(tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    directory = tmp_path / "certs"
    directory.mkdir()
    (directory / "a.key").symlink_to(target)
    with pytest.raises(AlreadyExistsError):
        publish(directory, pair("a", b"new"), replace=False)
    publish(directory, pair("a", b"new"), replace=True)
    assert not target.exists()
    assert not (directory / "a.key").is_symlink()


def test_replacing_changes_both_and_leaves_nothing_else(tmp_path: Path) -> None:
    publish(tmp_path, pair("a", b"old"), replace=False)
    publish(tmp_path, pair("a", b"new"), replace=True)
    assert contents(tmp_path) == {"a.key": b"new", "a.pem": b"new"}


@pytest.mark.parametrize(
    ("replace", "failing"), [*((False, call) for call in range(1, 9)), *((True, call) for call in range(1, 11))]
)
def test_a_failure_anywhere_leaves_all_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, replace: bool, failing: int
) -> None:
    if replace:
        publish(tmp_path, pair("a", b"old"), replace=False)
    before = contents(tmp_path)
    calls = 0
    for name in ("link", "replace", "fsync"):
        really = getattr(os, name)

        def refusing(*arguments: object, really: object = really, **options: object) -> object:
            nonlocal calls
            calls += 1
            if calls == failing:
                raise OSError(28, "No space left on device")
            assert callable(really)
            return really(*arguments, **options)

        monkeypatch.setattr(os, name, refusing)
    with pytest.raises(WriteError, match="No space left on device"):
        publish(tmp_path, pair("a", b"new"), replace=replace)
    assert contents(tmp_path) == before


def test_a_directory_in_the_way_fails_and_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.pem").mkdir()
    (tmp_path / "a.key").write_bytes(b"old")
    with pytest.raises(WriteError, match=r"a\.pem"):
        publish(tmp_path, pair("a", b"new"), replace=True)
    assert (tmp_path / "a.key").read_bytes() == b"old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.key", "a.pem"]


def test_a_program_that_ignores_the_lock_is_not_overwritten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    really_link = os.link

    def overtaken(source: Path, target: Path) -> None:
        if target.name == "a.pem":
            target.write_bytes(b"theirs")
        really_link(source, target)

    monkeypatch.setattr(os, "link", overtaken)
    with pytest.raises(AlreadyExistsError, match=r"a\.pem"):
        publish(tmp_path, pair("a", b"ours"), replace=False)
    assert contents(tmp_path) == {"a.pem": b"theirs"}


def test_a_file_where_the_directory_should_be(tmp_path: Path) -> None:
    path = tmp_path / "certs"
    path.write_text("a file")
    with pytest.raises(WriteError, match=r"File exists|Not a directory"), locked(path):
        pass


def test_init_refuses_when_anything_is_there_and_changes_nothing(tmp_path: Path) -> None:
    provisioning.issue(tmp_path, "full", "full", DAY, replace=False)
    before = contents(tmp_path)
    with pytest.raises(AlreadyExistsError, match="the CA too"):
        provisioning.initialise(tmp_path, [], replace=False)
    assert contents(tmp_path) == before


def test_init_with_force_replaces_all_and_tells_what_the_old_authority_leaves(tmp_path: Path) -> None:
    provisioning.initialise(tmp_path, [], replace=False)
    provisioning.issue(tmp_path, "ann", "user", DAY, replace=False)
    before = contents(tmp_path)
    outcome = provisioning.initialise(tmp_path, [], replace=True)
    after = contents(tmp_path)
    assert outcome.orphans == ("ann",)
    assert {name for name in after if after[name] == before[name]} == {"ann.key", "ann.pem"}
    assert after.keys() == before.keys()


def test_issue_with_force_keeps_the_authority(tmp_path: Path) -> None:
    provisioning.issue(tmp_path, "ann", "user", DAY, replace=False)
    before = contents(tmp_path)
    with pytest.raises(AlreadyExistsError):
        provisioning.issue(tmp_path, "ann", "full", DAY, replace=False)
    assert contents(tmp_path) == before
    provisioning.issue(tmp_path, "ann", "full", DAY, replace=True)
    after = contents(tmp_path)
    assert {name for name in after if after[name] == before[name]} == {"ca.key", "ca.pem", "crl.pem"}


def test_no_authority_is_made_for_a_certificate_that_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ann.key").write_bytes(b"mine")
    with pytest.raises(AlreadyExistsError):
        provisioning.issue(tmp_path, "ann", "user", DAY, replace=False)
    assert contents(tmp_path) == {"ann.key": b"mine"}


@pytest.mark.parametrize("missing", ["ca.key", "ca.pem"])
def test_half_an_authority_is_never_completed_or_replaced_by_issuing(tmp_path: Path, missing: str) -> None:
    provisioning.initialise(tmp_path, [], replace=False)
    (tmp_path / missing).unlink()
    before = contents(tmp_path)
    with pytest.raises(AuthorityError, match=missing):
        provisioning.issue(tmp_path, "ann", "user", DAY, replace=True)
    assert contents(tmp_path) == before


def test_whether_there_is_an_authority_is_decided_under_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really_load = Authority.load
    held: list[bool] = []

    def watching(directory: Path, passphrase: Passphrase | None = None) -> Authority | None:
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held.append(False)
        except BlockingIOError:
            held.append(True)
        finally:
            os.close(descriptor)
        return really_load(directory, passphrase)

    monkeypatch.setattr(Authority, "load", watching)
    provisioning.issue(tmp_path, "ann", "user", DAY, replace=False)
    provisioning.issue_server(tmp_path, [], replace=False)
    assert held == [True, True]
