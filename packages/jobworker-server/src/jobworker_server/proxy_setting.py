"""The proxy, as the configuration file says it."""

from __future__ import annotations

from pathlib import Path

from jobworker_server.errors import ConfigError
from jobworker_server.nearest import nearest
from jobworker_server.proxy_socket import ProxySocket

_KEYS = ("socket", "group")


def proxy_socket(value: object, directory: Path) -> ProxySocket:
    """What ``proxy`` of the configuration file says; the socket is relative to ``directory``.

    Raises:
        ConfigError: it can't be used; the message does not name the file.
    """
    if not isinstance(value, dict) or "socket" not in value:
        raise ConfigError("proxy must hold a socket, such as proxy: {socket: /run/jobworker/proxy.sock}")
    for key, text in value.items():
        if key not in _KEYS:
            raise ConfigError(f"proxy: there is no setting {key!r}; {nearest(str(key), _KEYS)}")
        if not isinstance(text, str) or not text:
            raise ConfigError(f"proxy.{key}: expected {'a path' if key == 'socket' else 'a name'}, not {text!r}")
    return ProxySocket(directory / value["socket"], value.get("group"))
