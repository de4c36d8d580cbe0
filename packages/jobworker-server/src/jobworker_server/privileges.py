"""What the server's own process lets go of: it faces the network, and its processes that start jobs do not.

Jobs are started by other processes, which are executed, and have by that again what root has. So this is no wall to
somebody who makes this process execute what they want: docs/security.md tells what it is worth.
"""

from __future__ import annotations

import os

from jobworker_lib.isolation import calls, capabilities

KEPT = (
    "CAP_CHOWN",  # a socket for the group of a proxy
    "CAP_DAC_OVERRIDE",  # files of other users that it is configured with, such as certificates and the audit
    "CAP_KILL",  # what is left of lost jobs of other users
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_PTRACE",  # finding that, by the environment of processes
)
"""Of the capabilities that root has, those that the server itself needs."""


def let_go() -> None:
    """Keep no capability that isn't needed, and nobody else but root may look into this process.

    To be called while the process has one thread: each has capabilities of its own.
    """
    if os.geteuid() == 0:  # others hand on what they were given, and would not get it again
        kept = capabilities.permitted() & set(capabilities.numbers(KEPT))
        calls.set_capabilities(sorted(kept), inheritable=())
    calls.set_dumpable(dumpable=False)
