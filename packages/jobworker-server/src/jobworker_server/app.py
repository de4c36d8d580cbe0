"""The process of a server: the engine, the server and the signals that it answers to."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from contextlib import aclosing

from jobworker_lib import aio
from jobworker_lib.host import descriptors
from jobworker_server.audit import Audit
from jobworker_server.config import Settings
from jobworker_server.identity import Identification
from jobworker_server.policy import PolicyInForce
from jobworker_server.server import Server
from jobworker_server.service_manager import ServiceManager
from jobworker_server.tls import MutualTls

_log = logging.getLogger(__name__)


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; SIGHUP loads certificates, policy and the like again. Jobs run on.

    A service manager that has started this process is told when it is ready, reloads and stops.

    Raises:
        ServerError: the server can't be started.
        StateDirectoryError: the state directory can't be used.
    """
    manager = ServiceManager(os.environ)
    descriptors.take_most()
    tls = MutualTls(settings.files)
    policy = PolicyInForce(settings.policy)
    identification = Identification(settings.identity)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    loop.add_signal_handler(signal.SIGHUP, lambda: None)  # what changes from now on is seen when the server is ready
    audit = Audit(settings.audit)
    async with (
        aclosing(audit),
        aio.Engine(
            settings.state_dir,
            bounds=settings.bounds,
            retention=settings.retention,
            hidden_paths=settings.hidden_paths,
            cgroup=settings.cgroup,
        ) as engine,
        Server(
            engine,
            tls,
            settings.listen,
            limits=settings.limits,
            policy=policy,
            identification=identification,
            quotas=settings.quotas,
            audit=audit,
            proxy=settings.proxy,
        ) as server,
    ):

        def reload() -> None:
            manager.tell_reloading()
            server.reload(manager.tell_ready)

        loop.add_signal_handler(signal.SIGHUP, reload)
        _log.info("listening on %s", server.address)
        if settings.proxy:
            _log.info("listening for a proxy on %s", settings.proxy.path)
        _log.info("trusting clients of %s", tls.description)
        if settings.policy:
            _log.info("the policy is that of %s: %s", settings.policy, policy.summary)
            policy.warn()
        if audit.is_on:
            _log.info("the audit goes to %s", settings.audit.file or settings.audit.syslog)
        manager.tell_ready(f"listening on {server.address}")
        watchdog = asyncio.create_task(manager.keep_telling())
        await stopping.wait()
        watchdog.cancel()
        manager.tell_stopping()
        _log.info("stopping; jobs run on")
