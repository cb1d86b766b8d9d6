"""The connection to the broker. One object is one connection at a time; when it ends, whoever owns it opens the next.

paho-mqtt's own reconnecting, queueing and threading are not used: it reconnects without jitter, queues without limit
what is published while offline, and an exception in a callback ends its thread while it still calls itself connected.
Here each connection has a client and a thread of its own that does all reading and writing. However that thread
ends, ``inbox.Lost`` is the last that is heard of the connection.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from typing import Any, Protocol

import paho.mqtt.client as mqtt
from paho.mqtt import enums, packettypes, properties, reasoncodes
from shallop_protocol import desired, keys, messages, topics
from shallop_protocol.messages import Presence
from shallop_protocol.topics import Kind

from shallop_device import identity, inbox, tls, wire

KEEPALIVE_S = 30
CONNECT_TIMEOUT_S = 10.0
"""For each of: TCP, TLS, and the broker's answer to CONNECT."""
SUBSCRIBE_TIMEOUT_S = 20.0
CLOSE_TIMEOUT_S = 3.0
UNANSWERED_S = 20.0
"""After so long without a sign that sent bytes arrived, the kernel gives the connection up (TCP_USER_TIMEOUT)."""
MAX_UNANSWERED = 64
"""Messages that the broker has not acknowledged; further ones are not sent."""
LOOKS_PER_KEEPALIVE = 4
"""So often the keep-alive is looked at; whatever is to be read or written is so at once. A broker waits for one and a
half keep-alives (MQTT 3.1.1, section 3.1.2.10), so a quarter is soon enough."""
_MAX_PACKET_BYTES = desired.MAX_ENVELOPE_BYTES + 1024
_REFUSED = frozenset({0x86, 0x87, 0x8A, 0x8C})
"""MQTT 5, section 2.4: bad user name or password, not authorized, banned, bad authentication method. paho translates
the codes of MQTT 3.1.1 into these."""
_CANNOT_READ = "failed to receive on socket: "
_TAKEN_OVER = 0x8E
"""MQTT 5, section 2.4: session taken over. MQTT 3.1.1 has no word for it."""

logger = logging.getLogger(__name__)


class Link(Protocol):
    """What the agent needs of a connection. What comes of it arrives in the inbox."""

    def open(self, connection: int) -> None:
        """Begins to connect, with a last will that carries this number. An earlier connection was lost or closed."""
        ...

    def publish(self, kind: Kind, payload: bytes) -> int | None:
        """Sends a message of this device with QoS 1, retained if its kind is. Its number, or None if it cannot be
        sent now; nothing is queued then."""
        ...

    def close(self) -> None:
        """Ends the connection in good order, without the last will; returns when it has ended."""
        ...

    def is_alive(self) -> bool:
        """Whether the connection is still being worked on."""
        ...


class MqttLink:
    """A connection by paho-mqtt, MQTT 3.1.1 or 5 as the identity says.

    Args:
        trust: for a broker with TLS; None for the authorities that the identity names.
        keepalive: the longest silence in seconds.
    """

    def __init__(
        self,
        who: identity.Identity,
        incarnation: str,
        items: inbox.Inbox,
        *,
        trust: tls.Trust | None = None,
        keepalive: int = KEEPALIVE_S,
        sends_password: bool = True,
    ) -> None:
        self._who = who
        self._trust = trust or tls.Trust(ca=who.ca, own=who.certificate)
        self._keepalive = keepalive
        self._sends_password = sends_password
        self._incarnation = incarnation
        self._inbox = items
        self._connection: _Connection | None = None

    def open(self, connection: int) -> None:
        """As the port says."""
        will = presence(self._who, self._incarnation, connection, online=False)
        password = self._who.password if self._sends_password else None
        self._connection = _Connection(self._who, password, connection, will, self._inbox, self._trust, self._keepalive)
        self._connection.thread.start()

    def publish(self, kind: Kind, payload: bytes) -> int | None:
        """As the port says."""
        return self._connection.publish(kind, payload) if self._connection else None

    def close(self) -> None:
        """As the port says."""
        if self._connection:
            self._connection.close()
            self._connection = None

    def is_alive(self) -> bool:
        """As the port says."""
        return self._connection is not None and self._connection.thread.is_alive()


def presence(who: identity.Identity, incarnation: str, connection: int, *, online: bool) -> bytes:
    """The birth message of a connection, or what ends it."""
    return Presence(
        device=who.wire_id,
        status="online" if online else "offline",
        incarnation=incarnation,
        connection=connection,
    ).to_bytes()


def subscriptions(who: identity.Identity) -> tuple[str, ...]:
    """The topics that a device hears. The key list comes first: an order may need it."""
    own = (who.topics.of(who.wire_id, kind) for kind in (Kind.DESIRED, Kind.ECHO))
    return (who.topics.keys, *own, who.topics.hello)


def heard(who: identity.Identity, topic: str, payload: bytes | bytearray) -> inbox.Message | None:
    """What came, cut just above what a message of its kind may have; None if it came by a topic of others."""
    if topic == who.topics.hello:
        return inbox.Greeted(bytes(payload[: messages.MAX_SMALL_BYTES + 1]))
    if topic == who.topics.keys:
        return inbox.Keyed(bytes(payload[: keys.MAX_BYTES + 1]))
    if topic == who.topics.of(who.wire_id, Kind.ECHO):
        return inbox.Echoed(bytes(payload[: messages.MAX_SMALL_BYTES + 1]))
    if topic == who.topics.of(who.wire_id, Kind.DESIRED):
        return inbox.Ordered(bytes(payload[: desired.MAX_ENVELOPE_BYTES + 1]))
    return None


class _Connection:
    def __init__(
        self,
        who: identity.Identity,
        password: str | None,
        number: int,
        will: bytes,
        items: inbox.Inbox,
        trust: tls.Trust,
        keepalive: int,
    ) -> None:
        self._who = who
        self._password = password
        self._number = number
        self._inbox = items
        self._trust = trust
        self._keepalive = keepalive
        self._lost: inbox.Lost | None = None
        self._trouble_heard = ""
        self._was_answered = self._is_subscribed = False
        self._is_up = False
        self._client = self._make_client(will)
        self.thread = threading.Thread(target=self._run, name=f"mqtt-{number}", daemon=True)

    def publish(self, kind: Kind, payload: bytes) -> int | None:
        if not self._is_up:
            return None
        topic = self._who.topics.of(self._who.wire_id, kind)
        sent = self._client.publish(topic, payload, qos=1, retain=kind in topics.RETAINED)
        return sent.mid if sent.rc == enums.MQTTErrorCode.MQTT_ERR_SUCCESS else None

    def close(self) -> None:
        self._client.disconnect()
        if self.thread.is_alive():
            self.thread.join(CLOSE_TIMEOUT_S)
        if self.thread.is_alive():
            self._cut()

    def _cut(self) -> None:
        """Ends a connection over which not even a good-bye can be sent."""
        opened: Any = self._client.socket()  # Any: paho's type for it has no more than it uses itself
        if opened is not None:
            with contextlib.suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)

    def _make_client(self, will: bytes) -> wire.Client:
        is_5 = self._who.protocol == "5"
        client = wire.Client(
            callback_api_version=enums.CallbackAPIVersion.VERSION2,
            client_id=self._who.wire_id,
            clean_session=None if is_5 else True,
            protocol=enums.MQTTProtocolVersion.MQTTv5 if is_5 else enums.MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
        )
        client.max_queued_messages_set(MAX_UNANSWERED)
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.username_pw_set(self._who.username, self._password)
        client.will_set(self._who.topics.of(self._who.wire_id, Kind.PRESENCE), will, qos=1, retain=True)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        client.on_log = self._on_log
        client.on_socket_open = _set_up_socket
        client.on_socket_register_write = _leave_it_to_the_thread
        return client

    def _run(self) -> None:
        try:
            self._connect()
            deadline = time.monotonic() + CONNECT_TIMEOUT_S
            while self._client.loop(self._look_after()) == enums.MQTTErrorCode.MQTT_ERR_SUCCESS:
                if not self._was_answered and time.monotonic() >= deadline:
                    words = f"the broker did not answer within {CONNECT_TIMEOUT_S:g} s; does it speak this MQTT?"
                    self._lost = inbox.Lost(self._number, f"{self._who.mqtt_url}: {words}")
                    break
                if not self._is_subscribed and time.monotonic() >= deadline + SUBSCRIBE_TIMEOUT_S:
                    words = f"the broker did not answer the subscription within {SUBSCRIBE_TIMEOUT_S:g} s"
                    self._lost = inbox.Lost(self._number, f"{self._who.mqtt_url}: {words}")
                    break
        except OSError as error:
            trouble = "refused" if tls.is_refusal(error) else "network"
            self._lost = inbox.Lost(self._number, f"{self._who.mqtt_url}: {tls.words(error)}", trouble)
        except Exception as error:  # whatever it is, the connection is over, and the next one may fare better
            logger.exception("the MQTT client broke on what it read, or on a defect")
            self._lost = inbox.Lost(self._number, f"{type(error).__name__} in the MQTT client")
        finally:
            self._is_up = False
            self._cut()
            self._let_go()
            self._inbox.put(self._lost or inbox.Lost(self._number, "the connection ended"))

    def _connect(self) -> None:
        broker = self._who.broker
        if broker.tls:
            self._client.tls_set_context(self._trust.context())  # pyright: ignore[reportUnknownMemberType]
        if self._who.protocol == "5":
            limits: Any = properties.Properties(packettypes.PacketTypes.CONNECT)
            limits.MaximumPacketSize = _MAX_PACKET_BYTES
            self._client.connect(broker.host, broker.port, self._keepalive, clean_start=True, properties=limits)
        else:
            self._client.connect(broker.host, broker.port, self._keepalive)

    def _look_after(self) -> float:
        return self._keepalive / LOOKS_PER_KEEPALIVE if self._is_subscribed else CONNECT_TIMEOUT_S / 10

    def _let_go(self) -> None:
        """Undoes the circle of references, so that the client closes its sockets now and not at some collection."""
        for callback in ("on_connect", "on_disconnect", "on_message", "on_publish", "on_subscribe", "on_log"):
            setattr(self._client, callback, None)

    def _on_connect(
        self, client: mqtt.Client, _data: Any, _flags: Any, reason: reasoncodes.ReasonCode, _properties: Any
    ) -> None:
        self._was_answered = True
        if reason.is_failure:
            self._end(inbox.Lost(self._number, f"the broker refused the connection: {reason}", _trouble(reason)))
            return
        client.subscribe([(topic, 1) for topic in subscriptions(self._who)])
        self._is_up = True
        self._inbox.put(inbox.Connected(self._number))

    def _on_disconnect(
        self, _client: mqtt.Client, _data: Any, _flags: Any, reason: reasoncodes.ReasonCode, _properties: Any
    ) -> None:
        self._is_up = False
        if self._lost is None and self._client.unsolicited:
            self._lost = inbox.Lost(self._number, self._client.unsolicited, "unsolicited")
        elif self._lost is None and self._trouble_heard:
            trouble = "refused" if tls.is_refusal(self._trouble_heard) else "network"
            self._lost = inbox.Lost(self._number, f"the connection ended: {tls.words(self._trouble_heard)}", trouble)
        elif self._lost is None:
            self._lost = inbox.Lost(self._number, f"the connection ended: {reason}", _trouble(reason))

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            self._end(inbox.Lost(self._number, "the broker sent a topic that is not UTF-8", "unsolicited"))
            return
        item = heard(self._who, topic, message.payload)
        if item is None:
            logger.debug("a message for others was passed over: %s", topic[: topics.MAX_TOPIC_BYTES])
        elif not self._inbox.offer(item):
            self._end(inbox.Lost(self._number, "messages came faster than they could be handled"))

    def _on_publish(
        self, _client: mqtt.Client, _data: Any, number: int, reason: reasoncodes.ReasonCode, _properties: Any
    ) -> None:
        refusal = str(reason) if reason.is_failure else None
        self._inbox.put(inbox.Acknowledged(self._number, number, refusal))

    def _on_subscribe(
        self, _client: mqtt.Client, _data: Any, _number: int, reasons: list[reasoncodes.ReasonCode], _properties: Any
    ) -> None:
        self._is_subscribed = True
        if any(reason.is_failure for reason in reasons):
            logger.error("the broker refused a subscription: %s", ", ".join(str(reason) for reason in reasons))

    def _on_log(self, _client: mqtt.Client, _data: Any, level: int, words: str) -> None:
        """The client tells nowhere else why it could not read: a TLS alert after the handshake, or the network."""
        if level == enums.LogLevel.MQTT_LOG_ERR and words.startswith(_CANNOT_READ):
            self._trouble_heard = words.removeprefix(_CANNOT_READ)

    def _end(self, lost: inbox.Lost) -> None:
        self._is_up = False
        self._lost = lost
        self._client.disconnect()


def _trouble(reason: reasoncodes.ReasonCode) -> inbox.Trouble:
    if reason.value == _TAKEN_OVER:
        return "taken_over"
    return "refused" if reason.value in _REFUSED else "network"


def _set_up_socket(_client: mqtt.Client, _data: Any, opened: Any) -> None:
    """Without the first a report waits for the broker to acknowledge the segment before it, by up to 40 ms. Without the
    second a network that swallows everything is noticed only after two keep-alives."""
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(UNANSWERED_S * 1000))


def _leave_it_to_the_thread(_client: mqtt.Client, _data: Any, _socket: Any) -> None:
    """With this set, ``publish`` from the agent's thread only wakes the connection's thread and writes nothing itself:
    two threads that write to one socket could mix their packets."""
