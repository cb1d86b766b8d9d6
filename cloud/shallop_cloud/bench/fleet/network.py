"""The way between the bench's real agents and the broker: through a proxy that can be as bad as one wants."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Generator, Sequence
from typing import Protocol

from shallop_cloud.bench.faults import Fault, Kind
from shallop_cloud.bench.fleet.errors import BenchError, Refused
from shallop_cloud.bench.proxy import Proxy, ProxyError
from shallop_cloud.link.connection import BrokerUrl


class Network(Protocol):
    """A way that can be made bad.

    Attributes:
        url: where robots connect to take it; None for the broker's own address.
    """

    url: str | None

    def fault(self, clients: Sequence[str], fault: Fault) -> None:
        """Makes it worse, or well again, for these client ids.

        Raises:
            Refused: it cannot be made bad in that way.
        """
        ...


class Proxied:
    """The way through a proxy."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        host, port = proxy.address
        self.url: str | None = f"mqtt://{host}:{port}"

    def fault(self, clients: Sequence[str], fault: Fault) -> None:
        """As the port says."""
        match fault.kind:
            case Kind.OFFLINE:
                self._proxy.offline(*clients, seconds=fault.seconds)
            case Kind.SLOW:
                self._proxy.slow(fault.seconds, *clients)
            case Kind.DUPLICATE:
                self._proxy.duplicate(*clients)
            case Kind.REORDER:
                self._proxy.reorder(*clients)
            case Kind.HEAL:
                self._proxy.heal(*clients)
            case _:
                raise Refused(f"{fault.kind} is no fault of a network")


class Straight:
    """No way but the straight one."""

    url: str | None = None

    def fault(self, clients: Sequence[str], fault: Fault) -> None:  # noqa: ARG002
        """Heals; there is nothing to make worse.

        Raises:
            Refused: anything else.
        """
        if fault.kind is not Kind.HEAL:
            raise Refused(f"{fault.kind} cannot be done over mqtts://: nobody between can read the client's id")


@contextlib.contextmanager
def to(broker: BrokerUrl, rng: random.Random) -> Generator[Network]:
    """Opens a way to a broker while the block lasts.

    Raises:
        BenchError: the proxy cannot start.
    """
    if broker.tls:
        yield Straight()
        return
    proxy = Proxy((broker.host, broker.port), rng=rng)
    try:
        proxy.start()
    except ProxyError as error:
        raise BenchError(str(error)) from None
    try:
        yield Proxied(proxy)
    finally:
        proxy.stop()
