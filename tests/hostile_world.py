"""A broker that does as its script says, byte by byte; and the real agent that has to live with it."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
from collections.abc import Callable, Generator
from pathlib import Path

from shallop_device import agent, applier, backoff, clock, files, identity, inbox, link, store, testing, worker
from shallop_protocol import messages, strict_json, topics

SOON = backoff.Backoff(first=0.01, cap=0.02)
WITHIN = 30.0
CONNACK = {"3.1.1": bytes.fromhex("20 02 00 00"), "5": bytes.fromhex("20 03 00 00 00")}
SUBACK = {"3.1.1": bytes.fromhex("90 06 00 01 01 01 01 01"), "5": bytes.fromhex("90 07 00 01 00 01 01 01 01")}
_CONNECT, _PUBLISH, _SUBSCRIBE, _PINGREQ, _DISCONNECT = 1, 3, 8, 12, 14


def packet(first: int, body: bytes) -> bytes:
    """An MQTT packet with this first byte."""
    length, octets = len(body), bytearray()
    while True:
        length, octet = divmod(length, 128)
        octets.append(octet | (0x80 if length else 0))
        if not length:
            return bytes([first]) + bytes(octets) + body


def publish(protocol: str, topic: bytes, payload: bytes, *, first: int = 0x30, properties: bytes = b"\x00") -> bytes:
    """A PUBLISH; of QoS 1 and more it has the packet id 1."""
    number = b"\x00\x01" if first & 0x06 else b""
    more = properties if protocol == "5" else b""
    return packet(first, len(topic).to_bytes(2, "big") + topic + number + more + payload)


class Peer:
    """The broker's end of one connection."""

    def __init__(self, connection: socket.socket, broker: Broker) -> None:
        self._socket = connection
        self.broker = broker
        self.protocol = broker.protocol
        self._unread = b""
        self.mutate: Callable[[bytes], bytes] = bytes

    def send(self, data: bytes) -> None:
        self._socket.sendall(self.mutate(data))
        self.broker.peak = max(self.broker.peak, rss())

    def receive(self) -> tuple[int, bytes] | None:
        """The next packet: its first byte and its body; None when the agent is gone."""
        while True:
            if (found := self._split()) is not None:
                return found
            more = self._socket.recv(65_536)
            if not more:
                return None
            self._unread += more

    def _split(self) -> tuple[int, bytes] | None:
        length = at = 0
        while True:
            if at + 1 >= len(self._unread):
                return None
            octet = self._unread[at + 1]
            length |= (octet & 0x7F) << (7 * at)
            at += 1
            if not octet & 0x80:
                break
        end = 1 + at + length
        if len(self._unread) < end:
            return None
        first, body, self._unread = self._unread[0], self._unread[1 + at : end], self._unread[end:]
        return first, body

    def accept(self) -> None:
        """Answers CONNECT and SUBSCRIBE as a broker should."""
        if self.receive() is None:
            raise ConnectionError
        self.send(CONNACK[self.protocol])
        while (found := self.receive()) is not None:
            if found[0] >> 4 == _SUBSCRIBE:
                self.send(SUBACK[self.protocol])
                return

    def wait_for_the_end(self) -> None:
        """Until the agent ends it."""
        while self._socket.recv(65_536):
            pass

    def serve(self) -> None:
        """Is an honest broker until the agent is gone, or the next script is due."""
        while (found := self.receive()) is not None:
            kind, body = found[0] >> 4, found[1]
            if kind == _CONNECT:
                self.send(CONNACK[self.protocol])
            elif kind == _SUBSCRIBE:
                self.send(SUBACK[self.protocol])
                if self.broker.retained:
                    topic = self.broker.topic("desired")
                    self.send(publish(self.protocol, topic, self.broker.retained, first=0x33))
            elif kind == _PINGREQ:
                self.send(b"\xd0\x00")
            elif kind == _PUBLISH and found[0] & 0x02:
                end = 2 + int.from_bytes(body[:2], "big")
                self.send(packet(0x40, body[end : end + 2]))
                payload = body[end + 2 + (self.protocol == "5") :]
                self.broker.heard.append((body[2:end].decode(), payload))


Script = Callable[[Peer], None]


class Broker:
    """Serves one connection after another.

    Attributes:
        script: what the next connections get; ``connections`` were begun since it was set.
        retained: the desired state.
        heard: topics and payloads that were published to an honest one.
        peak: bytes of memory that this process had at most while something was sent.
    """

    def __init__(self, protocol: str, device: str) -> None:
        self.protocol = protocol
        self.script: Script = Peer.serve
        self.retained = b""
        self.heard: list[tuple[str, bytes]] = []
        self.connections = self.ended = self.peak = 0
        self._device = device
        self._open: socket.socket | None = None
        self._server = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        return int(self._server.getsockname()[1])

    def topic(self, kind: str) -> bytes:
        of = "cloud" if kind in ("hello", "keys") else self._device
        return f"{topics.DEFAULT_ROOT}/{of}/{kind}".encode()

    def play(self, script: Script) -> None:
        """Ends the connection that stands; the next ones get this."""
        self.script = script
        self.connections = self.ended = 0
        self.cut()

    def cut(self) -> None:
        if self._open is not None:
            with contextlib.suppress(OSError):
                self._open.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)  # which wakes the thread, unlike close
        self._server.close()
        self.cut()
        self._thread.join(WITHIN)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            self.connections += 1
            connection.settimeout(WITHIN)
            self._open = connection
            with connection, contextlib.suppress(OSError):
                self.script(Peer(connection, self))
            self._open = None
            self.ended += 1


class Robot:
    """The real agent in a thread, on a real disk, connected to a broker of ours."""

    def __init__(self, directory: Path, shore: testing.Shore, broker: Broker, url: str = "", **more: object) -> None:
        self.root = directory / "root"
        self.shore = shore
        self.broker = broker
        self.items = inbox.Inbox()
        self.failure: BaseException | None = None
        self.root.mkdir(parents=True)
        memory = store.Store.open(directory / "state")
        memory.begin_enrolment("http://127.0.0.1", self.root, "token")
        answer = shore.answer(url or f"mqtt://127.0.0.1:{broker.port}", broker.protocol)
        memory.finish_enrolment(strict_json.dumps(answer))
        memory.close()
        self._directory = directory
        self._more = {"reconnect": SOON, "unwelcome": SOON, **more}
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        memory = store.Store.open(self._directory / "state")
        try:
            who = memory.identity
            assert who is not None
            self._serve(who, memory)
        except BaseException as error:  # noqa: BLE001  the test says so
            self.failure = error
        finally:
            memory.close()

    def _serve(self, who: identity.Identity, memory: store.Store) -> None:
        time_ = clock.SystemClock()
        rng = random.Random(1)
        software = messages.Agent(version="0", started_at=messages.utc(time_.now()))
        disk = applier.Applier(files.RootedFiles(self.root))
        hands = worker.Worker(who, memory, disk, time=time_, rng=rng, agent=software)
        line = link.MqttLink(who, memory.incarnation, self.items)
        made = agent.Agent(who, memory, hands, line, time=time_, rng=rng, **self._more)  # type: ignore[arg-type]
        made.run(self.items)

    def visible(self) -> dict[str, str]:
        current = self.root / applier.CURRENT
        return {str(path.relative_to(current)): path.read_text() for path in current.rglob("*") if path.is_file()}

    def order(self, contents: dict[str, str]) -> None:
        """What an honest broker retains from now on."""
        self.broker.retained = self.shore.seal(self.shore.order(self.shore.manifest(contents)))

    def close(self) -> None:
        self.items.put(inbox.Stop())
        self.broker.cut()
        self.thread.join(WITHIN)
        assert not self.thread.is_alive()
        assert self.failure is None, self.failure


def eventually(condition: Callable[[], object], words: str = "it never came about") -> None:
    deadline = time.monotonic() + WITHIN
    while not condition():
        assert time.monotonic() < deadline, words
        time.sleep(0.002)


def rss() -> int:
    """Bytes of memory that this process has."""
    fields = Path("/proc/self/statm").read_text().split()
    return int(fields[1]) * 4096


@contextlib.contextmanager
def hasty() -> Generator[None]:
    """The link's patience with a silent broker, cut short."""
    kept = link.CONNECT_TIMEOUT_S, link.SUBSCRIBE_TIMEOUT_S
    link.CONNECT_TIMEOUT_S, link.SUBSCRIBE_TIMEOUT_S = 0.3, 0.2
    try:
        yield
    finally:
        link.CONNECT_TIMEOUT_S, link.SUBSCRIBE_TIMEOUT_S = kept
