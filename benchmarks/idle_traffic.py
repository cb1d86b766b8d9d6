"""What an agent sends and hears while nothing happens, by the month: MQTT's bytes, and those of TCP and IP with them.

The real agent speaks to a real mosquitto through a proxy that knows where MQTT packets end. The broker keeps its order
and the key list for it, and a client in the cloud's place answers its questions. Each thing that happens while idle is
made to happen often: pings, words of presence, reports with their answers; the packets are the same, only the pauses
between them are shorter. The kernel's own count of segments (TCP_INFO) says what TCP adds: 52 bytes of headers for
each, and each acknowledgement that travels alone. A month is 30 days with one connection a day.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import os
import select
import socket
import struct
import sys
import threading
import time
from collections import Counter
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

import harness
import paho.mqtt.client as mqtt
from paho.mqtt import enums
from shallop_device import settings, testing
from shallop_protocol import ids, strict_json
from shallop_protocol.desired import Desired
from shallop_protocol.topics import Kind, Topics

MONTH_S = 30 * 86_400
CONNECTIONS = 30
"""In a month."""
HEADERS = 52
"""Of a segment: IPv4 20, TCP 20, and its timestamps 12."""
TLS_RECORD = 22
"""What TLS 1.3 adds to a record with AES-GCM: header 5, type 1, tag 16. Each MQTT packet is one here."""
FINISHED = 8
"""Deployments that the report still speaks of, beside the one in force: the most that it may."""
_PACKETS = {1: "CONNECT", 2: "CONNACK", 3: "PUBLISH", 4: "PUBACK", 8: "SUBSCRIBE", 9: "SUBACK", 12: "PINGREQ"}
_SEGMENTS = struct.Struct("II")
_SEGMENTS_AT = 136
"""Where ``struct tcp_info`` has tcpi_segs_out and tcpi_segs_in: linux/tcp.h."""


@dataclasses.dataclass
class Count:
    """What went over one connection, both ways."""

    packets: Counter[str] = dataclasses.field(default_factory=Counter[str])
    octets: Counter[str] = dataclasses.field(default_factory=Counter[str])
    segments: int = 0

    @property
    def mqtt(self) -> int:
        """Bytes of MQTT."""
        return self.octets.total()

    @property
    def ip(self) -> int:
        """Bytes of IP."""
        return self.mqtt + self.segments * HEADERS

    def less(self, other: Count) -> Count:
        """What came since."""
        packets, octets = self.packets.copy(), self.octets.copy()
        packets.subtract(other.packets)
        octets.subtract(other.octets)
        return Count(packets, octets, self.segments - other.segments)

    def copy(self) -> Count:
        """As it is now."""
        return Count(self.packets.copy(), self.octets.copy(), self.segments)


class Proxy:
    """Between one client at a time and the broker."""

    def __init__(self, broker: int) -> None:
        self._broker = broker
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._client: socket.socket | None = None
        self._count = Count()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def count(self) -> Count:
        """Of the newest connection, until now."""
        with self._lock:
            if self._client is not None:
                info = self._client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
                self._count.segments = sum(_SEGMENTS.unpack_from(info, _SEGMENTS_AT))
            return self._count.copy()

    def _serve(self) -> None:
        while True:
            client, _ = self._server.accept()
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            broker = socket.create_connection(("127.0.0.1", self._broker))
            with self._lock:
                self._client, self._count = client, Count()
            self._carry(client, broker)
            with self._lock:
                self._client, self._count = None, Count()
            client.close()
            broker.close()

    def _carry(self, client: socket.socket, broker: socket.socket) -> None:
        pending = {client: b"", broker: b""}
        other = {client: broker, broker: client}
        while True:
            readable, _, _ = select.select([client, broker], [], [])
            for end in readable:
                try:
                    data = end.recv(65_536)
                except OSError:
                    data = b""
                if not data:
                    return
                pending[end] = self._note(pending[end] + data)
                other[end].sendall(data)

    def _note(self, data: bytes) -> bytes:
        """Counts the whole packets in front; gives the rest."""
        while (length := _packet(data)) is not None and len(data) >= length:
            name = _PACKETS.get(data[0] >> 4, "other")
            if name == "PUBLISH":
                name += " " + next((kind.value for kind in Kind if f"/{kind.value}".encode() in data[:80]), "other")
            with self._lock:
                self._count.packets[name] += 1
                self._count.octets[name] += length
            data = data[length:]
        return data


def _packet(data: bytes) -> int | None:
    """The length of the packet that these bytes begin with, as far as they say it."""
    length = 0
    for position, byte in enumerate(data[1:5]):
        length |= (byte & 0x7F) << (7 * position)
        if not byte & 0x80:
            return 2 + position + length
    return None


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=20.0, help="for each kind of traffic (default: 20)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    chosen = parser.parse_args(arguments)
    if chosen.seconds < 15:
        parser.error("--seconds is at least 15: the shortest keep-alive is 5")
    load_before = round(os.getloadavg()[0], 2)
    try:
        with harness.directory() as where:
            result = measure(where, chosen.seconds)
    except harness.BenchmarkError as error:
        print(f"idle_traffic: {error}", file=sys.stderr)
        return 1
    harness.emit("idle_traffic", {**result, "seconds_each": chosen.seconds, "load_before": load_before}, chosen.json)
    return 0


def measure(where: Path, seconds: float) -> dict[str, Any]:
    """All of it, and what it comes to by the month."""
    port = harness.free_port()
    never = {"keepalive_s": 3600, "presence_s": 86_400, "heartbeat_s": 86_400}
    with harness.running(harness.mosquitto(where, port), lambda: harness.answers(port)):
        proxy = Proxy(port)
        shore = testing.Shore()
        order = _enrol(where, shore, proxy.port)
        with _cloud(shore, order, port):
            with _agent(where, proxy, never):
                connecting = proxy.count()
            pings = _watch(where, proxy, {**never, "keepalive_s": 5}, seconds)
            presences = _watch(where, proxy, {**never, "presence_s": 1}, seconds)
            reports = _watch(where, proxy, {**never, "presence_s": 1, "heartbeat_s": 1}, seconds)
    each = {
        "ping": _each(pings, "PINGREQ"),
        "presence": _each(presences, "PUBLISH presence"),
        "report": _each(reports, "PUBLISH report"),
        "connection": {"mqtt": connecting.mqtt, "ip": connecting.ip, "packets": connecting.packets.total()},
    }
    for name in ("mqtt", "ip", "packets"):  # a heartbeat of one second says presence as well
        each["report"][name] = round(each["report"][name] - each["presence"][name], 1)
    progress = {name: {key: round(value, 1) for key, value in values.items()} for name, values in each.items()}
    harness.progress(str(progress))
    months = {"standard": _month(each, settings.Link()), "metered": _month(each, settings.Link(profile="metered"))}
    return {"each": progress, **months}


def _each(counted: Count, packet: str) -> dict[str, float]:
    number = counted.packets[packet]
    if number < 3:
        raise harness.BenchmarkError(f"only {number} times {packet} in the time that was watched")
    return {"mqtt": counted.mqtt / number, "ip": counted.ip / number, "packets": counted.packets.total() / number}


def _month(each: dict[str, dict[str, float]], link: settings.Link) -> dict[str, Any]:
    """What a profile's pauses make of it, in MB of 1,000,000 bytes."""
    times = {
        "ping": MONTH_S / link.keepalive_s,
        "presence": MONTH_S / link.presence_s,
        "report": MONTH_S / link.heartbeat_s,
        "connection": CONNECTIONS,
    }
    total = {key: sum(times[name] * values[key] for name, values in each.items()) for key in ("mqtt", "ip", "packets")}
    return {
        "keepalive_s": link.keepalive_s,
        "presence_s": link.presence_s,
        "heartbeat_s": link.heartbeat_s,
        "mqtt_mb": round(total["mqtt"] / 1e6, 3),
        "with_tcp_ip_mb": round(total["ip"] / 1e6, 3),
        "with_tls_mb": round((total["ip"] + total["packets"] * TLS_RECORD) / 1e6, 3),
    }


def _watch(where: Path, proxy: Proxy, link: dict[str, int], seconds: float) -> Count:
    with _agent(where, proxy, link):
        before = proxy.count()
        time.sleep(seconds)
        return proxy.count().less(before)


@contextlib.contextmanager
def _agent(where: Path, proxy: Proxy, link: dict[str, int]) -> Generator[None]:
    """The real agent, connected and with nothing left to say."""
    variables = {f"SHALLOPD_LINK_{key.upper()}": str(value) for key, value in link.items()}
    command = [*harness.SHALLOPD, "run", "--state", str(where / "state")]
    with harness.running(harness.Program("shallopd", command, where / "agent.log", variables), lambda: True):
        harness.wait("the agent is connected", lambda: _is_idle(proxy))
        time.sleep(1.0)
        yield


def _is_idle(proxy: Proxy) -> bool:
    now = proxy.count().packets
    published = sum(number for name, number in now.items() if name.startswith("PUBLISH"))
    return bool(now["SUBACK"] == 1 and now["PUBLISH echo"]) and now["PUBACK"] == published


@contextlib.contextmanager
def _cloud(shore: testing.Shore, order: Desired, port: int) -> Generator[None]:
    """What the broker keeps for the robot, and an answer to each of its questions."""
    topics, device = Topics(), ids.on_wire(shore.device)

    def answer(client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        report = testing.read_report(message.payload)
        if report.nonce is not None and not message.retain:
            client.publish(topics.of(device, Kind.ECHO), shore.echo(report), qos=1)

    client = mqtt.Client(enums.CallbackAPIVersion.VERSION2, "cloud")
    client.on_message = answer
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        client.subscribe(topics.of(device, Kind.REPORT), qos=1)
        client.publish(topics.keys, shore.key_list, qos=1, retain=True)
        client.publish(topics.of(device, Kind.DESIRED), shore.seal(order), qos=1, retain=True).wait_for_publish(10)
        yield
    finally:
        client.disconnect()
        client.loop_stop()


def _enrol(where: Path, shore: testing.Shore, port: int) -> Desired:
    """A robot with one deployment in force, after as many others as a report may speak of; the newest order."""
    robot = testing.Robot(where, shore)
    robot.boot()
    orders = [shore.order(shore.manifest({"nav2/params.yaml": f"speed: {n}\n"})) for n in range(FINISHED + 1)]
    for order in orders:
        robot.take(order)
        robot.settle()
    robot.store.begin_enrolment("http://127.0.0.1", where / "root", "token")
    robot.store.finish_enrolment(strict_json.dumps(shore.answer(f"mqtt://127.0.0.1:{port}")))
    robot.store.close()
    return orders[-1]


if __name__ == "__main__":
    sys.exit(main())
