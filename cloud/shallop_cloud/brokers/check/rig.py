"""The three clients that a probe speaks as, and what it does with them again and again."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Generator
from typing import Any

from paho.mqtt.enums import MQTTProtocolVersion
from shallop_protocol.topics import Kind, Topics

from shallop_cloud.brokers.check.peer import Account, Broker, Deadline, Heard, NoAnswer, Peer

SETTLE_S = 0.3
"""How long something that should not come has, after something that was sent later has come."""
_numbers = itertools.count(1)


@dataclasses.dataclass(frozen=True, slots=True)
class Rig:
    """A broker, the cloud's account, and two devices that no robot uses."""

    broker: Broker
    topics: Topics
    cloud: Account
    devices: tuple[Account, Account]
    version: MQTTProtocolVersion = MQTTProtocolVersion.MQTTv311

    @property
    def deadline(self) -> Deadline:
        """When it must be over."""
        return self.broker.deadline

    def open(self, account: Account, client_id: str | None = None, **options: Any) -> Peer:
        """A connection. A device's client id is its user.

        Raises:
            NoAnswer: the broker does not let it in.
        """
        name = client_id or (account.user if account in self.devices else f"{account.user or 'nobody'}-check")
        return Peer(self.broker, account, name, options.pop("version", self.version), **options)

    @contextlib.contextmanager
    def opened(self, account: Account, client_id: str | None = None, **options: Any) -> Generator[Peer]:
        """The same for a block."""
        peer = self.open(account, client_id, **options)
        try:
            yield peer
        finally:
            peer.close()

    def topic(self, device: Account, kind: Kind) -> str:
        """A topic of a device."""
        return self.topics.of(device.user, kind)

    def retained(self, peer: Peer, topic_filter: str, by: Peer, marker: str) -> list[Heard]:
        """What a new subscription of ``peer`` is given. ``by`` says something on the topic ``marker`` after it, which
        ``peer`` must hear.

        Raises:
            NoAnswer: the subscription is refused, or the marker does not arrive.
        """
        peer.forget()
        if not peer.subscribe(topic_filter):
            raise NoAnswer(f"the subscription to {topic_filter} is refused")
        return self.until_marker(peer, by, marker)

    def until_marker(self, peer: Peer, by: Peer, marker: str) -> list[Heard]:
        """What ``peer`` hears until a new message on the topic ``marker`` has come, and shortly after it.

        Raises:
            NoAnswer: the marker does not arrive.
        """
        sign = f"marker {next(_numbers)}".encode()
        by.send(marker, sign)
        before = list(peer.heard(until=sign))
        found = before + list(peer.heard(within=SETTLE_S))
        return [each for each in found if not each.payload.startswith(b"marker ")]
