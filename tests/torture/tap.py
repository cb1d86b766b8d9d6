"""Writes down every order and every report that passes the proxy, as it arrives there."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping
from typing import Any

from shallop_cloud.bench.proxy import Passing, Way
from shallop_cloud.bench.proxy_wire import NotMqtt, PacketType, message_of
from shallop_protocol import desired, digests, keys, messages
from shallop_protocol.errors import ProtocolError
from shallop_protocol.topics import Kind, Topics
from torture.history import Log

KEPT = 5
"""So many earlier orders are kept beside the last one."""


class Tap:
    """What the proxy calls for each packet. It is told the robots' names by their ids on the wire."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._topics = Topics()
        self.names: dict[str, str] = {}
        self.envelopes: dict[str, list[bytes]] = {}
        """The last orders, by topic, as they were sent."""
        self.messages = 0
        """How many messages passed so far, both ways."""
        self.unreadable: list[str] = []
        """What could not be read, though nothing had happened to it yet."""

    def topic(self, device: str) -> str:
        """Where the orders of a device go, by its id on the wire."""
        return self._topics.of(device, Kind.DESIRED)

    def __call__(self, passing: Passing) -> None:
        """A packet passes."""
        if passing.packet.type is not PacketType.PUBLISH:
            return
        self.messages += 1
        if passing.way is Way.TO_CLIENT:
            return
        try:
            message = message_of(passing.packet, passing.level)
            device, kind = self._topics.parse(message.topic) or ("", None)
            if kind is Kind.DESIRED:
                self._order(passing, device, message.payload)
                self.envelopes[message.topic] = [*self.envelopes.get(message.topic, [])[-KEPT:], message.payload]
            elif kind is Kind.REPORT:
                self._report(passing, device, message.payload)
            elif message.topic == self._topics.keys:
                self._keys(passing, message.payload)
        except (NotMqtt, ProtocolError, ValueError, KeyError, zlib.error) as error:
            self.unreadable.append(f"{passing.client}: {error!r}")

    def _order(self, passing: Passing, device: str, payload: bytes) -> None:
        envelope = json.loads(payload)
        order = desired.Desired.model_validate_json(_signed(envelope))
        self._log.write(
            "order",
            at=self._log.moment(passing.at),
            client=passing.client,
            device=self.names[device],
            epoch=order.epoch,
            generation=order.generation,
            deployment=order.deployment.id if order.deployment else None,
            digest=order.deployment.digest if order.deployment else None,
            fallback=order.fallback,
            order=order.digest,
            signers=[each["keyid"] for each in envelope["signatures"]],
        )

    def _keys(self, passing: Passing, payload: bytes) -> None:
        listed = keys.KeyList.model_validate_json(_signed(json.loads(payload)))
        self._log.write(
            "keys",
            at=self._log.moment(passing.at),
            client=passing.client,
            version=listed.version,
            epoch=listed.epoch,
            active=list(listed.active),
        )

    def _report(self, passing: Passing, device: str, payload: bytes) -> None:
        report = messages.parse_report(payload, device)
        self._log.write(
            "report",
            at=self._log.moment(passing.at),
            device=self.names[device],
            incarnation=report.incarnation,
            seq=report.seq,
            epoch=report.epoch,
            generation=report.generation,
            order=report.order,
            current=report.current,
            deployments=[
                {"id": each.id, "activity": each.activity.value, "error": each.error.value, "digest": each.digest}
                for each in report.deployments
            ],
            body=digests.of_bytes(payload)[:19],
            keys=report.keys,
        )


def _signed(envelope: Mapping[str, Any]) -> bytes:
    """The payload of an envelope, unpacked."""
    payload = base64.b64decode(envelope["payload"])
    return zlib.decompress(payload, wbits=31) if envelope["payloadType"].endswith("gzip") else payload
