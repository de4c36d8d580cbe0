"""Processes of a state directory that outlive who starts them: they lead a session of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from jobworker_lib.host import descriptors
from jobworker_lib.job.directory import FILE_MODE

LOG = "engine.log"

_PACKAGE = Path(__file__).resolve().parents[1]
_BOOTSTRAP = """
import importlib, sys, types
package = types.ModuleType(sys.argv[1])
package.__path__ = [sys.argv[2]]
sys.modules[sys.argv[1]] = package
importlib.import_module(sys.argv[3]).main()
"""
"""It skips the package's public face, which would load asyncio and sqlite3 into the fork server and all its shims."""
_IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)
"""Ignored here for good, and restored by subprocess in what it executes."""


def module_command(module: str, argument: str) -> list[str]:
    """What runs ``main()`` of a module of this package in another process, whose last argument is this one.

    It needs the standard library and this package alone, so it skips site-packages: a faster start.
    """
    return [sys.executable, "-I", "-S", "-c", _BOOTSTRAP, _PACKAGE.name, str(_PACKAGE), module, argument]


def spawn(module: str, state_dir: Path, *, stdin: int) -> None:
    """Run ``main()`` of a module of this package in a process that complains to the engine's log.

    Its argument is the state directory; it calls :func:`detach`, and this returns then.

    Raises:
        OSError: it can't be executed, or failed before it had detached itself.
    """
    log = os.open(state_dir / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, FILE_MODE)
    try:
        command = module_command(module, str(state_dir))
        status = subprocess.call(
            command, stdin=stdin, stdout=subprocess.DEVNULL, stderr=log, env=descriptors.environment()
        )
    finally:
        os.close(log)
    if status != 0:
        raise OSError(f"it failed to start; {state_dir / LOG} says why")


def detach() -> int:
    """In the new process: go on in a session of one's own. What was the standard input, as another descriptor."""
    handed = os.dup(0)  # closed on exec
    if os.fork():
        os._exit(0)
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    os.close(null)
    os.chdir("/")
    os.umask(0o022)
    descriptors.give_back()
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for number in signal.valid_signals():
        if signal.getsignal(number) is signal.SIG_IGN and number not in _IGNORED_BY_PYTHON:
            with suppress(OSError):
                signal.signal(number, signal.SIG_DFL)
    return handed
