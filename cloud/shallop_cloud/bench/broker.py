# pyright: reportMissingTypeStubs=false
# (amqtt is annotated, but ships no py.typed)
"""The bench broker: amqtt 0.12.1 with its life of a client replaced.

amqtt gives the listener, the configuration, the plugins, the packets and the store of retained messages. What it does
between accepting a client and losing it is not fit to ship, even for a bench, and most of it is private: so all of it
is replaced at the one public seam, ``stream_connected``, instead of being bent method by method. What is repaired:

- *Retained messages leak.* At CONNECT amqtt sends a client every retained message that matches anyone's filter, past
  the access rules; with many clients the loop takes minutes or dies (*dictionary changed size during iteration*).
- *Silence is allowed.* Keep-alive is not enforced, so the will of a robot that lost power never fires.
- *Take-over* leaves the first connection open and sends no will; any client, even before it has logged in, ends the
  session of another by using its id.
- *Wills and retained messages* pass no access rule.
- *Who is connected stays so* though the account is gone.
- *What a client sent just before DISCONNECT* is acknowledged and then lost.
- *Every filter is tried* on every publish, and every subscription of everybody is printed on every SUBSCRIBE.
- *No packet is too large*, a client that never sends a CONNECT stays for ever, MQTT 5 gets no answer, ``$share`` gets a
  grant and no messages, and an exception in one packet can leave its connection open and unread.

Two simplifications, both right for a bench. A session ends with its connection: ``clean_session=0`` is taken as 1, and
"session present" is always 0. And nothing is granted above QoS 1 (3.8.4 allows it); QoS 2 from a client is understood.

From CONNECT on, everything that happens because of one packet happens without an ``await``: no other client's packet
comes between, so the newest retained message and the last one delivered are always the same. Numbers in brackets are
sections of MQTT 3.1.1.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import logging
from collections.abc import Iterable
from types import CoroutineType
from typing import Any, TypeVar

import amqtt.broker
from amqtt.contexts import BrokerConfig, ListenerType
from amqtt.errors import BrokerError
from amqtt.mqtt.connack import CONNECTION_ACCEPTED, NOT_AUTHORIZED, ConnackPacket
from amqtt.mqtt.disconnect import DisconnectPacket
from amqtt.mqtt.pingreq import PingReqPacket
from amqtt.mqtt.pingresp import PingRespPacket
from amqtt.mqtt.puback import PubackPacket
from amqtt.mqtt.pubcomp import PubcompPacket
from amqtt.mqtt.publish import PublishPacket
from amqtt.mqtt.pubrec import PubrecPacket
from amqtt.mqtt.pubrel import PubrelPacket
from amqtt.mqtt.suback import SubackPacket
from amqtt.mqtt.subscribe import SubscribePacket
from amqtt.mqtt.unsuback import UnsubackPacket
from amqtt.mqtt.unsubscribe import UnsubscribePacket
from amqtt.plugins.base import BasePlugin
from amqtt.session import Session
from shallop_protocol.topics import Access

from shallop_cloud.bench.broker_connect import Refused, Will, client_id_of, decode_connect, will_of
from shallop_cloud.bench.broker_plugins import Limits, PasswordFile, TopicAccess
from shallop_cloud.bench.broker_routes import Routes, has_wildcard, is_filter, is_topic, matches
from shallop_cloud.bench.broker_wire import BadPacket, Wire
from shallop_cloud.passwords import PasswordFileError

logger = logging.getLogger(__name__)

BACKLOG = 4_096
"""How many connections may wait to be accepted; with the usual 100, a fleet that connects at once waits for seconds."""
HAND_OVER_STEPS = 4
"""How many turns of the event loop asyncio needs at most from accepting a connection to ``stream_connected``."""
ACCOUNTS_EVERY_S = 0.5
"""How often it is looked whether the password file has changed. If it has, who is connected must still be in it."""
MAX_QOS = 1
REFUSED_FILTER = 0x80
"""The return code of a SUBACK for a filter that was not granted (3.9.3)."""

PluginT = TypeVar("PluginT", bound=BasePlugin[Any])  # Any: whatever context the plugin is written for


class BrokerStartError(Exception):
    """The broker cannot start. The message says where, why, and what to do."""


@dataclasses.dataclass(eq=False)
class Client:
    """A client that was let in, as long as its connection lasts."""

    wire: Wire
    user: str
    password: str = dataclasses.field(repr=False)
    hashed: str | None
    client_id: str
    will: Will | None
    unreleased: set[int] = dataclasses.field(default_factory=set[int])
    """Packet identifiers of QoS 2 messages that were published and not yet released (4.3.3)."""


class BenchBroker(amqtt.broker.Broker):
    """amqtt's broker, to be constructed, started and shut down like it; the module says what differs.

    Its configuration must have the three plugins of ``broker_plugins`` (``BrokerSettings.amqtt_config()`` has them).
    amqtt's own tables of sessions and subscriptions stay empty, and its events are not fired.

    Raises:
        BrokerStartError: one of the plugins is missing.
    """

    def __init__(self, config: BrokerConfig | dict[str, Any]) -> None:
        _quieten("amqtt", "transitions")
        super().__init__(config)
        self._passwords = self._plugin(PasswordFile)
        self._access = self._plugin(TopicAccess)
        self._limits = self._plugin(Limits).limits
        self._clients: dict[str, Client] = {}
        self._routes: Routes[Client] = Routes()
        self._wires: set[Wire] = set()
        self._watch: asyncio.Task[None] | None = None

    def _plugin(self, kind: type[PluginT]) -> PluginT:
        for plugin in self.plugins_manager.plugins:
            if isinstance(plugin, kind):
                return plugin
        raise BrokerStartError(f"the broker's configuration lacks the plugin {kind.__module__}.{kind.__qualname__}")

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens, once started."""
        server = self._servers["default"].instance
        host, port = next(iter(server.sockets)).getsockname()[:2]
        return host, port

    async def start(self) -> None:
        """Listen. amqtt starts without its password file and logs a stack trace when the address is taken.

        Raises:
            BrokerStartError: the password file cannot be read, or the address cannot be listened on.
        """
        try:
            self._passwords.load()
        except PasswordFileError as error:
            raise BrokerStartError(f"{error}: name the password file that shallop writes, or make one") from error
        try:
            await super().start()
        except BrokerError as error:
            bind = self.listeners_config["default"].bind
            raise BrokerStartError(
                f"cannot listen on {bind}: {error.__cause__ or error}. If another broker runs there, stop it or choose "
                "another address"
            ) from error
        self._watch = asyncio.create_task(self._watch_accounts())

    async def shutdown(self) -> None:
        """Stop listening and cut every connection. amqtt leaves connections open that are still logging in."""
        if self._watch is not None:
            self._watch.cancel()
        await self._stop_accepting()
        while self._wires:
            for wire in tuple(self._wires):
                wire.abort("the broker shuts down")
            await asyncio.sleep(0)
        await super().shutdown()

    async def _watch_accounts(self) -> None:
        """Cut whoever is connected and could not log in any more: revoked, or enrolled anew with another password."""
        looked = self._passwords.reads
        while True:
            await asyncio.sleep(ACCOUNTS_EVERY_S)
            self._passwords.refresh()
            if self._passwords.reads == looked:
                continue
            looked = self._passwords.reads
            for client in tuple(self._clients.values()):
                hashed = self._passwords.hashed(client.user)
                if hashed == client.hashed:  # of nearly all, so that a fleet that enrols costs nothing here
                    continue
                client.hashed = hashed
                if not self._passwords.is_right(client.user, client.password):
                    client.wire.abort("its account is gone, or has another password")

    async def _stop_accepting(self) -> None:
        """Close the listener. asyncio forgets a connection, open, that it accepted at that very moment; so first it
        accepts no more and hands over what it has.
        """
        loop = asyncio.get_running_loop()
        servers = [server.instance for server in self._servers.values()]
        for server in servers:
            for listener in server.sockets:
                loop.remove_reader(listener.fileno())
        for _ in range(HAND_OVER_STEPS):
            await asyncio.sleep(0)
        for server in servers:
            server.close()

    async def internal_message_broadcast(self, topic: str, data: bytes, qos: int | None = None) -> None:
        """Publish on behalf of the broker; amqtt's way goes through the tables that stay empty here."""
        self._deliver(topic, data, qos or 0)

    async def _create_server_instance(
        self, listener_name: str, listener_type: ListenerType, address: str | None, port: int, ssl_context: object
    ) -> asyncio.Server:
        """Listen on plain TCP, with a queue that holds a fleet; amqtt's holds 100 connections."""
        if listener_type is not ListenerType.TCP or ssl_context is not None:
            raise BrokerError("the bench broker speaks plain TCP only")
        host = address.strip("[]") if address else None

        connected = functools.partial(self.stream_connected, listener_name=listener_name)
        return await asyncio.start_server(connected, host, port, backlog=BACKLOG)

    def stream_connected(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, listener_name: str
    ) -> CoroutineType[Any, Any, None]:
        """Serve one client until its connection ends. Replaces all of amqtt's handling.

        The connection is known from this call on, not only from the first step of the coroutine, so that a shutdown
        in between closes it too.
        """
        wire = Wire(reader, writer, self._limits)
        self._wires.add(wire)
        return self._serve(wire, listener_name)

    async def _serve(self, wire: Wire, listener_name: str) -> None:
        """One client from its CONNECT to its end; whatever goes wrong in here ends this one connection."""
        client: Client | None = None
        try:
            client = await self._admit(wire, listener_name)
            await self._converse(client)
        except Refused as refusal:
            logger.warning("refused a connection: %s", refusal)
            wire.refuse(refusal.return_code)
        except (BadPacket, EOFError, OSError) as error:
            wire.abort(str(error))
        finally:
            if client is not None:
                self._leave(client)
                logger.info("%s left: %s", client.client_id, wire.aborted_because or "disconnected")
            wire.close()
            self._wires.discard(wire)

    async def _admit(self, wire: Wire, listener_name: str) -> Client:
        """Let a client in by its CONNECT (3.1.4), within the limit of time.

        amqtt ends the session of whoever uses the same client id *before* it asks for the password; here the first
        connection is closed, and its will sent, only for a second one of the same user.
        """
        wire.allow_silence(self._limits.connect_timeout_s)
        connect = await decode_connect(await wire.frame())
        session = Session()
        session.client_id, session.username, session.password = connect.client_id, connect.username, connect.password
        user = connect.username or ""
        if not await self._authenticate(session, self.listeners_config[listener_name]):
            raise Refused(NOT_AUTHORIZED, f"user {user!r} is unknown or its password is wrong")
        client = Client(
            wire,
            user,
            connect.password or "",
            self._passwords.hashed(user),
            client_id_of(connect, user, self._passwords),
            will_of(connect, user, self._access),
        )

        if previous := self._clients.get(client.client_id):
            previous.wire.abort("another connection with its client id took over")
            self._leave(previous)
        self._clients[client.client_id] = client
        wire.allow_silence(1.5 * connect.keep_alive or None)  # 3.1.2.10
        wire.send(ConnackPacket.build(0, CONNECTION_ACCEPTED))
        logger.info("%s connected as user %s", client.client_id, user)
        return client

    async def _converse(self, client: Client) -> None:
        """Do what a client's packets ask, in their order, until it disconnects.

        amqtt queues them by kind, and at DISCONNECT drops what is queued, acknowledged or not.
        """
        wire = client.wire
        while True:
            packet = await (await wire.frame()).decode()
            match packet:
                case PublishPacket():
                    self._accept(client, packet)
                case PubrelPacket():
                    client.unreleased.discard(packet.packet_id)
                    wire.send(PubcompPacket.build(packet.packet_id))
                case PubackPacket():
                    wire.acknowledged(packet.packet_id)
                case SubscribePacket():
                    self._subscribe(client, packet)
                case UnsubscribePacket():
                    self._unsubscribe(client, packet)
                case PingReqPacket():
                    wire.send(PingRespPacket.build())
                case DisconnectPacket():
                    client.will = None
                    return
                case _:
                    raise BadPacket(f"a client may not send {type(packet).__name__} here")
            await asyncio.sleep(0)  # a flood from one client must not keep the others waiting

    def _accept(self, client: Client, message: PublishPacket) -> None:
        """Publish a client's message if it may, and acknowledge it in any case: 3.1.1 has no other answer (3.3.5-2)."""
        topic, payload, packet_id = message.topic_name or "", message.data or b"", message.packet_id
        qos = message.qos or 0
        if not is_topic(topic) or qos > 2 or (qos and not packet_id):
            raise BadPacket(f"PUBLISH to {topic!r} with QoS {qos} and packet identifier {packet_id}")
        if qos < 2 or packet_id not in client.unreleased:
            if self._access.allows(client.user, Access.PUBLISH, topic):
                self._publish(topic, payload, qos, retain=message.retain_flag)
            else:
                logger.warning("user %s may not publish to %s: message dropped", client.user, topic)
        if qos == 1 and packet_id:
            client.wire.send(PubackPacket.build(packet_id))
        elif qos == 2 and packet_id:
            client.unreleased.add(packet_id)
            client.wire.send(PubrecPacket.build(packet_id))

    def _publish(self, topic: str, payload: bytes, qos: int, *, retain: bool) -> None:
        """Keep the message if it asks for that (an empty one clears what was kept, 3.3.1-10), and deliver it."""
        if retain and payload:
            kept = amqtt.broker.RetainedApplicationMessage(None, topic, payload, qos)
            self._retained_messages[topic] = kept
        elif retain:
            self._retained_messages.pop(topic, None)
        self._deliver(topic, payload, qos)

    def _deliver(self, topic: str, payload: bytes, qos: int) -> None:
        """Send a message to everyone who subscribed to it and may receive it."""
        for client, granted in self._routes.subscribers(topic).items():
            if self._access.allows(client.user, Access.RECEIVE, topic):
                client.wire.publish(topic, payload, min(qos, granted), retain=False)

    def _subscribe(self, client: Client, packet: SubscribePacket) -> None:
        """Grant the filters that the access rules allow, then send what is retained for them.

        amqtt sends retained messages past the access rules, and grants ``$share/…`` without ever serving it.
        """
        wanted = packet.payload.topics if packet.payload else []
        if not wanted or packet.variable_header is None or any(qos > 2 for _, qos in wanted):
            raise BadPacket("SUBSCRIBE without a filter, or with a QoS above 2")
        codes: list[int] = []
        for topic_filter, qos in wanted:
            if is_filter(topic_filter) and self._access.allows(client.user, Access.SUBSCRIBE, topic_filter):
                codes.append(min(qos, MAX_QOS))
                self._routes.add(client, topic_filter, codes[-1])
            else:
                codes.append(REFUSED_FILTER)
                logger.warning("user %s may not subscribe to %s: refused", client.user, topic_filter)
        client.wire.send(SubackPacket.build(packet.variable_header.packet_id, codes))
        for (topic_filter, _), code in zip(wanted, codes, strict=True):
            if code != REFUSED_FILTER:
                self._replay(client, topic_filter, code)

    def _replay(self, client: Client, topic_filter: str, qos: int) -> None:
        for message in self._retained_for(topic_filter):
            if self._access.allows(client.user, Access.RECEIVE, message.topic):
                client.wire.publish(message.topic, bytes(message.data), min(qos, message.qos or 0), retain=True)

    def _retained_for(self, topic_filter: str) -> Iterable[amqtt.broker.RetainedApplicationMessage]:
        """What is retained for a filter; an exact one is a single look-up, where amqtt looks through everything."""
        if has_wildcard(topic_filter):
            return [kept for topic, kept in self._retained_messages.items() if matches(topic_filter, topic)]
        kept = self._retained_messages.get(topic_filter)
        return [kept] if kept else []

    def _unsubscribe(self, client: Client, packet: UnsubscribePacket) -> None:
        if packet.variable_header is None or packet.payload is None or not packet.payload.topics:
            raise BadPacket("UNSUBSCRIBE without a filter")
        for topic_filter in packet.payload.topics:
            self._routes.remove(client, topic_filter)
        client.wire.send(UnsubackPacket.build(packet.variable_header.packet_id))

    def _leave(self, client: Client) -> None:
        """Forget a client whose connection ends and publish its will, once."""
        if self._clients.get(client.client_id) is client:
            del self._clients[client.client_id]
        self._routes.drop(client)
        will, client.will = client.will, None
        if will is not None:
            self._publish(will.topic, will.payload, will.qos, retain=will.retain)


def _quieten(*names: str) -> None:
    """Keep a library from logging what is ordinary for a broker, unless somebody set its level on purpose."""
    for name in names:
        if logging.getLogger(name).level == logging.NOTSET:
            logging.getLogger(name).setLevel(logging.CRITICAL)
