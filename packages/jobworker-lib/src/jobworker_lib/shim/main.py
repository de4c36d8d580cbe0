"""The shim's life: one job after another for the fork server, until it is retired."""

from __future__ import annotations

import os
import signal
import socket
import traceback
from contextlib import suppress

from jobworker_lib import messages
from jobworker_lib.host import libc, tree
from jobworker_lib.host.procfs import descendants
from jobworker_lib.job.directory import ExitRecord, JobDirectory
from jobworker_lib.shim.signals import SignalPipe
from jobworker_lib.shim.supervisor import TakenError, supervise

_JOBS_PER_SHIM = 100
"""Then it is retired: its private memory creeps up."""

_DESCRIPTORS = 3


def serve(link: socket.socket) -> None:
    """Take jobs from the fork server, one at a time; return when there is no more use for this shim."""
    prepare()
    for jobs_left in reversed(range(_JOBS_PER_SHIM)):
        request = None
        with suppress(ConnectionError):  # the fork server was killed, and had not read all
            request = messages.receive(link, _DESCRIPTORS)
        if request is None:
            return
        reply, spec_lock, directory = request[1]
        if not _take(socket.socket(fileno=reply), spec_lock, directory):
            return  # it may hold something of that job still
        if jobs_left:
            with suppress(OSError):  # the fork server is gone: the next receive says so
                messages.send(link, {"idle": True}, [])


def prepare() -> None:
    """Make this process fit to own a job's tree."""
    libc.become_subreaper()
    libc.set_process_name("jobworker-shim")


def run_job(directory: JobDirectory, reply: socket.socket | None) -> bool:
    """Run the job of a directory whose lock the caller holds; tell ``reply`` how its start went.

    Whatever goes wrong, no process of the job is left. False: something has, and this process should not be used again.
    """
    signals = SignalPipe([signal.SIGCHLD, signal.SIGTERM])

    def started(failure: ExitRecord | None) -> None:
        _answer(reply, {"started": failure is None})

    try:
        supervise(directory, directory.read_spec(), signals, started)
    except TakenError:  # this shim stood still, and another was given the job
        _answer(reply, {"started": False})
        return False
    except OSError as error:
        with suppress(OSError):  # the disk may be full
            traceback.print_exc()  # to the engine's log
        _kill_all()
        _answer(reply, {"error": os.strerror(error.errno or 0)})
        return False
    finally:
        signals.close()
    return True


def _take(reply: socket.socket, spec_lock: int, directory: int) -> bool:
    try:
        os.fchdir(directory)
        with reply:
            return run_job(JobDirectory("."), reply)
    finally:
        os.chdir("/")
        os.close(directory)
        os.close(spec_lock)


def _answer(reply: socket.socket | None, message: dict[str, object]) -> None:
    if reply is not None and reply.fileno() >= 0:
        with suppress(OSError):  # the asker may be gone; the job goes on
            messages.send(reply, message, [])
        reply.close()


def _kill_all() -> None:
    with suppress(ChildProcessError):
        while True:
            tree.uproot(tree.below(os.getpid()), lambda: descendants(os.getpid()))
            os.waitpid(-1, 0)
