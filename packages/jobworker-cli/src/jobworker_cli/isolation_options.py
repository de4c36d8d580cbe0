"""The options that say how a job is kept apart from the host, and as whom it runs."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from typing import Annotated, Any

import typer

from jobworker_cli.fence import Isolation, Network

PANEL = "Isolation"


class Part(StrEnum):
    """What ``--isolate`` consists of."""

    PID = "pid"
    IPC = "ipc"
    UTS = "uts"
    NETWORK = "network"
    READ_ONLY = "read-only"
    TMP = "private-tmp"
    DEVICES = "private-devices"
    PRIVILEGES = "no-new-privileges"
    CAPABILITIES = "drop-capabilities"
    SECCOMP = "seccomp"
    LANDLOCK = "landlock"


_FIELDS = {
    Part.PID: "pid",
    Part.IPC: "ipc",
    Part.UTS: "uts",
    Part.NETWORK: "network",
    Part.READ_ONLY: "read_only",
    Part.TMP: "private_tmp",
    Part.DEVICES: "private_devices",
    Part.PRIVILEGES: "no_new_privileges",
    Part.CAPABILITIES: "drop_capabilities",
    Part.SECCOMP: "seccomp",
    Part.LANDLOCK: "landlock",
}


def _switch(name: str, text: str) -> object:
    return typer.Option(name, help=text, rich_help_panel=PANEL)


def _paths(name: str, text: str, metavar: str = "PATH") -> object:
    return typer.Option(name, metavar=metavar, help=f"{text}; may be repeated.", rich_help_panel=PANEL)


Isolate = Annotated[bool, _switch("--isolate", "All of what follows down to --landlock, that where the kernel has it.")]
Except = Annotated[list[Part] | None, _paths("--except", "Without this part of --isolate, such as read-only", "PART")]
PrivatePid = Annotated[bool, _switch("--private-pid", "Sees, signals and traces no other process.")]
PrivateIpc = Annotated[bool, _switch("--private-ipc", "Shares no System V IPC and message queues.")]
PrivateUts = Annotated[bool, _switch("--private-uts", "Has a host name of its own.")]
NetworkOption = Annotated[
    Network | None,
    typer.Option("--network", help="The host's, one with a loopback alone, or one without.", rich_help_panel=PANEL),
]
ReadOnly = Annotated[bool, _switch("--read-only", "Writes to nothing but --cwd, --writable and a private /tmp.")]
PrivateTmp = Annotated[bool, _switch("--private-tmp", "Has empty /tmp, /var/tmp and /dev/shm of its own.")]
PrivateDevices = Annotated[bool, _switch("--private-devices", "Has a /dev with harmless devices, and an empty /run.")]
NoNewPrivileges = Annotated[bool, _switch("--no-new-privileges", "Gains no privilege by executing a program.")]
DropCapabilities = Annotated[bool, _switch("--drop-capabilities", "Has no capabilities but those kept.")]
Seccomp = Annotated[bool, _switch("--seccomp", "Dangerous system calls fail.")]
Landlock = Annotated[bool, _switch("--landlock", "Landlock holds --read-only and --hide, too.")]
KeepCapability = Annotated[
    list[str] | None, _paths("--keep-capability", "Keeps it, such as net_bind_service", metavar="NAME")
]
Writable = Annotated[list[str] | None, _paths("--writable", "Can be written to in spite of --read-only")]
Hide = Annotated[list[str] | None, _paths("--hide", "Is found empty")]
User = Annotated[
    str,
    typer.Option(
        "--user",
        metavar="USER",
        help="Runs as this user of the server's host: a name or number.",
        rich_help_panel=PANEL,
    ),
]
Group = Annotated[
    list[str] | None, _paths("--group", "Has this supplementary group, in place of those of --user", metavar="GROUP")
]


def read(
    *,
    isolate: Isolate = False,
    private_pid: PrivatePid = False,
    private_ipc: PrivateIpc = False,
    private_uts: PrivateUts = False,
    network: NetworkOption = None,
    read_only: ReadOnly = False,
    private_tmp: PrivateTmp = False,
    private_devices: PrivateDevices = False,
    no_new_privileges: NoNewPrivileges = False,
    drop_capabilities: DropCapabilities = False,
    seccomp: Seccomp = False,
    landlock: Landlock = False,
    without: Except = None,
    keep_capability: KeepCapability = None,
    writable: Writable = None,
    hide: Hide = None,
) -> Isolation | None:
    """What the options ask for; None: nothing."""
    if without and not isolate:
        raise typer.BadParameter("it is for --isolate", param_hint="--except")
    found = Isolation.full() if isolate else Isolation()
    found = replace(found, **{name: getattr(Isolation(), name) for name in map(_FIELDS.__getitem__, without or ())})
    switches = {
        "pid": private_pid,
        "ipc": private_ipc,
        "uts": private_uts,
        "read_only": read_only,
        "private_tmp": private_tmp,
        "private_devices": private_devices,
        "no_new_privileges": no_new_privileges,
        "drop_capabilities": drop_capabilities,
        "seccomp": seccomp,
        "landlock": landlock,
    }
    asked: dict[str, Any] = {name: True for name, is_set in switches.items() if is_set}
    if network is not None:
        asked["network"] = network
    found = replace(
        found,
        **asked,
        writable=tuple(writable or ()),
        hidden=tuple(hide or ()),
        kept_capabilities=tuple(keep_capability or ()),
    )
    return None if found == Isolation() else found


def read_account(*, user: User = "", group: Group = None) -> tuple[str, list[str]]:
    """As whom the job runs: the user, empty where none is named, and its groups."""
    if group and not user:
        raise typer.BadParameter("it is for --user", param_hint="--group")
    return user, group or []
