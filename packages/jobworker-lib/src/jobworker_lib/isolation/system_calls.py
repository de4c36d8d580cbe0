"""The system calls that jobs with ``seccomp`` are refused, and why: docs/isolation.md tells the same to people."""

from __future__ import annotations

from typing import Final

# Their numbers, on x86_64 and on aarch64; None: it does not exist there.
Numbers = tuple[int | None, int | None]

CLONE: Final[Numbers] = (56, 220)
CLONE3: Final[Numbers] = (435, 435)
IOCTL: Final[Numbers] = (16, 29)
PERSONALITY: Final[Numbers] = (135, 92)
SOCKET: Final[Numbers] = (41, 198)

OPENAT2: Final[Numbers] = (437, 437)

MODES: Final[dict[str, tuple[Numbers, int]]] = {
    "chmod": ((90, None), 1),
    "creat": ((85, None), 1),
    "fchmod": ((91, 52), 1),
    "fchmodat": ((268, 53), 2),
    "fchmodat2": ((452, 452), 2),
    "mknod": ((133, None), 1),
    "mknodat": ((259, 33), 2),
}
"""Those that set a file's mode, and which of their arguments it is."""
OPENING: Final[dict[str, tuple[Numbers, int]]] = {
    "open": ((2, None), 1),
    "openat": ((257, 56), 2),
}
"""Those that do so where they make a file, and which of their arguments are the flags; the mode is the next."""

NEWEST: Final = 469
"""The last one that was looked at for this list; what came later is refused as unknown."""

NAMESPACES: Final[dict[str, Numbers]] = {
    "setns": (308, 268),
    "unshare": (272, 97),
}

MOUNTS: Final[dict[str, Numbers]] = {
    "chroot": (161, 51),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fsopen": (430, 430),
    "fspick": (433, 433),
    "mount": (165, 40),
    "mount_setattr": (442, 442),
    "move_mount": (429, 429),
    "open_tree": (428, 428),
    "open_tree_attr": (467, 467),
    "pivot_root": (155, 41),
    "umount2": (166, 39),
}

HANDLES: Final[dict[str, Numbers]] = {
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
}

OTHER_PROCESSES: Final[dict[str, Numbers]] = {
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "process_madvise": (440, 440),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "ptrace": (101, 117),
}

KERNEL_MACHINERY: Final[dict[str, Numbers]] = {
    "bpf": (321, 280),
    "fanotify_init": (300, 262),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_uring_setup": (425, 425),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
}

KEYRINGS: Final[dict[str, Numbers]] = {
    "add_key": (248, 217),
    "keyctl": (250, 219),
    "request_key": (249, 218),
}

HOST: Final[dict[str, Numbers]] = {
    "acct": (163, 89),
    "clock_adjtime": (305, 266),
    "clock_settime": (227, 112),
    "create_module": (174, None),
    "delete_module": (176, 106),
    "finit_module": (313, 273),
    "init_module": (175, 105),
    "kexec_file_load": (320, 294),
    "kexec_load": (246, 104),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "reboot": (169, 142),
    "setdomainname": (171, 162),
    "sethostname": (170, 161),
    "settimeofday": (164, 170),
    "swapoff": (168, 225),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "vhangup": (153, 58),
}

RELICS: Final[dict[str, Numbers]] = {
    "_sysctl": (156, None),
    "ioperm": (173, None),
    "iopl": (172, None),
    "lookup_dcookie": (212, 18),
    "modify_ldt": (154, None),
    "nfsservctl": (180, 42),
    "sysfs": (139, None),
    "uselib": (134, None),
    "ustat": (136, None),
}

REFUSED: Final[dict[str, Numbers]] = {
    **NAMESPACES,
    **MOUNTS,
    **HANDLES,
    **OTHER_PROCESSES,
    **KERNEL_MACHINERY,
    **KEYRINGS,
    **HOST,
    **RELICS,
}
