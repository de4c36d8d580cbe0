"""What the tests of the package share: running the real command and openssl, and a handshake in memory."""

from __future__ import annotations

import io
import os
import select
import ssl
import subprocess
import sys
from pathlib import Path


def pki(*arguments: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ``jobworker-pki`` as a user does; nothing of the caller's own settings reaches it."""
    return subprocess.run(
        command(*arguments), cwd=cwd, env=clean(environment), capture_output=True, text=True, check=False
    )


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "jobworker_pki", *map(str, arguments)]


def clean(environment: dict[str, str]) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("JOBWORKER_")}
    return inherited | {"PYTHONUTF8": "1", "COLUMNS": "100"} | environment


def openssl(*arguments: str | Path) -> str:
    """Run openssl and return what it printed; it has to succeed."""
    result = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def verify(directory: Path, stem: str, purpose: str = "any", *, crl: bool = False) -> None:
    """Let openssl judge ``STEM.pem``, with ``crl`` also by ``crl.pem``."""
    certificate = directory / f"{stem}.pem"
    revocation: list[str | Path] = ["-crl_check_all", "-CRLfile", directory / "crl.pem"] if crl else []
    openssl(
        "verify", "-x509_strict", "-purpose", purpose, *revocation,
        "-CAfile", directory / "ca.pem", "-untrusted", certificate, certificate,
    )  # fmt: skip


def handshake(server: ssl.SSLContext, client: ssl.SSLContext, host: str) -> ssl.SSLObject:
    """Let the two agree, in memory; returns the server's side. Raises what either raises."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server_side = server.wrap_bio(to_server, to_client, server_side=True)
    client_side = client.wrap_bio(to_client, to_server, server_hostname=host)
    for side in (client_side, server_side, client_side, server_side):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    return server_side


def context(directory: Path, stem: str, purpose: ssl.Purpose) -> ssl.SSLContext:
    """Return what a strict Python program uses; ``purpose`` is what the peer is for, as in the ssl module."""
    made = ssl.create_default_context(purpose, cafile=str(directory / "ca.pem"))
    made.verify_flags |= ssl.VERIFY_X509_STRICT
    made.verify_mode = ssl.CERT_REQUIRED
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    made.load_cert_chain(directory / f"{stem}.pem", directory / f"{stem}.key")
    return made


def contents(directory: Path) -> dict[str, bytes]:
    """Return every file of ``directory``, hidden ones too, so that any change can be seen."""
    return {path.name: path.read_bytes() for path in directory.iterdir()} if directory.exists() else {}


_ON_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execvp(sys.argv[1], sys.argv[1:])
"""


def pki_on_terminal(*arguments: str | Path, cwd: Path, answers: dict[str, str]) -> tuple[int, str]:
    """Run ``jobworker-pki`` on a terminal of its own, as :func:`on_terminal` does."""
    return on_terminal(command(*arguments), cwd=cwd, answers=answers)


def on_terminal(argv: list[str], *, cwd: Path, answers: dict[str, str], **environment: str) -> tuple[int, str]:
    """Run a program on a terminal of its own and type the answer to each question when it is asked.

    Returns the exit status and what stood on the terminal.
    """
    ours, theirs = os.openpty()
    try:
        process = subprocess.Popen(
            [sys.executable, "-c", _ON_TERMINAL, *argv],
            cwd=cwd, env=clean(environment), stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
        )  # fmt: skip
    finally:
        os.close(theirs)
    seen, waiting, typed = b"", dict(answers), b""
    with process, open(ours, "r+b", buffering=0) as terminal:
        while chunk := _read(terminal, typed):
            seen += chunk
            for question in [question for question in waiting if question.encode() in seen]:
                typed = _typed(waiting.pop(question))
                terminal.write(typed)
        return process.wait(timeout=110), seen.decode().replace("\r\n", "\n")


def _typed(answer: str) -> bytes:
    """A line, or a control character alone."""
    return answer.encode() if answer in ("\x03", "\x04") else f"{answer}\n".encode()


def _read(terminal: io.FileIO, typed: bytes) -> bytes:
    """What comes next. Ctrl-C is typed again where nothing does: Python misses one just before it begins to read."""
    while typed == b"\x03" and not select.select([terminal], [], [], 1)[0]:
        terminal.write(typed)
    try:
        return terminal.read(4096) or b""
    except OSError:  # EIO: nobody has the other end any more
        return b""
