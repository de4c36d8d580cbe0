"""Executes a job's command with pipes for its output."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobworker_lib.spec import JobSpec


class Spawned:
    """A job's main process and the read ends of its pipes, in the order of the streams' numbers."""

    def __init__(self, spec: JobSpec) -> None:
        """Execute the command in a session of its own.

        Raises:
            OSError: of chdir(2) (``filename`` is the working directory) or execve(2).
        """
        reads, writes = zip(os.pipe2(os.O_CLOEXEC), os.pipe2(os.O_CLOEXEC), strict=True)
        try:
            process = subprocess.Popen(  # vfork(2): no preexec_fn, no change of user
                spec.argv,
                stdin=subprocess.DEVNULL,
                stdout=writes[0],
                stderr=writes[1],
                cwd=spec.cwd,
                env=spec.env,
                start_new_session=True,
            )
        except BaseException:
            for descriptor in reads:
                os.close(descriptor)
            raise
        finally:
            for descriptor in writes:
                os.close(descriptor)
        process.returncode = 0  # reaped by the shim with all others of the tree, not by Popen
        self.pid = process.pid
        self.pipes: tuple[int, int] = reads
        for descriptor in reads:
            os.set_blocking(descriptor, False)
