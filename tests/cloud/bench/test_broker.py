"""What the bench broker repairs: each scenario is shown to go wrong on amqtt's broker as it is, and right on ours."""

import asyncio
import contextlib
import resource
import socket
import time
from collections.abc import Iterator
from typing import Any

import amqtt.broker
import pytest
from cloud.bench.raw_mqtt import (
    BOUND,
    CONNACK,
    DISCONNECT_BYTES,
    PINGREQ_BYTES,
    QUIET,
    Bench,
    Message,
    connect_bytes,
    packet,
    password_of,
    publish_bytes,
    run,
    settings_for,
    subscribe_bytes,
)
from shallop_cloud.bench.broker import BenchBroker

OURS, AMQTT = BenchBroker, amqtt.broker.Broker
ANONYMOUS = {
    "listeners": {"default": {"type": "tcp", "bind": "127.0.0.1:0"}},
    "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
}
ROOT = "shallop/v1"
PRESENCE = f"{ROOT}/dev-a/presence"
DESIRED = f"{ROOT}/dev-a/desired"
WILL = Message(PRESENCE, b"offline", 1, retain=True)


@pytest.fixture
def config(tmp_path) -> dict[str, Any]:
    return settings_for(tmp_path, ["cloud", "monitor", "dev-a", "dev-b"], max_packet_bytes=100_000).amqtt_config()


@pytest.fixture
def many_open_files() -> Iterator[None]:
    """As many as the machine allows: both ends of a thousand connections are in this process."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize(("broker", "leaked"), [(OURS, []), (AMQTT, [DESIRED])])
def test_a_client_that_connects_gets_no_retained_message_of_other_peoples_filters(config, broker, leaked):
    async def scenario(bench: Bench) -> list[str]:
        owner, cloud = await bench.client("dev-a"), await bench.client("cloud")
        await owner.subscribe(DESIRED)
        await cloud.publish(DESIRED, b"for dev-a only", retain=True)
        assert await owner.message()
        other = await bench.client("dev-b")
        await other.subscribe(f"{ROOT}/dev-b/desired")
        return [message.topic for message in await other.ping()]

    assert run(broker, config, scenario) == leaked


@pytest.mark.parametrize(("broker", "fleet", "everyone"), [(OURS, 1_000, True), (AMQTT, 250, False)])
@pytest.mark.usefixtures("many_open_files")
def test_a_whole_fleet_that_connects_at_once_is_served_within_seconds(tmp_path, broker, fleet, everyone):
    async def scenario(bench: Bench) -> bool:
        cloud = await bench.client("cloud")
        for device in range(fleet):
            await cloud.publish(f"{ROOT}/dev-{device}/desired", b"x" * 2_000, retain=True)

        async def served(device: int) -> None:
            client = await bench.client(f"dev-{device}")
            client.send(subscribe_bytes(1, [f"{ROOT}/dev-{device}/desired"], 1))
            while (message := await client.message()) and message.topic != f"{ROOT}/dev-{device}/desired":
                pass
            assert message is not None

        bound = BOUND if broker is OURS else 1.0
        tasks = [asyncio.create_task(served(device)) for device in range(fleet)]
        _, late = await asyncio.wait(tasks, timeout=bound, return_when=asyncio.FIRST_EXCEPTION)
        for task in late:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        return not late and outcomes == [None] * fleet

    users = ["cloud", *(f"dev-{device}" for device in range(fleet))]
    assert run(broker, settings_for(tmp_path, users).amqtt_config(), scenario) == everyone


@pytest.mark.parametrize(("broker", "heard"), [(OURS, WILL.payload), (AMQTT, None)])
def test_a_silent_client_is_cut_at_one_and_a_half_keep_alives_and_its_will_is_heard(config, broker, heard):
    async def scenario(bench: Bench) -> tuple[bytes | None, float]:
        monitor = await bench.client("monitor")
        await monitor.subscribe(PRESENCE)
        start = time.monotonic()
        await bench.client("dev-a", will=WILL, keep_alive=1)
        message = await monitor.message(BOUND if broker is OURS else 2.0)
        return (message and message.payload, time.monotonic() - start)

    payload, seconds = run(broker, config, scenario)
    assert payload == heard
    assert seconds >= 1.5


def test_a_client_that_pings_or_has_no_keep_alive_is_not_cut(config):
    async def scenario(bench: Bench) -> None:
        restless = await bench.client("dev-b", keep_alive=0)
        lively, silent = await bench.client("dev-a", keep_alive=1), await bench.client("cloud", keep_alive=1)
        ends = asyncio.create_task(silent.is_closed())
        while not ends.done():
            await lively.ping()
            await asyncio.sleep(0.05)
        assert ends.result()
        assert await lively.ping() == []
        assert await restless.ping() == []

    run(OURS, config, scenario)


@pytest.mark.parametrize(("broker", "outcome"), [(OURS, (True, [b"offline"])), (AMQTT, (False, []))])
def test_a_second_connection_takes_the_client_id_over_and_the_will_of_the_first_is_heard(config, broker, outcome):
    async def scenario(bench: Bench) -> tuple[bool, list[bytes]]:
        monitor, first = await bench.client("monitor"), await bench.client("dev-a", will=WILL)
        await monitor.subscribe(PRESENCE)
        second = await bench.client("dev-a", will=WILL)
        first_closed = await first.is_closed(BOUND if broker is OURS else QUIET)
        wills = [message.payload for message in await monitor.ping()]
        assert await second.ping() == []
        return first_closed, wills

    assert run(broker, config, scenario) == outcome


def test_every_further_connection_takes_over_from_the_one_before(config):
    async def scenario(bench: Bench) -> list[bool]:
        connections = [await bench.client("dev-a") for _ in range(4)]
        assert await connections[-1].ping() == []
        return [await connection.is_closed() for connection in connections[:-1]]

    assert run(OURS, config, scenario) == [True] * 3


def test_the_will_of_the_first_comes_before_anything_of_the_second(config):
    """Otherwise a robot that reconnects before its old connection is noticed stays *offline* in what is retained."""

    async def scenario(bench: Bench) -> list[bytes]:
        monitor, second = await bench.client("monitor"), await bench.open()
        await bench.client("dev-a", will=WILL)
        await monitor.subscribe(PRESENCE)
        online = publish_bytes(Message(PRESENCE, b"online", 0, retain=True))
        second.send(connect_bytes("dev-a", password_of("dev-a"), "dev-a", will=WILL) + online)
        assert await second.ping() == []
        await monitor.subscribe(PRESENCE)
        return [message.payload for message in await monitor.ping()]

    assert run(OURS, config, scenario) == [b"offline", b"online", b"online"]


@pytest.mark.parametrize(("broker", "outcome"), [(OURS, [b"new"]), (AMQTT, [])])
def test_a_wrong_password_does_not_harm_the_session_of_that_client_id(config, broker, outcome):
    async def scenario(bench: Bench) -> list[bytes]:
        device, cloud, thief = await bench.client("dev-a"), await bench.client("cloud"), await bench.open()
        await device.subscribe(DESIRED)
        await cloud.subscribe(DESIRED)
        assert await thief.connect("dev-a", password="wrong") == 5
        await cloud.publish(DESIRED, b"new")
        assert cloud.heard or await cloud.message()
        return [message.payload for message in await device.ping()]

    assert run(broker, config, scenario) == outcome


@pytest.mark.parametrize(("broker", "heard"), [(OURS, list(range(50))), (AMQTT, None)])
def test_what_was_sent_just_before_disconnect_is_delivered(config, broker, heard):
    async def scenario(bench: Bench) -> list[int]:
        monitor, device = await bench.client("monitor"), await bench.client("dev-a", will=WILL)
        await monitor.subscribe(f"{ROOT}/+/event", PRESENCE)
        events = (publish_bytes(Message(f"{ROOT}/dev-a/event", b"%d" % n), n + 1) for n in range(50))
        device.send(b"".join(events) + DISCONNECT_BYTES)
        assert await device.is_closed()
        return [int(message.payload) for message in await monitor.ping()]

    found = run(broker, config, scenario)
    assert found == heard if heard is not None else len(found) < 50


@pytest.mark.parametrize(("broker", "code"), [(OURS, 5), (AMQTT, 0)])
def test_a_will_that_its_user_may_not_publish_refuses_the_connect(config, broker, code):
    async def scenario(bench: Bench) -> int:
        client = await bench.open()
        return await client.connect("dev-b", will=WILL)

    assert run(broker, config, scenario) == code


@pytest.mark.parametrize(("broker", "closed"), [(OURS, True), (AMQTT, False)])
def test_a_packet_over_the_limit_ends_the_connection_before_its_payload_is_sent(config, broker, closed):
    async def scenario(bench: Bench) -> bool:
        client = await bench.client("dev-a")
        client.send(packet(0x30, bytes(100_001))[:4])
        return await client.is_closed(BOUND if broker is OURS else QUIET)

    assert run(broker, config, scenario) == closed


def test_a_packet_at_the_limit_is_delivered(config):
    async def scenario(bench: Bench) -> bytes:
        monitor, device = await bench.client("monitor"), await bench.client("dev-a")
        await monitor.subscribe(f"{ROOT}/dev-a/report")
        payload = bytes(100_000 - 2 - len(f"{ROOT}/dev-a/report") - 2)
        await device.publish(f"{ROOT}/dev-a/report", payload)
        message = await monitor.message()
        assert message is not None
        return message.payload == payload

    assert run(OURS, config, scenario)


@pytest.mark.parametrize(("broker", "answer"), [(OURS, b"\0\1"), (AMQTT, None)])
def test_a_connect_of_mqtt_5_is_told_that_its_version_is_not_spoken(config, broker, answer):
    async def scenario(bench: Bench) -> bytes | None:
        client = await bench.open()
        client.send(connect_bytes("dev-a", password_of("dev-a"), "dev-a", level=5, properties=b"\x05\x11\0\0\0\0"))
        try:
            found = await asyncio.wait_for(client.wait_for(CONNACK), BOUND if broker is OURS else QUIET)
        except TimeoutError:
            return None
        assert await client.is_closed()
        return found

    assert run(broker, config, scenario) == answer


@pytest.mark.parametrize(("broker", "anonymous", "codes"), [(OURS, False, [0x80, 1]), (AMQTT, True, [1, 1])])
def test_a_shared_subscription_is_refused(config, broker, anonymous, codes):
    async def scenario(bench: Bench) -> list[int]:
        client = await bench.client("cloud")
        return await client.subscribe(f"$share/group/{DESIRED}", DESIRED)

    assert run(broker, ANONYMOUS if anonymous else config, scenario) == codes


def test_a_publish_costs_the_same_with_thousands_of_filters(config):
    async def scenario(bench: Bench) -> float:
        cloud, watcher = await bench.client("cloud"), await bench.client("cloud", "cloud-2")
        await watcher.subscribe(f"{ROOT}/dev-a/desired")
        for chunk in range(10):
            await cloud.subscribe(*(f"{ROOT}/dev-{chunk}-{n}/desired" for n in range(1_500)))
        start = time.perf_counter()
        for _ in range(50):
            await cloud.publish(DESIRED, b"")
            assert watcher.heard.pop() if watcher.heard else await watcher.message()
        return time.perf_counter() - start

    ours, theirs = run(OURS, config, scenario), run(AMQTT, config, scenario)
    assert ours * 3 < theirs


BAD_PACKETS = {
    "reserved type 0": b"\x00\x00",
    "reserved type 15": b"\xf0\x00",
    "length that never ends": b"\x30\xff\xff\xff\xff\xff",
    "second CONNECT": connect_bytes("dev-a", password_of("dev-a"), "dev-a"),
    "CONNACK from a client": b"\x20\x02\x00\x00",
    "PUBLISH without a topic": packet(0x30, b""),
    "PUBLISH shorter than its topic": packet(0x30, b"\xff\xffabc"),
    "PUBLISH to an empty topic": packet(0x30, b"\0\0"),
    "PUBLISH to a wildcard": publish_bytes(Message(f"{ROOT}/+/report", b"", 0)),
    "PUBLISH to a NUL": publish_bytes(Message(f"{ROOT}/dev-a/\0", b"", 0)),
    "PUBLISH with QoS 3": publish_bytes(Message(f"{ROOT}/dev-a/report", b"", 3)),
    "PUBLISH with packet identifier 0": publish_bytes(Message(f"{ROOT}/dev-a/report", b""), 0),
    "PUBLISH without a packet identifier": packet(0x32, b"\0\1a"),
    "SUBSCRIBE without a filter": subscribe_bytes(1, [], 1),
    "SUBSCRIBE with QoS 3": subscribe_bytes(1, [DESIRED], 3),
    "SUBSCRIBE with wrong flags": b"\x80" + subscribe_bytes(1, [DESIRED], 1)[1:],
    "UNSUBSCRIBE without a filter": packet(0xA2, b"\0\1"),
    "PUBACK that is too long": packet(0x40, b"\0\1\0"),
    "PUBACK that is too short": packet(0x40, b"\0"),
    "PINGREQ with a body": packet(0xC0, b"\0"),
    "DISCONNECT with a body": packet(0xE0, b"\0"),
}


def test_a_bad_packet_ends_its_connection_with_the_will_and_nothing_else(config):
    async def scenario(bench: Bench) -> dict[str, tuple[bool, list[bytes]]]:
        monitor, other = await bench.client("monitor"), await bench.client("dev-b")
        await monitor.subscribe(PRESENCE)
        outcomes: dict[str, tuple[bool, list[bytes]]] = {}
        for name, data in BAD_PACKETS.items():
            device = await bench.client("dev-a", will=WILL)
            device.send(data)
            outcomes[name] = (await device.is_closed(), [message.payload for message in await monitor.ping()])
        assert await other.ping() == []
        return outcomes

    assert run(OURS, config, scenario) == dict.fromkeys(BAD_PACKETS, (True, [b"offline"]))


def test_amqtt_lets_bad_packets_pass(config):
    """The trap behind the test above: here a client goes on after a packet that must end its connection."""

    async def scenario(bench: Bench) -> bool:
        device = await bench.client("dev-a")
        device.send(BAD_PACKETS["PUBLISH to a wildcard"])
        return await device.ping() == []

    assert run(AMQTT, config, scenario)


def with_flags(flags: int) -> bytes:
    data = bytearray(connect_bytes("dev-a", password_of("dev-a"), "dev-a"))
    data[len(b"\x10\x2b\x00\x04MQTT\x04")] = flags
    return bytes(data)


BAD_CONNECTS = {
    "not MQTT at all": b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n",
    "another packet first": b"\xc0\x00",
    "another protocol": connect_bytes("dev-a", password_of("dev-a"), "dev-a", name="HTTP"),
    "reserved flag": with_flags(0x02 | 0xC0 | 0x01),
    "will of QoS 3": connect_bytes("dev-a", password_of("dev-a"), "dev-a", will=Message(PRESENCE, b"", 3)),
    "will to a wildcard": connect_bytes("dev-a", password_of("dev-a"), "dev-a", will=Message(f"{ROOT}/#", b"")),
    "details of a will that is not there": with_flags(0x02 | 0xC0 | 0x08),
    "cut short": packet(0x10, b"\x00\x04MQTT\x04"),
    "bytes left over": packet(0x10, connect_bytes("dev-a", password_of("dev-a"), "dev-a")[2:] + b"\0"),
    "too long": b"\x10\xff\xff\xff\x7f",
}


def test_a_bad_connect_ends_its_connection_without_an_answer(config):
    async def scenario(bench: Bench) -> dict[str, bool]:
        outcomes: dict[str, bool] = {}
        for name, data in BAD_CONNECTS.items():
            client = await bench.open()
            client.send(data)
            answer = await asyncio.wait_for(asyncio.gather(client.reader.read(), return_exceptions=True), BOUND)
            outcomes[name] = answer == [b""] or isinstance(answer[0], ConnectionError)
        await bench.client("dev-a")
        return outcomes

    assert run(OURS, config, scenario) == dict.fromkeys(BAD_CONNECTS, True)


def test_mqtt_3_1_is_told_that_its_version_is_not_spoken(config):
    async def scenario(bench: Bench) -> bytes:
        client = await bench.open()
        client.send(connect_bytes("dev-a", password_of("dev-a"), "dev-a", name="MQIsdp", level=3))
        return await client.wait_for(CONNACK)

    assert run(OURS, config, scenario) == b"\0\1"


def test_who_never_logs_in_is_cut(tmp_path):
    settings = settings_for(tmp_path, ["dev-a"], connect_timeout_s=0.2)

    async def scenario(bench: Bench) -> list[bool]:
        silent, slow = await bench.open(), await bench.open()
        slow.send(connect_bytes("dev-a", password_of("dev-a"), "dev-a")[:20])
        closed = [await silent.is_closed(), await slow.is_closed()]
        assert await (await bench.client("dev-a")).ping() == []
        return closed

    assert run(OURS, settings.amqtt_config(), scenario) == [True, True]


def test_who_does_not_read_is_cut_and_delays_nobody(tmp_path):
    settings = settings_for(tmp_path, ["cloud", "monitor", "dev-a"], max_unread_bytes=1_000_000)

    async def scenario(bench: Bench) -> bool:
        stuck, monitor, device = await bench.client("cloud"), await bench.client("monitor"), await bench.client("dev-a")
        await stuck.subscribe(f"{ROOT}/dev-a/event")
        await monitor.subscribe(f"{ROOT}/dev-a/event")
        for _ in range(200):
            await device.publish(f"{ROOT}/dev-a/event", bytes(100_000))
            await monitor.message()
        return await stuck.is_closed()

    assert run(OURS, settings.amqtt_config(), scenario)


def test_what_had_come_from_a_client_when_it_was_cut_does_not_count(tmp_path):
    settings = settings_for(tmp_path, ["cloud", "monitor"], max_unread_bytes=1_000)

    async def scenario(bench: Bench) -> list[Message]:
        cloud, stuck, monitor = await bench.client("cloud"), await bench.open(), await bench.client("monitor")
        await monitor.subscribe(f"{ROOT}/+/event")
        for number in range(20):
            await cloud.publish(f"{ROOT}/dev-{number}/desired", bytes(1_000_000), retain=True)
        assert await stuck.connect("cloud", "cloud-stuck") == 0
        event = publish_bytes(Message(f"{ROOT}/dev-a/event", b"", 0))
        stuck.send(subscribe_bytes(1, [f"{ROOT}/+/desired"], 1) + event)
        assert await stuck.is_closed()
        return await monitor.ping()

    assert run(OURS, settings.amqtt_config(), scenario) == []


def test_a_flood_from_one_client_does_not_keep_another_waiting(config):
    async def scenario(bench: Bench) -> int:
        flood, other = await bench.client("dev-a"), await bench.client("dev-b")
        flood.send(PINGREQ_BYTES * 50_000)
        await other.ping()
        return len(flood.reader._buffer)

    assert run(OURS, config, scenario) < 2 * 25_000


@pytest.mark.parametrize("turns", range(8))
def test_a_connection_made_at_the_moment_of_a_shutdown_is_closed(config, turns):
    """At every turn of the event loop between the connection in the kernel and our first look at it."""

    async def scenario(bench: Bench) -> bytes:
        with socket.create_connection(bench.address) as connection:
            for _ in range(turns):
                await asyncio.sleep(0)
            await bench.broker.shutdown()
            connection.settimeout(1)
            with contextlib.suppress(ConnectionError):
                return connection.recv(1)
            return b""

    assert run(OURS, config, scenario) == b""


def test_nothing_is_kept_of_a_client_that_left(config):
    async def scenario(bench: Bench) -> list[int]:
        for ending in (DISCONNECT_BYTES, b"\0\0", None):
            device = await bench.client("dev-a", will=WILL)
            await device.subscribe(DESIRED)
            if ending is None:
                device.cut()
            else:
                device.send(ending)
        broker = bench.broker
        while broker._wires:
            await asyncio.sleep(0)
        return [len(broker._clients), *(len(table) for table in vars(broker._routes).values())]

    assert run(OURS, config, scenario) == [0, 0, 0, 0]
