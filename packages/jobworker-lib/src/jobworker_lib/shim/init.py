"""The first process of a job's PID namespace: it makes the job's view of the host, forks the main process and reaps.

When it exits, the kernel kills all that is left in the namespace. It does so when no process of the job is left, and
also when the shim is gone. Signals do not reach it, for it has no handlers, but for SIGKILL from outside.
"""

from __future__ import annotations

import errno
import os
import select
import signal
import socket
import struct
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from jobworker_lib.host import libc
from jobworker_lib.host.procfs import was_executed
from jobworker_lib.isolation import calls
from jobworker_lib.shim.enter import EXECUTION, become
from jobworker_lib.shim.signals import SignalPipe
from jobworker_lib.shim.victims import Victim, Victims, name_of_killed

if TYPE_CHECKING:
    from jobworker_lib.shim.enter import Command, Step

_NAME = "jobworker-init"
BORN = b"born"
"""What the main process sends first: the kernel adds who it is."""
MAIN = 0
"""Stands for the main process among those that were killed: the shim knows it by another pid."""
STATUS = struct.Struct("=i?")
"""How the main process ended, as waitpid(2) told it, and whether it had executed the command."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """What the init process is to do."""

    command: Command
    setup: Sequence[Step]
    """What makes the job's view of the host."""
    main: Sequence[Step]
    """What the main process does to itself before it executes the command."""
    farewell: Sequence[Step]
    """What lets go of the init process's own privileges, when the main process is there."""
    fork: Callable[[], int] = os.fork
    """What makes the main process."""


def run(orders: Orders, link: socket.socket, failures: int, blocked: Iterable[int]) -> NoReturn:
    """Be the init process, just forked, with all signals blocked; ``link`` leads to the shim.

    What fails is written to ``failures`` as :func:`jobworker_lib.shim.enter.become` does.
    """
    step, number = EXECUTION, errno.EIO
    try:  # a fork must never return into its parent's code
        signals = _take_over()
        for name, do in orders.setup:
            step = name
            do()
        step = EXECUTION
        calls.set_dumpable(dumpable=False)
        main = orders.fork()
        if main == 0:
            become(orders.command, [(EXECUTION, lambda: _tell_of_birth(link)), *orders.main], failures, blocked)
        for name, do in orders.farewell:
            step = name
            do()
        _let_go(link, signals)  # of the failures too: from now on the link tells of the end
        _attend(main, link, signals)
    except OSError as error:
        number = error.errno or number
    finally:
        with suppress(OSError):
            os.write(failures, f"{number} {step}".encode())
        os._exit(127)


def _take_over() -> SignalPipe:
    """Have nothing of the shim's but descriptors, which the main process needs."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):
            signal.signal(number, signal.SIG_DFL)
    signals = SignalPipe([signal.SIGCHLD])
    os.setsid()
    os.chdir("/")
    libc.set_process_name(_NAME)
    libc.set_command_line(_NAME)  # it was the fork server's, which names the state directory
    return signals


def _tell_of_birth(link: socket.socket) -> None:
    calls.set_dumpable(dumpable=True)
    link.send(BORN)


def _let_go(link: socket.socket, signals: SignalPipe) -> None:
    """Keep nothing open but what is needed from now on: the job's pipes are the job's, and their end is to be seen."""
    kept = sorted((link.fileno(), *signals.descriptors))
    for low, high in zip((0, *(number + 1 for number in kept)), (*kept, os.sysconf("SC_OPEN_MAX")), strict=True):
        os.closerange(low, high)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])


def _attend(main: int, link: socket.socket, signals: SignalPipe) -> NoReturn:
    """Reap until nobody is left, and tell how the main process ended."""
    poller = select.poll()
    poller.register(link, select.POLLIN)
    poller.register(signals, select.POLLIN)
    victims = Victims()
    while True:
        signals.read()
        _reap(main, link, victims)
        if any(descriptor == link.fileno() for descriptor, _ in poller.poll()):
            os._exit(0)  # the shim has closed its end, or is gone


def _reap(main: int, link: socket.socket, victims: Victims) -> None:
    while True:
        try:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            with suppress(OSError):  # the shim may be gone
                link.send(victims.pack())
            os._exit(0)
        if ended is None:
            return
        name = name_of_killed(ended.si_pid, ended.si_code, ended.si_status)
        is_executed = bool(was_executed(ended.si_pid))
        pid, wait_status, used = os.wait4(ended.si_pid, 0)
        if name is not None:
            victims.add(Victim(name, MAIN if pid == main else pid, used.ru_maxrss))
        if pid == main:
            link.send(STATUS.pack(wait_status, is_executed))
