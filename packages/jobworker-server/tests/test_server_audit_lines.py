"""The lines of the audit, and the places where they go."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
import subprocess
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobworker_server.audit import line
from jobworker_server.audit.file import AuditFile
from jobworker_server.audit.line import Line
from jobworker_server.audit.syslog import SystemLog
from jobworker_server.audit.writer import Writer
from jobworker_server.errors import AuditError
from server_testing import TIMEOUT, wait_until

MB = 1 << 20


def text_line(text: str) -> Line:
    return Line(f"{text}\n".encode(), refused=False)


@given(st.dictionaries(st.sampled_from("abcdefghijkl"), st.text(max_size=5000)), st.lists(st.text(max_size=3000)))
def test_whatever_is_told_a_line_is_one_short_line_of_json(fields: dict[str, str], argv: list[str]) -> None:
    found = line.made({**fields, "none": None}, argv, refused=True)
    assert len(found.data) < 8192
    assert found.data.endswith(b"}\n")
    assert all(0x20 <= byte < 0x7F for byte in found.data[:-1])
    content = json.loads(found.data)
    assert set(content) == {*fields, "none", "argv"}
    for name, text in fields.items():
        assert content[name] == text or (content[name].endswith("…") and text.startswith(content[name][:-1]))


def test_what_is_short_is_told_whole() -> None:
    argv = ["sh", "-c", "echo 'ä\n\x1b[2J'", ""]
    assert json.loads(line.made({"name": "änn"}, argv, refused=False).data) == {"name": "änn", "argv": argv}
    assert "argv" not in json.loads(line.made({}, None, refused=False).data)


def test_a_file_is_closed_to_others(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    AuditFile(path, MB, 1).write(text_line("one"))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text() == "one\n"


def test_a_file_goes_on_where_it_ended(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    for text in ("one", "two"):
        file = AuditFile(path, MB, 1)
        file.write(text_line(text))
        file.close()
    assert path.read_text() == "one\ntwo\n"


def test_a_file_is_begun_anew_before_it_is_too_long(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    file = AuditFile(path, 100, 2)
    for number in range(10):
        file.write(text_line(f"{number:030}"))
    found = {name.name: name.read_text().split() for name in tmp_path.iterdir()}
    assert found == {
        "audit.log": [f"{9:030}"],
        "audit.log.1": [f"{number:030}" for number in (6, 7, 8)],
        "audit.log.2": [f"{number:030}" for number in (3, 4, 5)],
    }
    assert all(stat.S_IMODE(name.stat().st_mode) == 0o600 for name in tmp_path.iterdir())


@pytest.mark.parametrize("how", ["renamed", "removed", "truncated"])
def test_a_file_that_logrotate_took_is_made_anew(tmp_path: Path, how: str) -> None:
    path = tmp_path / "audit.log"
    file = AuditFile(path, MB, 1)
    file.write(text_line("one"))
    if how == "renamed":
        path.rename(tmp_path / "audit.log-20260101")
    elif how == "removed":
        path.unlink()
    else:
        os.truncate(path, 0)
    file.write(text_line("two"))
    assert path.read_text() == "two\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("kind", ["link", "dangling", "hard link", "pipe", "directory", "open to others"])
def test_what_somebody_else_may_have_put_there_is_not_written_to(tmp_path: Path, kind: str) -> None:
    path, victim = tmp_path / "audit.log", tmp_path / "victim"
    victim.write_text("precious")
    if kind == "link":
        path.symlink_to(victim)
    elif kind == "dangling":
        path.symlink_to(tmp_path / "elsewhere")
    elif kind == "hard link":
        path.hardlink_to(victim)
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "directory":
        path.mkdir()
    else:
        path.touch()
        path.chmod(0o620)
    with pytest.raises(AuditError, match="the audit"):
        AuditFile(path, MB, 1)
    assert victim.read_text() == "precious"
    assert not (tmp_path / "elsewhere").exists()


def test_a_link_that_takes_the_place_of_the_file_is_not_followed(tmp_path: Path) -> None:
    path, victim = tmp_path / "audit.log", tmp_path / "victim"
    file = AuditFile(path, MB, 1)
    victim.write_text("precious")
    path.unlink()
    path.symlink_to(victim)
    with pytest.raises(OSError, match="symbolic link"):
        file.write(text_line("one"))
    assert victim.read_text() == "precious"
    path.unlink()
    file.write(text_line("two"))
    assert path.read_text() == "two\n"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A filesystem of its own, of 64 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(disk)]
    if subprocess.run(mount, check=False, capture_output=True, timeout=TIMEOUT).returncode != 0:
        pytest.skip("only root can mount a filesystem")
    yield disk
    subprocess.run(["umount", str(disk)], check=True, timeout=TIMEOUT)


def test_what_a_full_disk_takes_of_a_line_is_taken_back(small_disk: Path) -> None:
    path = small_disk / "audit.log"
    file = AuditFile(path, MB, 1)
    kept = 0
    with pytest.raises(OSError, match="No space left"):  # noqa: PT012  it is not known which one fails
        for number in range(100):
            file.write(text_line(f"{number:01000}"))
            kept += 1
    assert path.read_text().splitlines() == [f"{number:01000}" for number in range(kept)]
    os.truncate(path, 0)
    file.write(text_line("again"))
    assert path.read_text() == "again\n"
    file.close()


class HungSink:
    """A disk that hangs until it is let go."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.lines: list[bytes] = []

    def write(self, line: Line) -> None:
        self.go.wait(TIMEOUT)
        self.lines.append(line.data)

    def close(self) -> None:
        pass


def test_a_disk_that_hangs_holds_a_call_up_for_a_moment_only(caplog: pytest.LogCaptureFixture) -> None:
    sink = HungSink()
    writer = Writer(sink)
    asyncio.run(asyncio.wait_for(writer.write(text_line("first")), TIMEOUT))
    for number in range(1001):
        writer.put(text_line(str(number)))
    assert [record.getMessage() for record in caplog.records] == [
        "a line of the audit was not written: it waits for too many others: 1000"
    ]
    sink.go.set()
    writer.close()
    assert sink.lines == [b"first\n", *(f"{number}\n".encode() for number in range(1000))]


class FailingSink(HungSink):
    """A disk that is full at every other line."""

    def write(self, line: Line) -> None:
        self.lines.append(line.data)
        if len(self.lines) % 2:
            raise OSError(28, "No space left on device")


def test_a_line_that_can_not_be_written_is_told_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    writer = Writer(FailingSink())
    for text in ("one", "two"):
        asyncio.run(writer.write(text_line(text)))
    writer.close()
    assert [record.getMessage() for record in caplog.records] == [
        "a line of the audit was not written: No space left on device: one"
    ]


@pytest.fixture
def system_log(tmp_path: Path) -> Iterator[socket.socket]:
    """What listens at ``tmp_path/log``."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.settimeout(TIMEOUT)
        listener.bind(str(tmp_path / "log"))
        yield listener


def test_the_system_log_gets_lines_with_facility_and_level(tmp_path: Path, system_log: socket.socket) -> None:
    log = SystemLog(tmp_path / "log")
    log.write(Line(b'{"a":1}\n', refused=False))
    log.write(Line(b'{"a":2}\n', refused=True))
    allowed, refused = system_log.recv(9000).decode(), system_log.recv(9000).decode()
    assert allowed.startswith("<85>")
    assert refused.startswith("<84>")
    assert allowed.endswith(f' jobworker-audit[{os.getpid()}]: {{"a":1}}')
    assert "\n" not in allowed
    log.close()


def test_a_system_log_that_was_restarted_gets_the_next_line(tmp_path: Path, system_log: socket.socket) -> None:
    log = SystemLog(tmp_path / "log")
    system_log.close()
    with pytest.raises(OSError, match="refused"):
        log.write(text_line("lost"))
    (tmp_path / "log").unlink()
    with pytest.raises(OSError, match="No such file"):
        log.write(text_line("lost"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.settimeout(TIMEOUT)
        listener.bind(str(tmp_path / "log"))
        log.write(text_line("found"))
        assert listener.recv(9000).endswith(b"found")
    log.close()


def test_a_system_log_that_nobody_reads_is_waited_for_only_briefly(
    tmp_path: Path, system_log: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    writer = Writer(SystemLog(tmp_path / "log"))
    for _ in range(1500):
        writer.put(text_line("x"))
    wait_until(lambda: "a line of the audit was not written: timed out" in caplog.text)
    writer.close()
    wait_until(lambda: not writer._thread.is_alive())
    told = sum("a line of the audit was not written" in record.getMessage() for record in caplog.records)
    taken = 0
    system_log.settimeout(0)
    with suppress(BlockingIOError):
        while system_log.recv(9000):
            taken += 1
    assert told + taken == 1500, "none is lost without a word"


def test_without_a_system_log_there_is_no_audit_in_it(tmp_path: Path) -> None:
    with pytest.raises(AuditError, match="No such file"):
        SystemLog(tmp_path / "log")
