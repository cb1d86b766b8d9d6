"""What a client hears: quality of service, retained messages, sessions that end with their connection."""

import struct
from typing import Any

import pytest
from cloud.bench.raw_mqtt import (
    PUBACK,
    PUBCOMP,
    PUBREC,
    UNSUBACK,
    Bench,
    Message,
    packet,
    publish_bytes,
    run,
    settings_for,
    text,
)
from shallop_cloud.bench import broker_wire
from shallop_cloud.bench.broker import BenchBroker

ROOT = "shallop/v1"
EVENT = f"{ROOT}/dev-a/event"
REPORT = f"{ROOT}/dev-a/report"


@pytest.fixture
def config(tmp_path) -> dict[str, Any]:
    return settings_for(tmp_path, ["cloud", "monitor", "dev-a"]).amqtt_config()


def test_nothing_is_granted_above_qos_1_and_a_message_comes_with_the_lower_of_two(config):
    async def scenario(bench: Bench) -> tuple[list[int], list[int]]:
        device = await bench.client("dev-a")
        watchers = [await bench.client("monitor", f"watcher-{qos}") for qos in range(3)]
        granted = [(await watcher.subscribe(EVENT, qos=qos))[0] for qos, watcher in enumerate(watchers)]
        device.send(publish_bytes(Message(EVENT, b"", 0)))
        await device.publish(EVENT, b"")
        return granted, [message.qos for watcher in watchers for message in await watcher.ping()]

    assert run(BenchBroker, config, scenario) == ([0, 1, 1], [0, 0, 0, 1, 0, 1])


def test_a_message_of_qos_2_is_delivered_once_however_often_it_is_sent(config):
    async def scenario(bench: Bench) -> list[Message]:
        monitor, device = await bench.client("monitor"), await bench.client("dev-a")
        await monitor.subscribe(EVENT)
        message, packet_id = publish_bytes(Message(EVENT, b"once", 2), 7), struct.pack("!H", 7)
        for again in (message, b"\x3c" + message[1:]):
            device.send(again)
            assert await device.wait_for(PUBREC) == packet_id
        for _ in range(2):
            device.send(packet(0x62, packet_id))
            assert await device.wait_for(PUBCOMP) == packet_id
        device.send(publish_bytes(Message(EVENT, b"next", 2), 7))
        assert await device.wait_for(PUBREC) == packet_id
        return await monitor.ping()

    assert run(BenchBroker, config, scenario) == [Message(EVENT, b"once"), Message(EVENT, b"next")]


def test_the_newest_retained_message_comes_with_every_subscribe_and_its_flag(config):
    async def scenario(bench: Bench) -> list[list[Message]]:
        monitor, device = await bench.client("monitor"), await bench.client("dev-a")
        await device.publish(REPORT, b"old", retain=True)
        await device.publish(REPORT, b"new", retain=True)
        await device.publish(REPORT, b"passing")
        heard: list[list[Message]] = []
        for topic_filter in (REPORT, REPORT, f"{ROOT}/+/report"):
            assert await monitor.subscribe(topic_filter) == [1]
            heard.append(await monitor.ping())
        await device.publish(REPORT, b"live", retain=True)
        heard.append(await monitor.ping())
        return heard

    retained = [Message(REPORT, b"new", retain=True)]
    assert run(BenchBroker, config, scenario) == [retained, retained, retained, [Message(REPORT, b"live")]]


def test_an_empty_retained_message_is_delivered_and_clears_what_was_kept(config):
    async def scenario(bench: Bench) -> list[list[Message]]:
        monitor, device = await bench.client("monitor"), await bench.client("dev-a")
        await device.publish(REPORT, b"kept", retain=True)
        await monitor.subscribe(REPORT)
        heard = [await monitor.ping()]
        await device.publish(REPORT, b"", retain=True)
        heard.append(await monitor.ping())
        await monitor.subscribe(REPORT)
        return [*heard, await monitor.ping()]

    assert run(BenchBroker, config, scenario) == [[Message(REPORT, b"kept", retain=True)], [Message(REPORT, b"")], []]


def test_a_retained_will_is_retained(config):
    async def scenario(bench: Bench) -> list[Message]:
        monitor = await bench.client("monitor")
        await monitor.subscribe(f"{ROOT}/+/presence")
        will = Message(f"{ROOT}/dev-a/presence", b"offline", retain=True)
        (await bench.client("dev-a", will=will)).cut()
        assert await monitor.message()
        late = await bench.client("monitor", "late")
        await late.subscribe(f"{ROOT}/+/presence")
        return await late.ping()

    assert run(BenchBroker, config, scenario) == [Message(f"{ROOT}/dev-a/presence", b"offline", retain=True)]


def test_after_unsubscribe_and_after_reconnecting_nothing_comes_any_more(config):
    async def scenario(bench: Bench) -> list[list[Message]]:
        device, leaver = await bench.client("dev-a"), await bench.client("monitor", "leaver", clean=False)
        await leaver.subscribe(EVENT, REPORT)
        leaver.send(packet(0xA2, b"\0\7" + text(EVENT) + text("never subscribed")))
        assert await leaver.wait_for(UNSUBACK) == b"\0\7"
        await device.publish(EVENT, b"1")
        await device.publish(REPORT, b"2")
        heard = [await leaver.ping()]
        await leaver.close()
        again = await bench.client("monitor", "leaver", clean=False)
        await device.publish(REPORT, b"3")
        return [*heard, await again.ping()]

    assert run(BenchBroker, config, scenario) == [[Message(REPORT, b"2")], []]


def test_a_client_that_acknowledges_nothing_is_cut_when_the_packet_identifiers_run_out(config, monkeypatch):
    monkeypatch.setattr(broker_wire, "MAX_UNACKNOWLEDGED", 3)

    async def scenario(bench: Bench) -> tuple[list[Message], bool]:
        device, careful = await bench.client("dev-a"), await bench.client("monitor", "careful")
        careless = await bench.client("monitor", "careless")
        for client in (careful, careless):
            await client.subscribe(EVENT)
        for number in range(7):
            await device.publish(EVENT, b"%d" % number)
            await careful.message()
        return await careful.ping(), await careless.is_closed()

    assert run(BenchBroker, config, scenario) == ([], True)


def test_a_packet_identifier_is_free_again_when_its_message_was_acknowledged(config, monkeypatch):
    monkeypatch.setattr(broker_wire, "MAX_UNACKNOWLEDGED", 3)

    async def scenario(bench: Bench) -> list[int]:
        device, monitor = await bench.client("dev-a"), await bench.client("monitor")
        await monitor.subscribe(EVENT)
        for _ in range(3):
            await device.publish(EVENT, b"")
        monitor.send(packet(0x40, struct.pack("!H", 2)))
        await device.ping()
        await device.publish(EVENT, b"")
        return [int.from_bytes((await monitor.read())[1][-2:], "big") for _ in range(4)]

    assert run(BenchBroker, config, scenario) == [1, 2, 3, 2]


def test_a_retained_message_of_qos_0_stays_one(config):
    async def scenario(bench: Bench) -> list[Message]:
        monitor, device = await bench.client("monitor"), await bench.client("dev-a")
        device.send(publish_bytes(Message(REPORT, b"x", 0, retain=True)))
        assert await device.ping() == []
        await monitor.subscribe(REPORT)
        return await monitor.ping()

    assert run(BenchBroker, config, scenario) == [Message(REPORT, b"x", 0, retain=True)]


def test_a_burst_in_one_segment_is_answered_in_order(config):
    async def scenario(bench: Bench) -> list[bytes]:
        device = await bench.client("dev-a")
        device.send(b"".join(publish_bytes(Message(EVENT, b"x"), number) for number in range(1, 200)))
        return [await device.wait_for(PUBACK) for _ in range(1, 200)]

    assert run(BenchBroker, config, scenario) == [struct.pack("!H", number) for number in range(1, 200)]


def test_the_process_that_runs_it_can_publish_too(config):
    async def scenario(bench: Bench) -> list[Message]:
        monitor = await bench.client("monitor")
        await monitor.subscribe(REPORT)
        await bench.broker.internal_message_broadcast(REPORT, b"from inside", 1)
        await bench.broker.retain_message(None, REPORT, b"kept", 1)
        heard = await monitor.ping()
        await monitor.subscribe(REPORT)
        return heard + await monitor.ping()

    assert run(BenchBroker, config, scenario) == [
        Message(REPORT, b"from inside"),
        Message(REPORT, b"kept", retain=True),
    ]
