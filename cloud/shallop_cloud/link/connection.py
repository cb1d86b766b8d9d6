"""One MQTT connection, kept up by an asyncio loop in a thread of its own.

Its client id is always the same. So when one server takes the link over from another, the broker itself cuts the other
off, whatever that one believes.

paho's own network thread waits with ``select()``, which stops working, silently, in a process with more than 1,024
descriptors; its hooks for an outside loop do not. Nothing is queued while the connection is down: what must be said
then is said again from the database when it is up.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import math
import ssl
import threading
import time
import urllib.parse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import paho.mqtt.client as mqtt
import paho.mqtt.enums
import structlog
import tenacity
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from shallop_protocol.topics import CLOUD

from shallop_cloud import errors
from shallop_cloud.link import socket

KEEPALIVE_S = 30
CONNECT_TIMEOUT_S = 10
STEADY_S = 3.0
"""A connection that stood for so long was not a failure."""
TAKEN_OVER_S = 60.0
"""How long to stay away, at least, when another client with our id pushed us off: two would do it to each other."""
MAX_OUTSTANDING = 4_000
"""Messages on their way at once; a publisher waits beyond that."""
DELIVERED_WITHIN_S = 5.0
"""How long a publisher waits, where it asks, until the broker has acknowledged all."""

Protocol = Literal["3.1.1", "5"]
"""A version of MQTT. Some brokers never answer a CONNECT of version 5, so it is told and not tried."""

_TAKEN_OVER = 0x8E
"""MQTT 5, section 3.14.2.1: *session taken over*. MQTT 3.1.1 does not say why."""

log = structlog.get_logger()


@dataclasses.dataclass(frozen=True, slots=True)
class BrokerUrl:
    """Where the broker is and who we are to it; without an account, both texts are empty.

    ``tls`` verifies against the authorities in ``ca``, which is in PEM, or the system's. ``certificate`` names the
    files of our own and of its key, which a broker may ask for; they are read anew for each connection.
    """

    host: str
    port: int
    username: str = ""
    password: str = dataclasses.field(default="", repr=False)
    tls: bool = False
    ca: str | None = dataclasses.field(default=None, repr=False)
    certificate: tuple[Path, Path] | None = None

    @classmethod
    def parse(cls, text: str) -> BrokerUrl:
        """From ``mqtt://user:password@host:port``, or ``mqtts://`` for TLS; the account may be left out.

        Raises:
            errors.StartupError: another scheme, no host, or a user without a password.
        """
        url = urllib.parse.urlsplit(text)
        form = "write it as mqtt://user:password@host:port, or mqtts:// for TLS"
        try:
            port = url.port
        except ValueError:
            raise errors.StartupError("the broker's port is not a number from 1 to 65535", form) from None
        if url.scheme not in ("mqtt", "mqtts") or not url.hostname:
            raise errors.StartupError("the broker's address is not an MQTT URL", form)
        if bool(url.username) != bool(url.password):
            raise errors.StartupError("the broker's address has a user without a password, or the reverse", form)
        tls = url.scheme == "mqtts"
        user, password = (urllib.parse.unquote(text or "") for text in (url.username, url.password))
        return cls(url.hostname, port or (8883 if tls else 1883), user, password, tls)

    def context(self) -> ssl.SSLContext:
        """What a connection by TLS is made with.

        Raises:
            OSError: the certificate or its key cannot be read, or is none.
        """
        made = ssl.create_default_context(cadata=self.ca)
        if self.certificate:
            made.load_cert_chain(*self.certificate)
        return made

    @property
    def address(self) -> str:
        """The same without the account, as it may be shown and handed to devices."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.tls else 'mqtt'}://{host}:{self.port}"


class Connection:
    """Connects, subscribes, and connects again with back-off and full jitter whenever it must.

    Args:
        protocol: which MQTT the broker speaks.
        filters: subscribed to after each connect.
        received: called for each message, in the connection's thread; it must not block and not raise.
        connected: called after each connect, once the subscriptions are asked for.
        may_send: whether something may leave; while it may not, the connection counts as down.
    """

    def __init__(
        self,
        broker: BrokerUrl,
        protocol: Protocol,
        filters: Sequence[str],
        received: Callable[[str, bytes], None],
        connected: Callable[[], None],
        may_send: Callable[[], bool],
    ) -> None:
        self._broker = broker
        self._version = mqtt.MQTTv5 if protocol == "5" else mqtt.MQTTv311
        self._filters = tuple(filters)
        self._received = received
        self._connected = connected
        self._may_send = may_send
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._lost = asyncio.Event()
        self._stands_since = math.inf
        self._taken_over = False
        self._up = threading.Event()
        self._handed = 0  # counted by publishers, under their lock
        self._settled = 0  # counted by the connection's thread alone
        self._lost_count = 0  # of what was settled, all that the broker did not acknowledge
        self._publishing = threading.Lock()
        self._freed = threading.Event()
        self._outstanding: set[int] = set()
        self._client: socket.Client | None = None
        self._thread = threading.Thread(target=self._run, name="link", daemon=True)

    @property
    def is_up(self) -> bool:
        """Whether the broker has accepted the connection and not lost it since, and something may be sent."""
        return self._up.is_set() and self._may_send()

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs; if it does not although nobody stopped it, the link is dead."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begins to connect, and returns at once."""
        self._thread.start()

    def stop(self) -> None:
        """Disconnects and ends the thread."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: the thread has ended already
            self._loop.call_soon_threadsafe(self._end)
        self._thread.join(timeout=10)

    def _end(self) -> None:
        self._stopping.set()
        self._lost.set()

    def publish_many(self, messages: Sequence[tuple[str, bytes]], *, retain: bool) -> int:
        """Hands messages to the connection, QoS 1, waiting while too many are on their way.

        Gives how many were handed over, which is less than all when the connection is lost meanwhile, and none when
        it is down. That they were does not mean that they arrive.
        """
        handed = 0
        with self._publishing:
            while handed < len(messages) and (room := self._room()):
                some = messages[handed : handed + room]
                self._handed += len(some)
                with contextlib.suppress(RuntimeError):  # the loop is closed: nothing leaves any more
                    self._loop.call_soon_threadsafe(self._publish, some, retain)
                handed += len(some)
        return handed

    def deliver_many(self, messages: Sequence[tuple[str, bytes]], *, retain: bool) -> bool:
        """Sends messages, and waits until the broker has them all; False if that is not certain."""
        lost = self._lost_count
        if self.publish_many(messages, retain=retain) < len(messages):
            return False
        until = time.monotonic() + DELIVERED_WITHIN_S
        while self._handed > self._settled:
            self._freed.clear()
            if self._handed > self._settled and not self._freed.wait(timeout=max(0.0, until - time.monotonic())):
                return False
        return self._lost_count == lost

    def _room(self) -> int:
        """How many more may be on their way, waiting until that is one at least; 0 when the connection is down."""
        while self.is_up:
            self._freed.clear()
            if (room := MAX_OUTSTANDING - (self._handed - self._settled)) > 0:
                return room
            self._freed.wait(timeout=1.0)
        return 0

    def _settle(self, number: int) -> None:
        self._settled += number
        if not self._freed.is_set():
            self._freed.set()

    def _publish(self, messages: Sequence[tuple[str, bytes]], retain: bool) -> None:
        sent = 0
        if self._client is not None and self.is_up:
            for topic, payload in messages:
                info = self._client.publish(topic, payload, qos=1, retain=retain)
                if info.rc == paho.mqtt.enums.MQTTErrorCode.MQTT_ERR_SUCCESS:
                    self._outstanding.add(info.mid)
                    sent += 1
        if sent < len(messages):
            self._lost_count += len(messages) - sent
            self._settle(len(messages) - sent)

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._keep_up())
        except Exception:
            log.exception("the link to the broker died")
        finally:
            self._up.clear()
            self._loop.close()

    async def _keep_up(self) -> None:
        attempt = 0
        while not self._stopping.is_set():
            attempt += 1
            if await self._one_connection():
                attempt = 0
            if not self._stopping.is_set():
                await self._pause(attempt)

    async def _pause(self, attempt: int) -> None:
        state = tenacity.RetryCallState(None, None, (), {})  # type: ignore[arg-type]  # a schedule, not a call
        state.attempt_number = max(attempt, 1)
        delay = tenacity.wait_random_exponential(multiplier=0.5, max=30)(state)
        if self._taken_over:
            self._taken_over = False
            delay += TAKEN_OVER_S
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), timeout=delay)

    async def _one_connection(self) -> bool:
        """Connects and stays until the connection is lost. Gives whether it stood for a while."""
        client = socket.Client(
            paho.mqtt.enums.CallbackAPIVersion.VERSION2,
            client_id=f"{self._broker.username or CLOUD}-link",
            protocol=self._version,
            reconnect_on_failure=False,
        )
        if self._broker.username:
            client.username_pw_set(self._broker.username, self._broker.password)
        client.max_inflight_messages_set(0)  # with a limit, paho looks through all of them at each acknowledgement
        client.max_queued_messages_set(0)
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.on_connect = self._on_connect
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.on_disconnect = self._on_disconnect
        client.on_socket_open = self._on_socket_open
        client.on_socket_close = self._on_socket_close
        client.on_socket_register_write = self._on_register_write
        client.on_socket_unregister_write = self._on_unregister_write
        self._lost.clear()
        self._stands_since = math.inf
        self._client = client
        try:
            if self._broker.tls:
                client.tls_set_context(self._broker.context())  # pyright: ignore[reportUnknownMemberType]
            client.connect(self._broker.host, self._broker.port, keepalive=KEEPALIVE_S)
        except OSError as error:
            log.warning("the broker cannot be reached", broker=self._broker.address, error=str(error))
            return False
        opened = time.monotonic()
        while not self._lost.is_set():
            if client.loop_misc() != paho.mqtt.enums.MQTTErrorCode.MQTT_ERR_SUCCESS:
                break
            if not self._up.is_set() and time.monotonic() - opened > CONNECT_TIMEOUT_S:
                log.warning("the broker does not answer", broker=self._broker.address)
                break
            try:
                await asyncio.wait_for(self._lost.wait(), timeout=1.0)
            except TimeoutError:
                continue
        self._up.clear()
        client.disconnect()
        client.give_out()
        self._forget_outstanding()
        return time.monotonic() - self._stands_since > STEADY_S

    def _forget_outstanding(self) -> None:
        self._lost_count += len(self._outstanding)
        self._settle(len(self._outstanding))
        self._outstanding.clear()

    def _on_connect(
        self, client: mqtt.Client, _data: Any, _flags: mqtt.ConnectFlags, reason: ReasonCode, _props: Properties | None
    ) -> None:
        if reason.is_failure:
            log.warning("the broker refuses the cloud's account", broker=self._broker.address, reason=str(reason))
            self._lost.set()
            return
        client.subscribe([(each, 1) for each in self._filters])
        self._stands_since = time.monotonic()
        self._up.set()
        log.info("connected to the broker", broker=self._broker.address)
        self._connected()

    def _on_message(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        self._received(message.topic, bytes(message.payload))

    def _on_publish(
        self, _client: mqtt.Client, _data: Any, mid: int, reason: ReasonCode, _props: Properties | None
    ) -> None:
        if mid in self._outstanding:
            if reason.is_failure:
                log.warning("the broker refused a message", broker=self._broker.address, reason=str(reason))
                self._lost_count += 1
            self._outstanding.discard(mid)
            self._settle(1)

    def _on_disconnect(
        self,
        _client: mqtt.Client,
        _data: Any,
        _flags: mqtt.DisconnectFlags,
        reason: ReasonCode,
        _props: Properties | None,
    ) -> None:
        if self._up.is_set() and not self._stopping.is_set():
            log.warning("lost the broker", broker=self._broker.address, reason=str(reason))
        if reason == _TAKEN_OVER and self._may_send():  # whoever has the lease now would have it rightly
            self._taken_over = True
            words = "another client uses the cloud's client id: is there a second fleet with the same account?"
            log.error(words, broker=self._broker.address, pause_s=TAKEN_OVER_S)
        self._up.clear()
        self._lost.set()

    def _on_socket_open(self, client: mqtt.Client, _data: Any, opened: Any) -> None:
        assert isinstance(client, socket.Client)
        self._loop.add_reader(opened, client.take_in)

    def _on_socket_close(self, _client: mqtt.Client, _data: Any, closed: Any) -> None:
        self._loop.remove_reader(closed)
        self._loop.remove_writer(closed)

    def _on_register_write(self, client: mqtt.Client, _data: Any, opened: Any) -> None:
        assert isinstance(client, socket.Client)
        self._loop.add_writer(opened, self._give_out, client, opened)

    def _give_out(self, client: socket.Client, opened: Any) -> None:
        client.give_out()
        if client.has_output and opened.fileno() >= 0:
            self._loop.add_writer(opened, self._give_out, client, opened)

    def _on_unregister_write(self, _client: mqtt.Client, _data: Any, opened: Any) -> None:
        self._loop.remove_writer(opened)
