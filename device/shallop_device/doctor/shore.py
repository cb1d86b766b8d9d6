"""The way to broker and cloud, one stage after another, so that the first one that fails is told."""

from __future__ import annotations

import datetime
import http.client
import socket
import time
import urllib.parse
from collections.abc import Iterator
from typing import Any

from paho.mqtt import enums, reasoncodes
from shallop_protocol import messages
from shallop_protocol.topics import Kind

from shallop_device import identity, link, tls, wire
from shallop_device.doctor.finding import Finding, fail, ok

TIMEOUT_S = 10.0


def broker(who: identity.Identity, trust: tls.Trust, *, running: bool) -> Iterator[Finding]:
    """DNS, TCP and TLS; then, unless an agent runs, MQTT with this robot's account: what it may hear and say."""
    where = who.broker
    reached, findings = _reach("broker", where.host, where.port, trust if where.tls else None)
    yield from findings
    if reached and not running:
        yield from _Patient(who, trust).examine()


def cloud(who: identity.Identity, trust: tls.Trust) -> Iterator[Finding]:
    """Whether the cloud's API answers. Large contents come from there; orders and reports do not."""
    parts = urllib.parse.urlsplit(who.server)
    host, is_secure = parts.hostname or "", parts.scheme == "https"
    port = parts.port or (443 if is_secure else 80)
    reached, findings = _reach("cloud", host, port, trust if is_secure else None)
    yield from findings
    if not reached:
        return
    connection = (
        http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S, context=trust.context())
        if is_secure
        else http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    )
    try:
        connection.request("GET", f"{parts.path.rstrip('/')}/v1/health")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        yield fail("cloud", f"{who.server} does not answer: {error}", "is it a shallop server?")
    else:
        advice = "look at the server, or at the proxy before it"
        said = f"{who.server} answers {status}"
        yield ok("cloud", said) if status == http.client.OK else fail("cloud", said, advice)
    finally:
        connection.close()


def _reach(subject: str, host: str, port: int, trust: tls.Trust | None) -> tuple[bool, list[Finding]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        advice = "is the network up, and the name server right? (/etc/resolv.conf)"
        return False, [fail(subject, f"cannot resolve {host}: {error.strerror or error}", advice)]
    address = found[0][4][0]
    try:
        line = socket.create_connection((host, port), timeout=TIMEOUT_S)
    except OSError as error:
        advice = "is it running, and does a firewall let this robot through?"
        return False, [fail(subject, f"cannot connect to {host}:{port} ({address}): {error}", advice)]
    findings = [ok(subject, f"{host}:{port} ({address}) takes connections")]
    with line:
        if trust is None:
            return True, findings
        try:
            with trust.context().wrap_socket(line, server_hostname=host) as secured:
                return True, [*findings, ok(subject, f"TLS: {secured.version()}, the certificate is good")]
        except OSError as error:
            words = f"TLS with {host}:{port}: {tls.words(error)}"
            return False, [*findings, fail(subject, words, "see docs/install-robot.md, certificates")]


class _Patient:
    """One connection with the robot's account, without a last will."""

    def __init__(self, who: identity.Identity, trust: tls.Trust) -> None:
        self._who = who
        self._refusals: list[str] = []
        self._connected: reasoncodes.ReasonCode | None = None
        self._subscribed = self._published = False
        is_5 = who.protocol == "5"
        self._client = client = wire.Client(
            callback_api_version=enums.CallbackAPIVersion.VERSION2,
            client_id=who.wire_id,
            clean_session=None if is_5 else True,
            protocol=enums.MQTTProtocolVersion.MQTTv5 if is_5 else enums.MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
        )
        client.connect_timeout = TIMEOUT_S
        client.username_pw_set(who.username, who.password)
        if who.broker.tls:
            client.tls_set_context(trust.context())  # pyright: ignore[reportUnknownMemberType]
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_publish = self._on_publish

    def examine(self) -> Iterator[Finding]:
        account = f"the account {self._who.username}, MQTT {self._who.protocol}"
        try:
            self._client.connect(self._who.broker.host, self._who.broker.port, 30)
            self._await(lambda: self._connected is not None)
        except OSError as error:
            yield fail("broker", f"MQTT: {error}", "see the broker's log")
            return
        if self._connected is None:
            advice = "is this an MQTT broker, and does it speak this version? ([link] protocol)"
            yield fail("broker", f"no answer to CONNECT of MQTT {self._who.protocol}", advice)
            return
        if self._connected.is_failure:
            advice = "was the device archived, or its password file not loaded by the broker?"
            yield fail("broker", f"refused {account}: {self._connected}", advice)
            return
        yield ok("broker", f"took {account}")
        yield from self._hear_and_say()
        self._client.disconnect()

    def _hear_and_say(self) -> Iterator[Finding]:
        self._client.subscribe([(topic, 1) for topic in link.subscriptions(self._who)])
        self._await(lambda: self._subscribed)
        advice = "look at the broker's access list: docs/brokers.md"
        if not self._subscribed or self._refusals:
            yield fail("broker", f"may not hear its topics: {', '.join(self._refusals) or 'no answer'}", advice)
            return
        yield ok("broker", f"hears {self._who.topics.of(self._who.wire_id, Kind.DESIRED)}")
        now = messages.utc(datetime.datetime.now(datetime.timezone.utc))
        canary = messages.Event(device=self._who.wire_id, at=now, code="doctor", message="shallopd doctor was here")
        topic = self._who.topics.of(self._who.wire_id, Kind.EVENT)
        self._client.publish(topic, canary.to_bytes(), qos=1)
        self._await(lambda: self._published)
        if not self._published or self._refusals:
            yield fail("broker", f"may not say {topic}: {', '.join(self._refusals) or 'no answer'}", advice)
        else:
            yield ok("broker", f"takes what is said at {topic}")

    def _await(self, condition: Any) -> None:  # Any: a function without arguments
        deadline = time.monotonic() + TIMEOUT_S
        while not condition() and time.monotonic() < deadline:
            if self._client.loop(0.2) != enums.MQTTErrorCode.MQTT_ERR_SUCCESS:
                return

    def _on_connect(self, _client: Any, _data: Any, _flags: Any, reason: reasoncodes.ReasonCode, _more: Any) -> None:
        self._connected = reason

    def _on_subscribe(
        self, _client: Any, _data: Any, _mid: int, reasons: list[reasoncodes.ReasonCode], _more: Any
    ) -> None:
        self._subscribed = True
        self._refusals = [str(reason) for reason in reasons if reason.is_failure]

    def _on_publish(self, _client: Any, _data: Any, _mid: int, reason: reasoncodes.ReasonCode, _more: Any) -> None:
        self._published = True
        self._refusals = [str(reason)] if reason.is_failure else []
