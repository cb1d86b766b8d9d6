"""What the publisher sends, and what it records before it does."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest
from cloud_world import World
from shallop_cloud.link import publisher
from shallop_cloud.link.publisher import Publisher
from shallop_cloud.store import devices
from shallop_cloud.testing.ashore import SIGNER
from shallop_protocol import desired, messages


class Connection:
    """The broker's side: what came, and what the database said at that moment of the device."""

    def __init__(self, world: World) -> None:
        self.is_up = True
        self.sent: list[tuple[str, bytes, bool]] = []
        self.recorded: list[int] = []
        self._world = world

    def publish_many(self, messages: Sequence[tuple[str, bytes]], *, retain: bool) -> int:
        self.sent += [(topic, payload, retain) for topic, payload in messages]
        with self._world.ashore.shore.database.read() as connection:
            self.recorded += [
                devices.load(connection, key).published for key in devices.unpublished(connection, 10, tidying=False)
            ]
        return len(messages) if self.is_up else 0


@pytest.fixture
def line(world: World) -> Connection:
    return Connection(world)


@pytest.fixture
def sender(world: World, line: Connection) -> Publisher:
    """A publisher whose rounds the test takes, one by one."""
    shore = world.ashore.shore
    return Publisher(shore.database, shore.signer, shore.topics, line, shore.limits.envelope)


def _order(line: Connection, index: int = -1) -> desired.Desired:
    topic, payload, retain = line.sent[index]
    assert retain
    return desired.open_desired(payload, {SIGNER.key.keyid: SIGNER.key}, topic.split("/")[-2])


def test_a_new_order_is_sent_once(world: World, line: Connection, sender: Publisher) -> None:
    world.release()
    robot = world.device()
    key = world.order("max: 1\n")
    sender.round()
    sender.round()
    assert [topic for topic, _, _ in line.sent] == [f"shallop/v1/{robot.id.lower()}/desired"]
    order = _order(line)
    assert order.deployment is not None
    assert (order.generation, order.deployment.id, order.fallback) == (1, key, None)
    assert [instance.content for instance in order.deployment.instances] == ["max: 1\n"]


def test_it_is_recorded_before_it_is_sent(world: World, line: Connection, sender: Publisher) -> None:
    world.release()
    world.device()
    world.order("max: 1\n")
    sender.round()
    assert line.recorded == []


def test_nothing_is_sent_or_recorded_while_the_broker_is_away(
    world: World, line: Connection, sender: Publisher
) -> None:
    world.release()
    robot = world.device()
    world.order("max: 1\n")
    line.is_up = False
    sender.round()
    assert line.sent == []
    with world.ashore.shore.database.read() as connection:
        assert devices.load(connection, robot.id).published == 0


def test_on_connecting_it_says_hello_and_repeats_what_is_not_answered(
    world: World, line: Connection, sender: Publisher
) -> None:
    world.release()
    answered, silent = world.device("a"), world.device("b")
    world.order("max: 1\n", "a")
    answered.settle()
    world.order("max: 2\n", "b")
    sender.round()
    line.sent.clear()
    sender.came_up()
    sender.round()
    topic, payload, retain = line.sent[0]
    assert (topic, retain) == ("shallop/v1/cloud/hello", False)
    assert messages.parse_hello(payload).spread_s == pytest.approx(2 / publisher.HELLO_PER_SECOND, abs=1e-3)
    assert [_order(line, index).device for index in range(1, len(line.sent))] == [silent.id.lower()]


def test_a_device_with_a_new_memory_is_told_again(world: World, line: Connection, sender: Publisher) -> None:
    world.release()
    robot = world.device()
    world.order("max: 1\n")
    robot.settle()
    type(robot)(world, robot.id, incarnation="two").tell()
    assert world.publisher.again == [robot.id]
    sender.assert_again(robot.id)
    sender.round()
    assert _order(line).generation == 1


def test_taking_everything_off_is_an_order(world: World, line: Connection, sender: Publisher) -> None:
    world.release()
    robot = world.device()
    key = world.order("max: 1\n")
    robot.settle()
    world.must("POST", f"/v1/deployments/{key}:archive")
    sender.round()
    order = _order(line)
    assert (order.deployment, order.generation) == (None, 2)


def test_orders_that_only_tidy_up_wait_for_the_others(world: World, line: Connection, sender: Publisher) -> None:
    world.release()
    done, waiting = world.device("a"), world.device("b")
    world.order("max: 1\n", "a")
    done.settle()
    world.order("max: 2\n", "a")
    done.obey()
    done.tell()
    world.order("max: 1\n", "b")
    sender.round()
    assert [(_order(line).device, _order(line).generation)] == [(waiting.id.lower(), 1)]
    deadline = time.monotonic() + 5
    while len(line.sent) < 2 and time.monotonic() < deadline:
        sender.round()
    assert [(_order(line).device, _order(line).generation)] == [(done.id.lower(), 3)]


def test_an_order_that_does_not_fit_any_more_stops_no_other(world: World, line: Connection) -> None:
    shore = world.ashore.shore
    world.release()
    world.device("a")
    other = world.device("b")
    world.order("\n".join(f"k{number}: {number * number}" for number in range(300)), "a")
    world.order("max: 1\n", "b")
    Publisher(shore.database, shore.signer, shore.topics, line, 1_500).round()
    assert [_order(line, index).device for index in range(len(line.sent))] == [other.id.lower()]
