"""A port for a server that ends and comes back on it."""

from __future__ import annotations

import secrets
import socket

FIRST, END = 20_000, 32_768
"""Where ports are looked for: below those that Linux gives to outgoing connections (``ip_local_port_range``)."""

_TRIES = 100


def free(host: str = "127.0.0.1") -> int:
    """A port of ``host`` that nobody uses now, and that no outgoing connection takes while its server is away.

    Raises:
        OSError: there is no such host, or no free port was found.
    """
    for remaining in reversed(range(_TRIES)):
        port = FIRST + secrets.randbelow(END - FIRST)
        try:
            hold(host, port)
        except OSError:
            if not remaining:
                raise
        else:
            return port
    raise AssertionError("the last try returns or raises")


def hold(host: str, port: int) -> None:
    """Listens there for a moment, to see that one can.

    Raises:
        OSError: another program uses it, or there is no such host.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    socket.create_server((host, port), family=family).close()
