"""The process of a server: the engine, the server and the signals that it answers to."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable, Sequence

from jobworker_lib import aio
from jobworker_server.config import Settings
from jobworker_server.errors import ServerError
from jobworker_server.policy import PolicyInForce
from jobworker_server.server import Server
from jobworker_server.tls import MutualTls

_log = logging.getLogger(__name__)


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; SIGHUP loads the certificates and the policy again. Jobs run on.

    Raises:
        ServerError: the server can't be started.
        StateDirectoryError: the state directory can't be used.
    """
    tls = MutualTls(settings.files)
    policy = PolicyInForce(settings.policy)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    changed: list[Callable[[], None]] = []
    loop.add_signal_handler(signal.SIGHUP, _reload, tls, policy, changed)
    async with (
        aio.Engine(
            settings.state_dir,
            bounds=settings.bounds,
            retention=settings.retention,
            hidden_paths=settings.hidden_paths,
            cgroup=settings.cgroup,
        ) as engine,
        Server(engine, tls, settings.listen, limits=settings.limits, policy=policy) as server,
    ):
        _log.info("listening on %s", server.address)
        changed.append(server.recheck)
        await stopping.wait()
        _log.info("stopping; jobs run on")


def _reload(tls: MutualTls, policy: PolicyInForce, changed: Sequence[Callable[[], None]]) -> None:
    """Load what can be loaded again, and then do what is to be done when it has changed."""
    try:
        tls.reload()
    except ServerError as error:
        _log.error("the certificates were not reloaded, the old ones stay in use: %s", error)
    else:
        _log.info("the certificates were reloaded")
    try:
        policy.reload()
    except ServerError as error:
        _log.error("the policy was not reloaded, the old one stays in force: %s", error)
    else:
        _log.info("the policy was reloaded")
    for act in changed:
        act()
