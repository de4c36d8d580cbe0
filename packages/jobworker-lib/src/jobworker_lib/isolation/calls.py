"""System calls of namespaces, mounts and privileges that the standard library does not offer."""

from __future__ import annotations

import ctypes
import os
import signal
import struct
from collections.abc import Sequence
from contextlib import suppress

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_libc_with_gil = ctypes.PyDLL(None, use_errno=True)
_libc_with_gil.syscall.restype = ctypes.c_long

CLONE_NEWNS = 0x20000
CLONE_NEWCGROUP = 0x2000000
CLONE_NEWUTS = 0x4000000
CLONE_NEWIPC = 0x8000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REC = 0x4000
MS_PRIVATE = 0x40000

MOUNT_ATTR_RDONLY = 1
MOUNT_ATTR_NODEV = 4

_CLONE = {"x86_64": 56, "aarch64": 220}
# Numbers from 424 on are the same on all architectures.
_OPEN_TREE = 428
_MOVE_MOUNT = 429
_OPENAT2 = 437
_MOUNT_SETATTR = 442
_LANDLOCK_CREATE_RULESET = 444
_LANDLOCK_ADD_RULE = 445
_LANDLOCK_RESTRICT_SELF = 446

_AT_FDCWD = -100
_AT_EMPTY_PATH = 0x1000
_AT_RECURSIVE = 0x8000
_RESOLVE_NO_SYMLINKS = 4
_OPEN_TREE_CLONE = 1
_MOVE_MOUNT_F_EMPTY_PATH = 4

_PR_SET_DUMPABLE = 4
_PR_SET_KEEPCAPS = 8
_PR_SET_SECCOMP = 22
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_RAISE = 2
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_SECCOMP_MODE_FILTER = 2

_CAPABILITY_VERSION_3 = 0x20080522

_LANDLOCK_CREATE_RULESET_VERSION = 1
_LANDLOCK_RULE_PATH_BENEATH = 1


def clone(flags: int) -> int:
    """As os.fork(), with the child in new namespaces (clone(2)). For processes of one thread."""
    number = _CLONE[os.uname().machine]
    ctypes.pythonapi.PyOS_BeforeFork()
    pid: int = _libc_with_gil.syscall(
        ctypes.c_long(number), ctypes.c_ulong(flags | signal.SIGCHLD), None, None, None, None
    )
    if pid == 0:
        ctypes.pythonapi.PyOS_AfterFork_Child()
    else:
        failure = ctypes.get_errno()
        ctypes.pythonapi.PyOS_AfterFork_Parent()
        if pid < 0:
            raise OSError(failure, os.strerror(failure))
    return pid


def unshare(flags: int) -> None:
    """Go on in new namespaces (unshare(2))."""
    _check(_libc.unshare(ctypes.c_int(flags)))


def sethostname(name: str) -> None:
    """The host name of this UTS namespace (sethostname(2))."""
    data = name.encode()
    _check(_libc.sethostname(data, ctypes.c_size_t(len(data))))


def mount(kind: str, target: str, flags: int, options: str = "") -> None:
    """Mount a filesystem of a kind that has no source (mount(2))."""
    _check(_libc.mount(kind.encode(), os.fsencode(target), kind.encode(), ctypes.c_ulong(flags), options.encode()))


def make_private() -> None:
    """Keep all mounts of this namespace from telling others, and from being told, of changes (mount(2))."""
    _check(_libc.mount(None, b"/", None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None))


def open_tree(path: str) -> int:
    """A copy of the mount at a path, with those below it, that is attached nowhere yet: a descriptor (open_tree(2)).

    No component of the path may be a symbolic link: who has put one there may not be who chose the path (openat2(2)).
    """
    how = struct.pack("=3Q", os.O_PATH | os.O_CLOEXEC, 0, _RESOLVE_NO_SYMLINKS)
    place = _syscall(_OPENAT2, _AT_FDCWD, os.fsencode(path), how, len(how))
    try:
        return _syscall(_OPEN_TREE, place, b"", _OPEN_TREE_CLONE | os.O_CLOEXEC | _AT_RECURSIVE | _AT_EMPTY_PATH)
    finally:
        os.close(place)


def move_mount(tree: int, target: str) -> None:
    """Attach what :func:`open_tree` gave, and close the descriptor (move_mount(2))."""
    try:
        _syscall(_MOVE_MOUNT, tree, b"", _AT_FDCWD, os.fsencode(target), _MOVE_MOUNT_F_EMPTY_PATH)
    finally:
        os.close(tree)


def mount_setattr(path: str, attributes: int, *, recursive: bool) -> None:
    """Set attributes of the mount at a path, and of all below it where ``recursive`` (mount_setattr(2), Linux 5.12)."""
    value = struct.pack("=4Q", attributes, 0, 0, 0)
    _syscall(_MOUNT_SETATTR, _AT_FDCWD, os.fsencode(path), _AT_RECURSIVE if recursive else 0, value, len(value))


def set_dumpable(dumpable: bool) -> None:
    """Whether others of this user may trace this process and look into its files under /proc (prctl(2))."""
    _prctl(_PR_SET_DUMPABLE, int(dumpable))


def set_no_new_privileges() -> None:
    """Gain no privilege by execve(2) from now on (prctl(2))."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def keep_capabilities() -> None:
    """Keep the permitted capabilities over a change from root to another user (prctl(2))."""
    _prctl(_PR_SET_KEEPCAPS, 1)


def drop_from_bounding_set(capability: int) -> None:
    """No program gives this capability any more (prctl(2))."""
    _prctl(_PR_CAPBSET_DROP, capability)


def set_ambient(capabilities: Sequence[int]) -> None:
    """The capabilities that a program of no privileges keeps; they must be permitted and inheritable (prctl(2))."""
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    for capability in capabilities:
        _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, capability)


def set_capabilities(capabilities: Sequence[int], inheritable: Sequence[int] | None = None) -> None:
    """Have these capabilities effective and permitted, and no others; inheritable the same or others (capset(2))."""
    own = _halves(capabilities)
    handed_on = own if inheritable is None else _halves(inheritable)
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    words = [word for half in (0, 1) for word in (own[half], own[half], handed_on[half])]
    _check(_libc.capset(header, struct.pack("=6I", *words)))


def _halves(capabilities: Sequence[int]) -> tuple[int, int]:
    mask = sum(1 << capability for capability in capabilities)
    return mask & 0xFFFFFFFF, mask >> 32


def set_seccomp_filter(program: bytes) -> None:
    """Judge all further system calls by a program of BPF, for good (seccomp(2))."""
    instructions = ctypes.create_string_buffer(program)
    value = struct.pack("@HP", len(program) // 8, ctypes.addressof(instructions))
    _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, value)


def landlock_version() -> int:
    """Which version of Landlock this kernel has; 0: none (landlock_create_ruleset(2))."""
    with suppress(OSError):
        return _syscall(_LANDLOCK_CREATE_RULESET, None, 0, _LANDLOCK_CREATE_RULESET_VERSION)
    return 0


def landlock_create_ruleset(access: int, scoped: int) -> int:
    """Rules that refuse ``access`` to files, but for what is added: a descriptor (landlock_create_ruleset(2))."""
    value = struct.pack("=3Q", access, 0, scoped) if scoped else struct.pack("=Q", access)  # what version 1 knew
    return _syscall(_LANDLOCK_CREATE_RULESET, value, len(value), 0)


def landlock_allow(ruleset: int, access: int, parent: int) -> None:
    """Allow ``access`` to the file or directory open as ``parent``, and to all below it (landlock_add_rule(2))."""
    value = struct.pack("=Qi", access, parent)
    _syscall(_LANDLOCK_ADD_RULE, ruleset, _LANDLOCK_RULE_PATH_BENEATH, value, 0)


def landlock_restrict_self(ruleset: int) -> None:
    """Hold this process to the rules, for good (landlock_restrict_self(2))."""
    _syscall(_LANDLOCK_RESTRICT_SELF, ruleset, 0)


def _prctl(option: int, *arguments: object) -> None:
    words = [ctypes.c_ulong(word) if isinstance(word, int) else word for word in arguments]
    _check(_libc.prctl(ctypes.c_int(option), *words, *[ctypes.c_ulong(0)] * (4 - len(words))))


def _syscall(number: int, *arguments: object) -> int:
    words = [ctypes.c_long(word) if isinstance(word, int) else word for word in arguments]
    return _check(_libc.syscall(ctypes.c_long(number), *words))


def _check(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
