"""A broker that is broken or hostile, against the real agent: it keeps its files, its memory, and its manners.

One agent endures all of it, one script after another. After each it has to work with an honest broker again.
"""

from __future__ import annotations

import io
import random
import tempfile
import threading
from collections.abc import Callable, Generator
from pathlib import Path

import hostile_world
import pytest
from hostile_world import CONNACK, SUBACK, Broker, Peer, Robot, Script, eventually, packet, publish
from shallop_device import agent, backoff, inbox, testing, wire
from shallop_protocol import messages

MORE_MEMORY = 48 * 1024 * 1024
"""Bytes that the whole of it may take beside what was there: the agent, the broker and their buffers."""
HUGE = b"x" * 1_000_000


@pytest.fixture(scope="module", params=["5", pytest.param("3.1.1", marks=pytest.mark.slow)])
def robot(request) -> Generator[Robot]:
    shared = "/dev/shm" if Path("/dev/shm").is_dir() else None
    shore = testing.Shore()
    broker = Broker(request.param, "dev-0123456789abcdef")
    with tempfile.TemporaryDirectory(dir=shared) as directory, hostile_world.hasty():
        robot = Robot(Path(directory), shore, broker)
        robot.order({"a": "0"})
        broker.cut()
        eventually(lambda: robot.visible() == {"a": "0"})
        yield robot
        robot.close()
        broker.close()


def raw(*pieces: bytes) -> Script:
    """Says this instead of an answer to CONNECT, and waits for the agent to end it, but not for long."""

    def script(peer: Peer) -> None:
        peer.receive()
        for piece in pieces:
            peer.send(piece)
        peer.wait_for_the_end()

    return script


def then(*pieces: bytes | Callable[[Peer], bytes]) -> Script:
    """Says this once the agent is connected and subscribed."""

    def script(peer: Peer) -> None:
        peer.accept()
        for piece in pieces:
            peer.send(piece if isinstance(piece, bytes) else piece(peer))
        peer.wait_for_the_end()

    return script


def over(script: Script) -> Script:
    """As the other, and hangs up at once."""

    def hang_up(peer: Peer) -> None:
        peer.receive()
        peer.send(CONNACK[peer.protocol])
        script(peer)

    return hang_up


def trickle(first: int, announced: bytes) -> Script:
    """A packet that is announced as huge and comes for as long as the agent takes it."""

    def script(peer: Peer) -> None:
        peer.accept()
        peer.send(bytes([first]) + announced)
        while True:
            peer.send(b"x" * 65_536)

    return script


def flood(piece: bytes | Callable[[Peer], bytes], times: int = 200_000) -> Script:
    """The same, as fast as it goes."""

    def script(peer: Peer) -> None:
        peer.accept()
        data = piece if isinstance(piece, bytes) else piece(peer)
        many = max(1, 65_536 // len(data))
        for _ in range(0, times, many):
            peer.send(data * many)
        peer.wait_for_the_end()

    return script


def to(kind: str, payload: bytes, **more: object) -> Callable[[Peer], bytes]:
    return lambda peer: publish(peer.protocol, peer.broker.topic(kind), payload, **more)  # type: ignore[arg-type]


def on(topic: bytes, payload: bytes = b"x", **more: object) -> Callable[[Peer], bytes]:
    return lambda peer: publish(peer.protocol, topic, payload, **more)  # type: ignore[arg-type]


def nothing(peer: Peer) -> None:
    peer.wait_for_the_end()


ENDLESS = b"\xff\xff\xff\xff\x7f"
LARGEST = b"\xff\xff\xff\x7f"
NOISE = random.Random(7).randbytes(4096)

ENDED = {
    "no answer": nothing,
    "an answer of another protocol": raw(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"),
    "an alert of TLS": raw(b"\x15\x03\x01\x00\x02\x02\x28"),
    "noise": raw(NOISE),
    "a packet of type 0": raw(b"\x00\x00"),
    "CONNACK without anything": raw(b"\x20\x00"),
    "CONNACK cut short": raw(b"\x20\x01\x00"),
    "CONNACK of a length without end": raw(b"\x20" + ENDLESS),
    "CONNACK of 256 MB": raw(b"\x20" + LARGEST),
    "CONNACK that refuses": raw(b"\x20\x03\x00\x87\x00"),
    "CONNACK with an unknown reason": raw(b"\x20\x03\x00\x42\x00"),
    "CONNACK with properties that go beyond it": raw(b"\x20\x03\x00\x00\x7f"),
    "CONNACK with an unknown property": raw(b"\x20\x05\x00\x00\x02\x7e\x00"),
    "CONNACK with a text that goes beyond it": raw(b"\x20\x06\x00\x00\x03\x1f\xff\xff"),
    "CONNACK with a text that is none": raw(b"\x20\x08\x00\x00\x05\x1f\x00\x02\xff\xfe"),
    "CONNACK twice": raw(b"\x20\x02\x00\x00" * 2),
    "a message before CONNACK": raw(b"\x30\x04\x00\x01ax"),
    "SUBACK before CONNACK": raw(b"\x90\x03\x00\x01\x01"),
    "half a packet": over(lambda peer: peer.send(b"\x30\x7f\x00")),
    "CONNACK again": then(lambda peer: CONNACK[peer.protocol]),
    "SUBACK again": then(lambda peer: SUBACK[peer.protocol]),
    "no SUBACK": over(nothing),
    "SUBACK without anything": over(lambda peer: (peer.send(b"\x90\x00"), peer.wait_for_the_end())[1]),
    "SUBACK cut short": over(lambda peer: (peer.send(b"\x90\x01\x00"), peer.wait_for_the_end())[1]),
    "a message without anything": then(b"\x30\x00"),
    "a topic that goes beyond the message": then(b"\x30\x02\xff\xff"),
    "a topic that is not UTF-8": then(on(b"shallop/\xff\xfe")),
    "a message of QoS 2": then(to("desired", b"x", first=0x34)),
    "a message of QoS 3": then(to("desired", b"x", first=0x36)),
    "a message of QoS 1 without a number": then(b"\x32\x03\x00\x01a"),
    "a message of a length without end": then(b"\x30" + ENDLESS),
    "a message of 256 MB": trickle(0x30, LARGEST),
    "a message of 30 MB": trickle(0x30, b"\x80\x87\xa7\x0e"),
    "PUBACK of 256 MB": then(b"\x40" + LARGEST),
    "PUBACK without anything": then(b"\x40\x00"),
    "PUBREC": then(b"\x50\x02\x00\x01"),
    "PUBREL": then(b"\x62\x02\x00\x01"),
    "PUBCOMP": then(b"\x70\x02\x00\x01"),
    "what only a client says": then(b"\xc0\x00"),
    "UNSUBACK": then(b"\xb0\x02\x00\x01"),
    "AUTH": then(b"\xf0\x00"),
    "PINGRESP that is not empty": then(b"\xd0\x01\x00"),
    "DISCONNECT": then(b"\xe0\x00"),
    "a flood of PINGRESP": flood(b"\xd0\x00"),
    "a flood of PUBACK": flood(b"\x40\x02\xff\xff"),
    "a flood of huge messages": flood(to("desired", HUGE), 100),
    "a flood of noise as orders": flood(to("desired", b"{")),
    "a flood of noise as key lists": flood(to("keys", b"{")),
    "a flood of noise as echoes": flood(to("echo", b"{")),
    "a flood of noise as hellos": flood(to("hello", b"{")),
    "a flood of hellos": flood(to("hello", messages.Hello(spread_s=0.0).to_bytes())),
}
"""What the agent has to end."""

BORNE = {
    "a session that was there before": lambda peer: (peer.receive(), peer.send(_with_session(peer)), peer.serve())[2],
    "PUBACK for what was not sent": then(b"\x40\x02\xff\xff" * 100),
    "a topic with NUL": then(on(b"shallop/v1/\x00/desired")),
    "a topic with wildcards": then(on(b"shallop/v1/+/#")),
    "a message of 8 MB": then(to("desired", b"[" * (8 << 20))),
    "a topic of others": then(on(b"shallop/v1/dev-other/desired", HUGE)),
    "a topic as long as it can be": then(on(b"t" * 65_535)),
    "no topic": then(on(b"")),
    "nothing as an order": then(to("desired", b"", first=0x31)),
    "poison": then(to("desired", NOISE, first=0x33)),
    "nothing as a key list": then(to("keys", b"", first=0x31)),
    "noise as a key list": then(to("keys", NOISE, first=0x33)),
    "a refused subscription": over(
        lambda peer: (peer.receive(), peer.send(SUBACK[peer.protocol][:-4] + b"\x80" * 4), peer.wait_for_the_end())[2]
    ),
    "a few PINGRESP": then(b"\xd0\x00" * 50),
}
"""What does no harm: the broker has to end it."""

ONLY_5 = {
    "an alias without a topic": then(on(b"", properties=b"\x03\x23\x00\x05")),
    "alias 0": then(on(b"a", properties=b"\x03\x23\x00\x00")),
    "properties that go beyond the message": then(on(b"a", b"", properties=b"\x7f")),
    "a property twice": then(on(b"a", properties=b"\x04\x01\x00\x01\x00")),
    "a property that belongs elsewhere": then(on(b"a", properties=b"\x03\x13\x00\x05")),
    "DISCONNECT with a reason that is none": then(b"\xe0\x02\x42\x00"),
    "DISCONNECT because the session was taken over": then(b"\xe0\x02\x8e\x00"),
    "no keep-alive": raw(b"\x20\x06\x00\x00\x03\x13\x00\x00", b"\x90\x07\x00\x01\x00\x01\x01\x01\x01"),
}


def _with_session(peer: Peer) -> bytes:
    return b"\x20" + CONNACK[peer.protocol][1:2] + b"\x01" + CONNACK[peer.protocol][3:]


def endure(robot: Robot, script: Script, *, ends: bool = True, times: int = 2) -> None:
    """Has the agent meet this so many times; then an honest broker, with an order that has to be in force."""
    broker = robot.broker
    before = robot.visible()
    broker.play(script)
    if ends:
        eventually(lambda: broker.ended >= times, "the agent did not end it, or did not come again")
    else:
        eventually(lambda: broker.connections == 1)
    assert robot.visible() == before
    number = int(before["a"]) + 1
    robot.order({"a": str(number)})
    broker.play(Peer.serve)
    eventually(lambda: robot.visible() == {"a": str(number)}, "it does not work with an honest broker any more")
    assert robot.thread.is_alive(), robot.failure


@pytest.mark.parametrize("name", ENDED)
def test_what_ends_a_connection_ends_nothing_else(name: str, robot: Robot):
    robot.broker.peak = before = hostile_world.rss()

    endure(robot, ENDED[name])

    assert robot.broker.peak - before < MORE_MEMORY


@pytest.mark.parametrize("name", BORNE)
def test_what_does_no_harm_is_borne(name: str, robot: Robot):
    endure(robot, BORNE[name], ends=False)


@pytest.mark.parametrize("name", ONLY_5)
def test_what_only_mqtt_5_has(name: str, robot: Robot):
    if robot.broker.protocol == "5":
        endure(robot, ONLY_5[name], ends=False)


def test_a_storm_of_connections_that_are_cut_at_once(robot: Robot):
    endure(robot, over(lambda _: None), times=20)


def mutated(seed: int) -> Script:
    """An honest broker, some of whose bytes are others."""

    def script(peer: Peer) -> None:
        rng = random.Random(f"{seed}/{peer.broker.connections}")

        def mutate(data: bytes) -> bytes:
            if rng.random() < 0.5:
                return data
            bytes_ = bytearray(data)
            for _ in range(rng.choice((1, 1, 2, 8))):
                at = rng.randrange(len(bytes_) + 1)
                match rng.randrange(5):
                    case 0:
                        bytes_[at : at + 1] = bytes([rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))])
                    case 1:
                        bytes_[at:at] = rng.randbytes(rng.randrange(1, 9))
                    case 2:
                        del bytes_[at : at + rng.randrange(1, 9)]
                    case 3:
                        bytes_ += bytes_[at:]
                    case _:
                        del bytes_[at:]
            return bytes(bytes_)

        peer.mutate = mutate
        timer = threading.Timer(0.5, peer.broker.cut)  # for those that leave both waiting
        timer.start()
        try:
            peer.serve()
        finally:
            timer.cancel()

    return script


@pytest.mark.parametrize(
    ("seed", "times"), [(1, 15), *(pytest.param(seed, 100, marks=pytest.mark.slow) for seed in range(2, 5))]
)
def test_a_good_stream_with_some_bytes_changed(seed: int, times: int, robot: Robot):
    robot.broker.peak = before = hostile_world.rss()

    endure(robot, mutated(seed), times=times)

    assert robot.broker.peak - before < MORE_MEMORY


def test_a_broker_that_only_refuses_is_not_asked_often(tmp_path: Path):
    """With the waits that a robot has; within three seconds there is time for few of them."""
    broker = Broker("3.1.1", "dev-0123456789abcdef")
    robot = Robot(tmp_path, testing.Shore(), broker, reconnect=backoff.RECONNECT, unwelcome=backoff.UNWELCOME)
    try:
        broker.play(raw(b"\x20\x02\x00\x05"))
        eventually(lambda: broker.ended >= 1)
        robot.thread.join(1.5)
        assert broker.connections == 1, "a minute at the least"
    finally:
        robot.close()
        broker.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # paho leaves the refused socket to GC
def test_garbage_instead_of_tls(tmp_path: Path):
    broker = Broker("3.1.1", "dev-0123456789abcdef")
    answers = [b"", b"\x00", NOISE, b"\x16\x03\x03\xff\xff" + b"x" * 65_535, b"\x15\x03\x03\x00\x02\x02\x28"]

    def garbage(peer: Peer) -> None:
        peer._socket.recv(4096)
        peer.send(answers[peer.broker.connections % len(answers)])

    broker.script = garbage
    robot = Robot(tmp_path, testing.Shore(), broker, url=f"mqtts://127.0.0.1:{broker.port}")
    try:
        eventually(lambda: broker.ended >= 2 * len(answers))
        assert robot.thread.is_alive(), robot.failure
    finally:
        robot.close()
        broker.close()


@pytest.mark.parametrize("kind", ["desired", "keys", "echo", "hello"])
def test_noise_that_comes_slowly_is_borne_only_for_a_while(kind: str, tmp_path: Path):
    """Slower than the inbox fills: each is logged, and most are written down."""
    shore = testing.Shore()
    robot = testing.Robot(tmp_path, shore)
    robot.boot()
    who = robot.store.identity
    assert who is not None
    line = testing.FakeLink()
    made = agent.Agent(who, robot.store, robot.worker, line, time=robot.clock, rng=random.Random(1))
    made.turn()
    made.handle(line.accept())
    items = {"desired": inbox.Ordered, "keys": inbox.Keyed, "echo": inbox.Echoed, "hello": inbox.Greeted}

    for number in range(agent.NOISE + 5):
        made.handle(items[kind](b"{" * (number + 1)))
        robot.clock.sleep(0.1)
        made.turn()

    assert not line.is_up
    codes = []
    while (event := robot.store.first_event()) is not None:
        codes.append(messages.parse(messages.Event, event[1], messages.MAX_SMALL_BYTES).code)
        robot.store.drop_event(event[0])
    assert codes[-1] == "noisy_broker"
    opened = len(line.opened)
    robot.clock.sleep(59.0)
    made.turn()
    assert len(line.opened) == opened, "not before a minute has passed"
    robot.store.close()


def test_a_storm_of_hellos_is_answered_ever_more_rarely(tmp_path: Path):
    shore = testing.Shore()
    robot = testing.Robot(tmp_path, shore)
    robot.boot()
    who = robot.store.identity
    assert who is not None
    line = testing.FakeLink()
    made = agent.Agent(who, robot.store, robot.worker, line, time=robot.clock, rng=random.Random(1))
    made.turn()
    made.handle(line.accept())
    made.handle(inbox.Echoed(shore.echo(robot.report)))
    made.turn()
    made.handle(line.acknowledge())
    first = robot.report.seq
    hello = messages.Hello(spread_s=0.0).to_bytes()

    made.handle(inbox.Greeted(hello))
    made.turn()
    assert robot.report.seq == first + 1, "one is answered at once"
    while robot.clock.monotonic() < 3600:
        made.handle(inbox.Greeted(hello))
        made.turn()
        if made._in_flight is not None:
            made.handle(line.acknowledge())
        robot.clock.sleep(0.5)

    assert robot.report.seq - first <= 370, "of 7,200 hellos"
    robot.store.close()


def test_the_inbox_holds_so_many_bytes_and_no_more():
    items = inbox.Inbox()
    taken = 0
    while items.offer(inbox.Ordered(HUGE)):
        taken += 1
    assert taken == -(-inbox.MAX_WAITING_BYTES // len(HUGE))
    items.put(inbox.Stop())
    for _ in range(taken):
        items.get(0.0)
    assert items.get(0.0) == inbox.Stop()
    assert items.offer(inbox.Ordered(HUGE))


class Ticks:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def through(stream: bytes, sizes: Callable[[], int], ticks: Callable[[], float] = lambda: 0.0) -> bytes:
    """What comes through a guard to a client that asks for so many bytes at a time."""
    guard, source = wire.Guard(ticks), io.BytesIO(stream)
    return b"".join(iter(lambda: guard.read(sizes(), source.read), b""))


def test_the_guard_lets_a_good_stream_pass_however_it_is_cut():
    stream = CONNACK["5"] + SUBACK["5"] + publish("5", b"t", HUGE, first=0x32) + b"\x40\x02\x00\x01" + b"\xd0\x00"
    rng = random.Random(3)
    for _ in range(20):
        assert through(stream, lambda: rng.choice((1, 2, 3, 1000, 500_000))) == stream


def test_a_message_that_is_somewhat_too_long_is_cut_and_the_next_one_is_whole():
    long = publish("3.1.1", b"t", bytes(3 * len(HUGE)))
    short = publish("3.1.1", b"u", b"whole")
    cut = publish("3.1.1", b"t", bytes(wire.MAX_PUBLISH_BYTES - 3))

    found = through(CONNACK["3.1.1"] + long + short + long + b"\xd0\x00", lambda: 100_000)

    assert found == CONNACK["3.1.1"] + cut + short + cut + b"\xd0\x00"


def test_answers_may_come_as_often_as_anything_is_asked():
    ticks = Ticks()
    guard = wire.Guard(ticks)

    def see(data: bytes) -> None:
        source = io.BytesIO(data)
        while guard.read(1000, source.read):
            pass

    see(CONNACK["5"])
    for _ in range(10):
        see(b"\xd0\x00" * (wire.BURST // 2))
        ticks.now += wire.BURST / wire.PER_SECOND
    with pytest.raises(wire.Unsolicited, match="faster"):
        see(b"\xd0\x00" * (wire.BURST + 1))


def test_each_limit_of_the_guard():
    for limit, first in ((wire.MAX_CUT_BYTES, 0x30), (wire.MAX_ANSWER_BYTES, 0x40)):
        through(CONNACK["3.1.1"] + packet(first, bytes(limit)), lambda: 1_000_000)
        with pytest.raises(wire.Unsolicited, match=f"announced a packet of {limit + 1} bytes"):
            through(CONNACK["3.1.1"] + packet(first, bytes(limit + 1)), lambda: 1_000_000)
