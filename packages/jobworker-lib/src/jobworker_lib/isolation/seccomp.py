"""The filter of dangerous system calls (seccomp(2)), assembled for the architecture of this host."""

from __future__ import annotations

import errno
import os
import socket
import stat
import termios
from functools import cache

from jobworker_lib.isolation import calls, system_calls
from jobworker_lib.isolation.bpf import JUMP_ANY_BIT, JUMP_AT_LEAST, JUMP_EQUAL, Program
from jobworker_lib.isolation.system_calls import Numbers

_KILL_PROCESS = 0x80000000
_ALLOW = 0x7FFF0000
_ERRNO = 0x00050000

_NUMBER = 0
_ARCHITECTURE = 4
_ARGUMENTS = 16
_WORD = 8

# struct seccomp_data tells of architectures by their AUDIT_ARCH; those that share a kernel with them have others.
_ARCHITECTURES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
ARCHITECTURES = tuple(_ARCHITECTURES)
"""Those that a filter can be made for."""

_NEW_NAMESPACES = (
    calls.CLONE_NEWNS
    | calls.CLONE_NEWCGROUP
    | calls.CLONE_NEWUTS
    | calls.CLONE_NEWIPC
    | calls.CLONE_NEWUSER
    | calls.CLONE_NEWPID
    | calls.CLONE_NEWNET
)
_TIOCLINUX = 0x541C
_TERMINAL_REQUESTS = (termios.TIOCSTI, _TIOCLINUX)
_ADDRESS_FAMILIES = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK, socket.AF_PACKET)
_MAKING_A_FILE = os.O_CREAT | (os.O_TMPFILE & ~os.O_DIRECTORY)
_PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)
"""Linux and Linux of 32 bits, each also with the version that old programs expect; and just asking."""


@cache
def program(machine: str | None = None) -> bytes:
    """The filter, for ``machine`` or else the one that this runs on (``uname -m``). KeyError for an unknown one."""
    column, architecture = _ARCHITECTURES[machine or os.uname().machine]
    made = Program()
    made.load(_ARCHITECTURE)
    made.jump(JUMP_EQUAL, architecture, "number")
    made.finish(_KILL_PROCESS)
    made.label("number")
    made.load(_NUMBER)
    # Also all of x32, the second set of numbers of x86_64: they have bit 30 set.
    made.jump(JUMP_AT_LEAST, system_calls.NEWEST + 1, "unknown")
    _judge(made, system_calls.CLONE3, column, "unknown")  # its flags can't be seen; programs fall back to clone
    for numbers in system_calls.REFUSED.values():
        _judge(made, numbers, column, "refused")
    _judge(made, system_calls.OPENAT2, column, "unknown")  # its mode can't be seen either
    for kind in (system_calls.MODES, system_calls.OPENING):
        for numbers, argument in kind.values():
            _judge(made, numbers, column, f"{'mode' if kind is system_calls.MODES else 'flags'} {argument}")
    _judge(made, system_calls.CLONE, column, "clone")
    _judge(made, system_calls.IOCTL, column, "ioctl")
    _judge(made, system_calls.SOCKET, column, "socket")
    _judge(made, system_calls.PERSONALITY, column, "personality")
    made.finish(_ALLOW)
    _judge_arguments(made)
    made.label("refused")
    made.finish(_ERRNO | errno.EPERM)
    made.label("unknown")
    made.finish(_ERRNO | errno.ENOSYS)
    return made.assemble()


def _judge(made: Program, numbers: Numbers, column: int, verdict: str) -> None:
    number = numbers[column]
    if number is not None:
        made.jump(JUMP_EQUAL, number, verdict)


def _judge_arguments(made: Program) -> None:
    """Only the lower half of each: the kernel itself looks at no more of these."""
    made.label("clone")
    made.load(_ARGUMENTS)
    made.jump(JUMP_ANY_BIT, _NEW_NAMESPACES, "refused")
    made.finish(_ALLOW)
    made.label("ioctl")
    made.load(_ARGUMENTS + _WORD)
    for request in _TERMINAL_REQUESTS:
        made.jump(JUMP_EQUAL, request, "refused")
    made.finish(_ALLOW)
    made.label("socket")
    made.load(_ARGUMENTS)
    for family in _ADDRESS_FAMILIES:
        made.jump(JUMP_EQUAL, family, "allowed")
    made.finish(_ERRNO | errno.EAFNOSUPPORT)
    made.label("personality")
    made.load(_ARGUMENTS)
    for personality in _PERSONALITIES:
        made.jump(JUMP_EQUAL, personality, "allowed")
    made.finish(_ERRNO | errno.EPERM)
    for argument in (1, 2):
        made.label(f"flags {argument}")
        made.load(_ARGUMENTS + _WORD * argument)
        made.jump(JUMP_ANY_BIT, _MAKING_A_FILE, f"mode {argument + 1}")
        made.finish(_ALLOW)
    for argument in (1, 2, 3):
        made.label(f"mode {argument}")
        made.load(_ARGUMENTS + _WORD * argument)
        made.jump(JUMP_ANY_BIT, stat.S_ISUID | stat.S_ISGID, "refused")
        made.finish(_ALLOW)
    made.label("allowed")
    made.finish(_ALLOW)
