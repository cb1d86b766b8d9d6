"""The network between clients and a broker, seen from both of its ends: by bare sockets, and by paho and a broker."""

from __future__ import annotations

import contextlib
import random
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from cloud.bench.raw_mqtt import BOUND, DISCONNECT_BYTES, Message, connect_bytes, packet, publish_bytes, settings_for
from paho.mqtt.enums import CallbackAPIVersion
from shallop_cloud.bench import proxy_link
from shallop_cloud.bench.broker_run import BrokerThread
from shallop_cloud.bench.proxy import Count, Passing, Proxy, ProxyError, Traffic, Way
from shallop_cloud.bench.proxy_wire import PacketType

NOTHING_S = 0.1
"""So long a test listens before it believes that nothing comes."""
ACK = packet(0x40, b"\x00\x01")
CONNACK = b"\x20\x02\x00\x00"


class End:
    """One end of a connection."""

    def __init__(self, held: socket.socket) -> None:
        held.settimeout(BOUND)
        self.socket = held

    def send(self, *data: bytes) -> None:
        self.socket.sendall(b"".join(data))

    def read(self, *expected: bytes) -> None:
        """Reads so many bytes as are expected; they must be these."""
        want = b"".join(expected)
        assert self.some(len(want)) == want

    def some(self, size: int) -> bytes:
        got = bytearray()
        while len(got) < size:
            more = self.socket.recv(size - len(got))
            assert more, f"the connection ended after {bytes(got)!r}"
            got += more
        return bytes(got)

    def hears_nothing(self) -> bool:
        self.socket.settimeout(NOTHING_S)
        try:
            self.socket.recv(1, socket.MSG_PEEK)
        except TimeoutError:
            return True
        else:
            return False
        finally:
            self.socket.settimeout(BOUND)

    def is_over(self) -> bool:
        """Whether the other side ends the connection within the bound."""
        try:
            while self.socket.recv(65_536):
                pass
        except ConnectionResetError:
            return True
        return True

    def is_reset(self) -> bool:
        try:
            while self.socket.recv(65_536):
                pass
        except ConnectionResetError:
            return True
        return False


class Sea:
    """A proxy, and a broker's listener that does nothing by itself."""

    def __init__(self, stack: contextlib.ExitStack, seed: int = 1) -> None:
        self._stack = stack
        self._listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        self._listener.settimeout(BOUND)
        self.seen: list[Passing] = []
        broker: tuple[str, int] = self._listener.getsockname()
        self.proxy = stack.enter_context(Proxy(broker, rng=random.Random(seed), watch=self.seen.append))

    def dial(self, client: str) -> End:
        """A client that has sent its CONNECT."""
        end = End(self._stack.enter_context(socket.create_connection(self.proxy.address)))
        end.send(connect_bytes(client, "secret", client))
        return end

    def accept(self) -> End:
        """The broker's end of the next connection."""
        return End(self._stack.enter_context(self._listener.accept()[0]))

    def join(self, client: str) -> tuple[End, End]:
        """A client's end and the broker's, connected."""
        ashore, there = self.dial(client), self.accept()
        there.read(connect_bytes(client, "secret", client))
        return ashore, there


@pytest.fixture
def sea() -> Iterator[Sea]:
    with contextlib.ExitStack() as stack:
        yield Sea(stack)


def _message(number: int, qos: int = 1) -> bytes:
    return publish_bytes(Message("t", b"%d" % number, qos), number)


def _again(data: bytes) -> bytes:
    return bytes([data[0] | 8]) + data[1:]


def _wait(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + BOUND
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_what_is_sent_arrives_and_is_counted(sea: Sea) -> None:
    client, broker = sea.join("dev-a")
    client.send(_message(1), _message(2))
    broker.read(_message(1), _message(2))
    broker.send(CONNACK, ACK)
    client.read(CONNACK, ACK)
    assert sea.proxy.clients() == ("dev-a",)
    hello = connect_bytes("dev-a", "secret", "dev-a")
    sent = Count(3, len(hello + _message(1) + _message(2)), {PacketType.CONNECT: 1, PacketType.PUBLISH: 2})
    heard = Count(2, len(CONNACK + ACK), {PacketType.CONNACK: 1, PacketType.PUBACK: 1})
    assert sea.proxy.traffic() == {"dev-a": Traffic(sent, heard, 1)}
    assert sum(sea.proxy.traffic().values(), Traffic()) == Traffic(sent, heard, 1)
    assert [(each.client, each.level, each.way, each.packet.type) for each in sea.seen[:2]] == [
        ("dev-a", 4, Way.TO_BROKER, PacketType.CONNECT),
        ("dev-a", 4, Way.TO_BROKER, PacketType.PUBLISH),
    ]


def test_the_end_of_one_side_is_the_end_of_the_other_after_the_rest(sea: Sea) -> None:
    client, broker = sea.join("dev-a")
    sea.proxy.slow(0.05)
    client.send(_message(1), DISCONNECT_BYTES)
    client.socket.close()
    broker.read(_message(1), DISCONNECT_BYTES)
    assert broker.is_over()
    _wait(lambda: sea.proxy.clients() == ())


def test_a_broker_that_is_not_there(sea: Sea) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        address = gone.getsockname()
    with (
        Proxy(address, rng=random.Random(1)) as proxy,
        socket.create_connection(proxy.address) as held,
    ):
        held.settimeout(BOUND)
        held.sendall(connect_bytes("dev-a", "secret", "dev-a"))
        assert End(held).is_over()


@pytest.mark.parametrize("way", Way)
def test_a_message_comes_twice(sea: Sea, way: Way) -> None:
    client, broker = sea.join("dev-a")
    sea.proxy.duplicate("dev-a", way=way)
    to_broker = (client, broker)
    sender, receiver = to_broker if way is Way.TO_BROKER else to_broker[::-1]
    sender.send(_message(1), ACK, _message(2, 0))
    receiver.read(_message(1), _again(_message(1)), ACK, _message(2, 0), _message(2, 0))
    receiver.send(_message(3), ACK)
    sender.read(_message(3), ACK)


def test_a_message_is_overtaken_by_the_next_one(sea: Sea) -> None:
    client, broker = sea.join("dev-a")
    sea.proxy.reorder()
    client.send(_message(1), ACK, _message(2), _message(3), _message(4))
    broker.read(ACK, _message(2), _message(1), _message(4), _message(3))
    client.send(_message(5))
    broker.read(_message(5))


def test_what_is_held_back_goes_before_a_disconnect_and_when_it_is_healed(
    sea: Sea, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxy_link, "HOLD_S", 10 * BOUND)
    client, broker = sea.join("dev-a")
    sea.proxy.reorder()
    client.send(_message(1), ACK)
    broker.read(ACK)
    sea.proxy.heal()
    broker.read(_message(1))
    sea.proxy.reorder()
    client.send(_message(2), DISCONNECT_BYTES)
    broker.read(_message(2), DISCONNECT_BYTES)


def test_acknowledgements_are_lost(sea: Sea) -> None:
    client, broker = sea.join("dev-a")
    sea.proxy.drop_puback(way=Way.TO_CLIENT)
    broker.send(ACK, _message(1))
    client.read(_message(1))
    client.send(ACK)
    broker.read(ACK)


def test_one_byte_is_another(sea: Sea) -> None:
    client, broker = sea.join("dev-a")
    sea.proxy.corrupt("dev-a", way=Way.TO_BROKER)
    for number in range(1, 20):
        client.send(_message(number), ACK)
        got = broker.some(len(_message(number)))
        different = [place for place, pair in enumerate(zip(got, _message(number), strict=True)) if len(set(pair)) > 1]
        assert len(different) == 1
        assert different[0] >= 2
        broker.read(ACK)


def test_each_packet_takes_longer(sea: Sea) -> None:
    client, broker = sea.join("dev-a")
    sea.proxy.slow(0.1, "dev-a")
    sea.proxy.slow(0.1)
    start = time.monotonic()
    client.send(_message(1), _message(2))
    broker.read(_message(1), _message(2))
    assert 0.2 <= time.monotonic() - start < BOUND
    broker.send(ACK)
    client.read(ACK)
    assert 0.4 <= time.monotonic() - start < BOUND
    sea.proxy.slow(100 * BOUND)
    client.send(_message(3))
    assert broker.hears_nothing()
    sea.proxy.heal()
    broker.read(_message(3))


def test_half_open(sea: Sea) -> None:
    """Nothing is read and nothing closed, on old connections and new ones; afterwards all of it arrives."""
    client, broker = sea.join("dev-a")
    sea.proxy.stall("dev-a")
    client.send(_message(1))
    broker.send(ACK)
    late, lates_broker = sea.dial("dev-a"), sea.accept()
    other, others_broker = sea.join("dev-b")
    other.send(_message(2))
    others_broker.read(_message(2))
    assert broker.hears_nothing()
    assert lates_broker.hears_nothing()
    broker.socket.close()
    assert client.hears_nothing()
    sea.proxy.heal("dev-a")
    client.read(ACK)
    assert client.is_over()
    late.send(_message(3))
    lates_broker.read(connect_bytes("dev-a", "secret", "dev-a"), _message(3))


@pytest.mark.parametrize("is_stalled", [True, False])
def test_the_proxy_does_not_keep_what_nobody_reads(sea: Sea, is_stalled: bool) -> None:
    """The broker's end is not read here, so in the end the sender has to wait, stalled or not."""
    client, _ = sea.join("dev-a")
    if is_stalled:
        sea.proxy.stall()
    client.socket.setblocking(False)
    some = publish_bytes(Message("t", b"x" * 100_000, 1))
    sent = 0
    while sent < 100_000_000 and select.select([], [client.socket], [], NOTHING_S)[1]:
        sent += client.socket.send(some)
    assert sent < 50_000_000


def test_a_receiver_that_does_not_read_slows_the_sender_and_loses_nothing(sea: Sea) -> None:
    client, broker = sea.join("dev-a")
    many = publish_bytes(Message("t", b"x" * 100_000, 1)) * 200
    sender = threading.Thread(target=lambda: client.send(many))
    sender.start()
    broker.read(many)
    sender.join(BOUND)
    assert not sender.is_alive()


def test_offline_cuts_and_refuses_one_client_and_ends_by_itself(sea: Sea) -> None:
    client, broker = sea.join("dev-a")
    other, others_broker = sea.join("dev-b")
    sea.proxy.offline("dev-a", seconds=0.3)
    assert client.is_reset()
    assert broker.is_reset()
    assert sea.dial("dev-a").is_over()
    other.send(_message(1))
    others_broker.read(_message(1))
    end = time.monotonic() + BOUND
    while time.monotonic() < end:
        if _stays(sea.dial("dev-a")):
            return
    pytest.fail("it does not come back")


def _stays(end: End) -> bool:
    try:
        return end.hears_nothing()
    except ConnectionResetError:
        return False


def test_a_reset_happens_once(sea: Sea) -> None:
    client, broker = sea.join("dev-a")
    other, others_broker = sea.join("dev-b")
    sea.proxy.reset("dev-a")
    assert client.is_reset()
    assert broker.is_reset()
    again, broker = sea.join("dev-a")
    again.send(_message(1))
    broker.read(_message(1))
    other.send(_message(1))
    others_broker.read(_message(1))
    sea.proxy.reset()
    assert other.is_reset()


def test_what_is_healed_by_name_leaves_what_was_ordered_for_others(sea: Sea) -> None:
    sea.proxy.duplicate("dev-a", "dev-b", way=Way.TO_BROKER)
    client, broker = sea.join("dev-a")
    other, others_broker = sea.join("dev-b")
    sea.proxy.heal("dev-a")
    client.send(_message(1), ACK)
    broker.read(_message(1), ACK)
    other.send(_message(1), ACK)
    others_broker.read(_message(1), _again(_message(1)), ACK)
    sea.proxy.duplicate(way=Way.TO_BROKER)
    sea.proxy.heal("dev-a", "dev-b")
    client.send(_message(1), ACK)
    broker.read(_message(1), _again(_message(1)), ACK)


def test_the_same_dice_give_the_same_fate() -> None:
    def fate(seed: int) -> list[int]:
        with contextlib.ExitStack() as stack:
            sea = Sea(stack, seed)
            client, broker = sea.join("dev-a")
            sea.proxy.drop_puback(share=0.5)
            acks = [packet(0x40, bytes([0, number])) for number in range(64)]
            client.send(*acks, DISCONNECT_BYTES)
            got: list[int] = []
            while (head := broker.some(2)) != DISCONNECT_BYTES:
                got.append(broker.some(head[1])[1])
            return got

    assert fate(1) == fate(1)
    assert fate(1) != fate(2)
    assert 16 < len(fate(1)) < 48


def test_bytes_that_are_no_mqtt_pass(sea: Sea) -> None:
    end = End(socket.create_connection(sea.proxy.address))
    with end.socket:
        end.send(b"\x00\x01")
        there = sea.accept()
        there.read(b"\x00\x01")
        end.send(b"anything")
        there.read(b"anything")


def test_starting_and_stopping(sea: Sea) -> None:
    client, _ = sea.join("dev-a")
    with pytest.raises(RuntimeError, match="running already"):
        sea.proxy.start()
    with pytest.raises(ProxyError, match="cannot listen on 127"):
        Proxy(("127.0.0.1", 1), rng=random.Random(1), listen=sea.proxy.address).start()
    silent = socket.create_connection(sea.proxy.address)
    sea.proxy.stop()
    sea.proxy.stop()
    assert client.is_reset()
    assert End(silent).is_over()
    silent.close()
    with pytest.raises(RuntimeError, match="not running"):
        sea.proxy.heal()
    sea.proxy.start()
    sea.join("dev-a")
    assert sea.proxy.traffic()["dev-a"].connections == 2


class Paho:
    """A real client that is connected by a thread of its own, and reconnects."""

    def __init__(self, address: tuple[str, int], user: str, heard: str | None = None) -> None:
        self.messages: list[tuple[bytes, bool]] = []
        self._heard = heard
        self._subscribed = threading.Event()
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, user)
        self.client.username_pw_set(user, f"secret of {user}")
        self.client.reconnect_delay_set(1, 1)
        self.client.on_connect = self._on_connect
        self.client.on_subscribe = lambda *_: self._subscribed.set()
        self.client.on_message = lambda _client, _data, message: self.messages.append((message.payload, message.dup))
        self.client.connect(*address)
        self.client.loop_start()
        _wait(self._subscribed.is_set if heard else self.client.is_connected)

    def _on_connect(self, client: mqtt.Client, *_: object) -> None:
        if self._heard:
            client.subscribe(self._heard, 1)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


def test_a_real_client_and_a_real_broker(tmp_path: Path) -> None:
    report = "shallop/v1/dev-a/report"
    settings = settings_for(tmp_path, ["monitor", "dev-a"])
    with (
        BrokerThread(settings) as broker,
        Proxy(broker.address, rng=random.Random(1)) as proxy,
        contextlib.closing(Paho(proxy.address, "monitor", report)) as monitor,
        contextlib.closing(Paho(proxy.address, "dev-a")) as device,
    ):

        def say(payload: bytes) -> None:
            device.client.publish(report, payload, 1).wait_for_publish(BOUND)

        say(b"once")
        _wait(lambda: monitor.messages == [(b"once", False)])
        proxy.duplicate("monitor", way=Way.TO_CLIENT)
        say(b"twice")
        _wait(lambda: monitor.messages[1:] == [(b"twice", False), (b"twice", True)])
        proxy.heal()
        proxy.offline("dev-a", seconds=0.2)
        _wait(lambda: not device.client.is_connected())
        _wait(device.client.is_connected)
        say(b"again")
        _wait(lambda: monitor.messages[3:] == [(b"again", False)])
        assert proxy.traffic()["dev-a"].connections >= 2
        assert proxy.traffic()["monitor"].to_client.by_type[PacketType.PUBLISH] == 3
