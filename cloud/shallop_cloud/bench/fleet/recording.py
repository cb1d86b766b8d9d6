"""What crosses a broker, kept as JSON lines, and said again.

Each line is ``{"at": 0.125, "topic": "shallop/v1/dev-…/report", "retained": false, "payload": "…base64…"}``; ``at`` is
in seconds since the recording began, by a clock that never goes back. ``retained`` is the flag with which the message
came, for people: a broker clears it in what it passes on live, so a replay retains by kind, as the sender did.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import json
import secrets
import time
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.reasoncodes import ReasonCode
from shallop_protocol.topics import CLOUD, RETAINED, Kind, Topics

from shallop_cloud.bench.fleet.errors import BenchError
from shallop_cloud.link.connection import BrokerUrl, Protocol

CONNECT_WITHIN_S = 10.0
ACKNOWLEDGED_WITHIN_S = 30.0
KEEPALIVE_S = 30
LOOP_S = 0.05
MAX_WAITING = 1_000
"""Messages on their way at once in a replay."""


class RecordingError(BenchError):
    """A line that is no recorded message. The message begins with its number."""


@dataclasses.dataclass(frozen=True, slots=True)
class Recorded:
    """One message. ``at``: seconds since the recording began."""

    at: float
    topic: str
    retained: bool
    payload: bytes

    def to_line(self) -> str:
        """As it stands in a file, without the end of the line."""
        return json.dumps(
            {
                "at": round(self.at, 6),
                "topic": self.topic,
                "retained": self.retained,
                "payload": base64.b64encode(self.payload).decode(),
            }
        )


def read(lines: Iterable[str]) -> Iterator[Recorded]:
    """The messages of a file, as they are needed.

    Raises:
        RecordingError: a line that is none, or one that goes back in time.
    """
    before = 0.0
    for number, line in enumerate(lines, start=1):
        try:
            found = _message(json.loads(line))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            words = f"line {number} is no recorded message ({error}); is this a file of `shallop bench record`?"
            raise RecordingError(words) from None
        if found.at < before:
            raise RecordingError(f"line {number} goes back in time, from {before:g} s to {found.at:g} s")
        before = found.at
        yield found


def _message(value: Any) -> Recorded:  # Any: whatever JSON says
    at, topic, retained = value["at"], value["topic"], value["retained"]
    if isinstance(at, bool) or not isinstance(at, int | float) or not 0 <= at < 1e9:
        raise ValueError("at must be seconds, 0 or more")
    if not isinstance(topic, str) or not topic or any(each in topic for each in "+#\0"):
        raise ValueError("topic must be one that can be published to")
    if not isinstance(retained, bool):
        raise TypeError("retained must be true or false")
    try:
        return Recorded(float(at), topic, retained, base64.b64decode(value["payload"], validate=True))
    except binascii.Error:
        raise ValueError("payload must be base64") from None


def record(
    broker: BrokerUrl,
    protocol: Protocol,
    topics: Topics,
    out: IO[str],
    goes_on: Callable[[int], bool],
) -> int:
    """Writes every message below the topic root, line by line, retained ones that are there already included.

    Args:
        goes_on: asked a few times a second, and after each message, with how many there are by now.

    Returns:
        how many messages there were.

    Raises:
        BenchError: the broker cannot be reached, refuses the account or the subscription, or went away.
    """
    count = 0
    with _Line(broker, protocol) as line:
        began = time.monotonic()

        def heard(_client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
            nonlocal count
            if goes_on(count):
                at = time.monotonic() - began
                out.write(Recorded(at, message.topic, message.retain, bytes(message.payload)).to_line() + "\n")
                count += 1

        line.client.on_message = heard
        line.subscribe(f"{topics.root}/#")
        while goes_on(count):
            line.turn(LOOP_S)
            out.flush()
    return count


def replay(
    broker: BrokerUrl,
    protocol: Protocol,
    topics: Topics,
    messages: Iterable[Recorded],
    speed: float,
    goes_on: Callable[[], bool],
) -> int:
    """Publishes recorded messages again, at their moments divided by ``speed``, with QoS 1.

    Returns:
        how many were published and acknowledged.

    Raises:
        BenchError: as ``record`` does; or a message was not acknowledged.
        RecordingError: while reading.
    """
    count = 0
    with _Line(broker, protocol) as line:
        began = time.monotonic()
        for each in messages:
            while goes_on() and (
                (wait := began + each.at / speed - time.monotonic()) > 0 or line.waiting >= MAX_WAITING
            ):
                line.turn(min(max(wait, 0.001), LOOP_S))
            if not goes_on():
                break
            parsed = topics.parse(each.topic)
            line.publish(each.topic, each.payload, retain=parsed is not None and parsed[1] in RETAINED)
            count += 1
        line.await_acknowledgements()
    return count


def only(messages: Iterable[Recorded], topics: Topics, kinds: frozenset[Kind]) -> Iterator[Recorded]:
    """Those of some kinds; all, if no kind is named."""
    for each in messages:
        parsed = topics.parse(each.topic)
        if not kinds or (parsed is not None and parsed[1] in kinds):
            yield each


class _Line:
    """A connection that is worked on by whoever holds it; a context manager."""

    def __init__(self, broker: BrokerUrl, protocol: Protocol) -> None:
        self._broker = broker
        self._is_5 = protocol == "5"
        self._refused: str | None = None
        self._is_up = False
        self._is_subscribed = False
        self.waiting = 0
        self.client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            # The cloud's account is tied to ids that begin with its name; any other must not take one of those.
            client_id=f"{CLOUD if broker.username == CLOUD else 'shallop'}-recorder-{secrets.token_hex(6)}",
            clean_session=None if self._is_5 else True,
            protocol=mqtt.MQTTv5 if self._is_5 else mqtt.MQTTv311,
            reconnect_on_failure=False,
        )
        self.client.max_inflight_messages_set(MAX_WAITING)
        if broker.username:
            self.client.username_pw_set(broker.username, broker.password)
        if broker.tls:
            self.client.tls_set()  # pyright: ignore[reportUnknownMemberType]
        self.client.on_connect = self._on_connect
        self.client.on_subscribe = self._on_subscribe
        self.client.on_publish = self._on_publish

    def __enter__(self) -> _Line:
        where = self._broker.address
        self.client.connect_timeout = CONNECT_WITHIN_S
        try:
            self.client.connect(self._broker.host, self._broker.port, KEEPALIVE_S)
        except OSError as error:
            raise BenchError(f"cannot reach the broker at {where}: {error}; is it running?") from None
        self._until(lambda: self._is_up, CONNECT_WITHIN_S, f"the broker at {where} did not answer")
        return self

    def __exit__(self, *_: object) -> None:
        self.client.disconnect()
        while self.client.loop(LOOP_S) == MQTTErrorCode.MQTT_ERR_SUCCESS:
            pass
        self.client.on_connect = self.client.on_subscribe = self.client.on_publish = self.client.on_message = None

    def turn(self, seconds: float) -> None:
        """Reads and writes what there is, for at most so long."""
        code = self.client.loop(seconds)
        if self._refused:
            raise BenchError(f"the broker at {self._broker.address} refused: {self._refused}; check the account")
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise BenchError(f"the connection to the broker at {self._broker.address} ended: {mqtt.error_string(code)}")

    def subscribe(self, topic: str) -> None:
        """Returns when the broker has granted it."""
        self.client.subscribe(topic, 1)
        self._until(lambda: self._is_subscribed, CONNECT_WITHIN_S, f"no answer to the subscription to {topic}")

    def publish(self, topic: str, payload: bytes, *, retain: bool) -> None:
        """Sends it; it is acknowledged by and by."""
        self.waiting += 1
        self.client.publish(topic, payload, qos=1, retain=retain)

    def await_acknowledgements(self) -> None:
        """Returns when the broker has everything."""
        self._until(lambda: self.waiting == 0, ACKNOWLEDGED_WITHIN_S, "messages were not acknowledged")

    def _until(self, holds: Callable[[], bool], within: float, otherwise: str) -> None:
        end = time.monotonic() + within
        while not holds():
            if time.monotonic() > end:
                raise BenchError(f"{otherwise} within {within:g} s")
            self.turn(LOOP_S)

    def _on_connect(self, _client: mqtt.Client, _data: Any, _flags: Any, reason: ReasonCode, _more: Any) -> None:
        self._is_up = not reason.is_failure
        self._refused = str(reason) if reason.is_failure else None

    def _on_subscribe(
        self, _client: mqtt.Client, _data: Any, _number: int, reasons: list[ReasonCode], _more: Any
    ) -> None:
        self._is_subscribed = True
        if any(reason.is_failure for reason in reasons):
            self._refused = "the subscription to everything below the topic root"

    def _on_publish(self, _client: mqtt.Client, _data: Any, _number: int, reason: ReasonCode, _more: Any) -> None:
        self.waiting -= 1
        if reason.is_failure:
            self._refused = f"a message ({reason})"
