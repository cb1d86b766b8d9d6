"""MQTT clients of a probe: every wait has an end, and whatever the broker does is a value.

A peer has a thread of paho's. It never reconnects, so that what the broker did to a connection stays to be seen.
"""

from __future__ import annotations

import contextlib
import dataclasses
import queue
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

ANSWER_S = 3.0
"""How long a broker may take for an answer, in seconds."""
KEEPALIVE_S = 10


class NoAnswer(Exception):
    """The broker refused, closed the connection or said nothing in time. The text says which."""


@dataclasses.dataclass(frozen=True, slots=True)
class Account:
    """Who a client is: with a password, a certificate, both, or, if there is no user, nobody."""

    user: str = ""
    password: str = dataclasses.field(default="", repr=False)
    certificate: Path | None = None
    key: Path | None = None


class Deadline:
    """A moment on the monotonic clock after which nothing is waited for."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self, at_most: float = 1e9) -> float:
        """Seconds until then, 0 if it is past."""
        return max(0.0, min(at_most, self._end - time.monotonic()))


@dataclasses.dataclass(frozen=True, slots=True)
class Broker:
    """Where the broker is, and how long there is for all of it."""

    host: str
    port: int
    tls: bool
    ca: Path | None
    deadline: Deadline

    def context(self, account: Account) -> ssl.SSLContext:
        """Raises OSError for a file that is no certificate, key or authority."""
        made = ssl.create_default_context(cafile=self.ca)
        if account.certificate:
            made.load_cert_chain(account.certificate, account.key)
        return made


@dataclasses.dataclass(frozen=True, slots=True)
class Will:
    """What a broker shall say when a client is lost."""

    topic: str
    payload: bytes
    retain: bool = False


@dataclasses.dataclass(frozen=True, slots=True)
class Heard:
    """A message that arrived."""

    topic: str
    payload: bytes
    qos: int
    retain: bool


class Peer:
    """One connection, from `opened` until it is cut, closed or lost."""

    def __init__(
        self,
        broker: Broker,
        account: Account,
        client_id: str,
        version: MQTTProtocolVersion,
        *,
        will: Will | None = None,
        keepalive: int = KEEPALIVE_S,
    ) -> None:
        self._deadline = broker.deadline
        self._messages: queue.SimpleQueue[Heard] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[tuple[str, int, list[ReasonCode]]] = queue.SimpleQueue()
        self._up = threading.Event()
        self._gone = threading.Event()
        self._why = "no connection"
        clean = True if version == MQTTProtocolVersion.MQTTv311 else None
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id, clean_session=clean, protocol=version, reconnect_on_failure=False
        )
        if account.user:
            client.username_pw_set(account.user, account.password or None)
        if broker.tls:
            client.tls_set_context(broker.context(account))  # pyright: ignore[reportUnknownMemberType]
        if will:
            client.will_set(will.topic, will.payload, qos=1, retain=will.retain)
        client.connect_timeout = ANSWER_S
        client.max_inflight_messages_set(0)
        client.on_connect = self._on_connect
        client.on_connect_fail = lambda _client, _data: self._lose("it cannot be reached")
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_subscribe = lambda _client, _data, mid, codes, _props: self._answers.put(("subscribe", mid, codes))
        client.on_publish = lambda _client, _data, mid, code, _props: self._answers.put(("publish", mid, [code]))
        self._client = client
        client.connect_async(broker.host, broker.port, keepalive)
        client.loop_start()
        self._wait_until_up()

    def _wait_until_up(self) -> None:
        end = time.monotonic() + self._deadline.left(2 * ANSWER_S)
        while not self._up.wait(0.01):
            if self._gone.is_set():
                raise NoAnswer(self._why)
            if time.monotonic() > end:
                self.close()
                raise NoAnswer("no answer to CONNECT")

    @property
    def is_gone(self) -> bool:
        """Whether the broker ended the connection."""
        return self._gone.is_set()

    def is_lost(self, within: float = ANSWER_S) -> bool:
        """Whether the broker ends the connection in so many seconds."""
        return self._gone.wait(self._deadline.left(within))

    def subscribe(self, topic_filter: str) -> bool:
        """Whether the broker grants it.

        Raises:
            NoAnswer: it ended the connection, or said nothing.
        """
        code, mid = self._client.subscribe(topic_filter, qos=1)
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS or mid is None:
            raise NoAnswer(self._why)
        return not any(each.is_failure for each in self._answer("subscribe", mid))

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> ReasonCode:
        """With QoS 1, until it is acknowledged; gives the reason code, which MQTT 3.1.1 does not have.

        Raises:
            NoAnswer: the broker ended the connection, or said nothing.
        """
        info = self._client.publish(topic, payload, qos=1, retain=retain)
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise NoAnswer(self._why)
        return self._answer("publish", info.mid)[0]

    def send(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """The same without waiting."""
        self._client.publish(topic, payload, qos=1, retain=retain)

    def _answer(self, kind: str, mid: int) -> list[ReasonCode]:
        end = time.monotonic() + self._deadline.left(ANSWER_S)
        while time.monotonic() < end:
            with contextlib.suppress(queue.Empty):
                found, number, codes = self._answers.get(timeout=0.02)
                if (found, number) == (kind, mid):
                    return codes
                continue
            if self._gone.is_set():
                raise NoAnswer(self._why)
        raise NoAnswer(f"no answer to {kind.upper()}")

    def heard(self, until: bytes | None = None, within: float = ANSWER_S) -> Iterator[Heard]:
        """Messages as they arrive, until one has a payload, which is not given, or so many seconds are over.

        Raises:
            NoAnswer: that payload did not come.
        """
        end = time.monotonic() + self._deadline.left(within)
        while (left := end - time.monotonic()) > 0:
            try:
                message = self._messages.get(timeout=min(left, 0.05))
            except queue.Empty:
                if self._gone.is_set() and self._messages.empty():
                    break
                continue
            if until is not None and message.payload == until:
                return
            yield message
        if until is not None:
            raise NoAnswer("a message that had to come did not")

    def forget(self) -> None:
        """Drops what was heard."""
        while not self._messages.empty():
            self._messages.get()

    def mute(self) -> None:
        """Says nothing any more, not even pings, and leaves the connection open."""
        self._client.loop_stop()

    def cut(self) -> None:
        """Ends the connection as a robot does that loses its power."""
        if isinstance(opened := self._client.socket(), socket.socket):
            with contextlib.suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Ends it in order; its thread ends by itself."""
        self._client.disconnect()

    def _lose(self, why: str) -> None:
        self._why = why
        self._gone.set()

    def _on_connect(self, _client: Any, _data: Any, _flags: Any, reason: ReasonCode, _props: Any) -> None:
        if reason.is_failure:
            self._lose(f"refused: {reason}")
        else:
            self._up.set()

    def _on_disconnect(self, _client: Any, _data: Any, _flags: Any, reason: ReasonCode, _props: Any) -> None:
        if not self._gone.is_set():
            self._lose(f"the broker ended the connection ({reason})")

    def _on_message(self, _client: Any, _data: Any, message: mqtt.MQTTMessage) -> None:
        self._messages.put(Heard(message.topic, bytes(message.payload), message.qos, message.retain))
