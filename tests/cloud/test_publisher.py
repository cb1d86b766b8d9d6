"""What the publisher sends, and what it records before it does."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence

import pytest
from cloud_world import World
from shallop_cloud.link import publisher
from shallop_cloud.link.publisher import Publisher
from shallop_cloud.store import devices, outgoing
from shallop_cloud.testing.ashore import SIGNER
from shallop_protocol import desired, echo, messages


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
                devices.load(connection, key).published for key in outgoing.unpublished(connection, 10, tidying=False)
            ]
        return len(messages) if self.is_up else 0


@pytest.fixture
def line(world: World) -> Connection:
    return Connection(world)


@pytest.fixture
def sender(world: World, line: Connection) -> Publisher:
    """A publisher whose rounds the test takes, one by one."""
    shore = world.ashore.shore
    return Publisher(shore.database, shore.keyring, shore.topics, line, shore.limits.envelope)


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
    assert (topic, payload, retain) == ("shallop/v1/cloud/keys", world.ashore.shore.keyring.standing.envelope, True)
    topic, payload, retain = line.sent[1]
    assert (topic, retain) == ("shallop/v1/cloud/hello", False)
    assert messages.parse_hello(payload).spread_s == pytest.approx(2 / publisher.HELLO_PER_SECOND, abs=1e-3)
    orders = [index for index, (topic, *_) in enumerate(line.sent) if topic.endswith("/desired")]
    assert [_order(line, index).device for index in orders] == [silent.id.lower()]


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
    version = "1.0.0-" + hashlib.sha512(b"what gzip does not shorten").hexdigest()[:120]
    world.release(version)
    world.device("a")
    other = world.device("b")
    world.order("max: 1\n", "a", release=version)
    world.order("max: 1\n", "b")
    whole = desired.open_desired(world.published(other.id) or b"", {SIGNER.key.keyid: SIGNER.key}, other.id.lower())
    assert whole.deployment is not None
    manifest = desired.referring(whole, [each.digest for each in whole.deployment.instances])
    packed = desired.seal_desired(manifest, SIGNER, limit=len(desired.seal_desired(manifest, SIGNER)) - 1)
    limit = len(packed) + 10
    sender = Publisher(shore.database, shore.keyring, shore.topics, line, limit)
    sender.came_up()
    sender.round()
    orders = [index for index, (topic, *_) in enumerate(line.sent) if topic.endswith("/desired")]
    assert {_order(line, index).device for index in orders} == {other.id.lower()}


def test_what_does_not_fit_goes_by_reference(world: World, line: Connection) -> None:
    shore = world.ashore.shore
    world.release()
    for name in ("a", "b"):
        world.device(name)
        world.order(hashlib.shake_256(b"noise").hexdigest(2_000), name)
    Publisher(shore.database, shore.keyring, shore.topics, line, 1_500).round()
    assert len(line.sent) == 2
    for index in range(2):
        order = _order(line, index)
        assert order.deployment is not None
        assert [(each.content, each.size) for each in order.deployment.instances] == [(None, 4_000)]
        assert len(line.sent[index][1]) <= 1_500


def _echo(device: str, nonce: str, generation: int = 1) -> echo.Echo:
    return echo.Echo(device=device.lower(), nonce=nonce, epoch=1, generation=generation)


def test_an_echo_goes_at_once_signed_and_not_retained(world: World, line: Connection, sender: Publisher) -> None:
    one, other = world.device("a"), world.device("b")
    sender.answer([_echo(one.id, "a" * 16), _echo(other.id, "b" * 16)])
    sender.answer([_echo(one.id, "c" * 16, 2)])
    sender.round()
    trusted = {SIGNER.key.keyid: SIGNER.key}
    assert [topic for topic, _, _ in line.sent] == [f"shallop/v1/{each.id.lower()}/echo" for each in (one, other)]
    assert [retain for _, _, retain in line.sent] == [False, False]
    told = echo.open_echo(line.sent[0][1], trusted, one.id.lower())
    assert told == _echo(one.id, "c" * 16, 2).model_copy(update={"keys": 1})
    line.sent.clear()
    sender.round()
    assert line.sent == []


def test_an_echo_that_cannot_go_at_once_is_forgotten(world: World, line: Connection, sender: Publisher) -> None:
    line.is_up = False
    sender.answer([_echo(world.device().id, "a" * 16)])
    sender.round()
    line.is_up = True
    sender.round()
    assert line.sent == []


@pytest.mark.parametrize(("device_s", "own_s", "ordered_s"), [(None, None, None), (60, None, 60), (60, 5, 5)])
def test_an_order_has_the_term_of_its_deployment_or_else_of_its_device(
    world: World, line: Connection, sender: Publisher, device_s: int | None, own_s: int | None, ordered_s: int | None
) -> None:
    world.release()
    robot = world.device()
    world.must("PATCH", f"/v1/devices/{robot.id}", {"confirm_s": device_s})
    key = world.order("max: 1\n", confirm_s=own_s)
    sender.round()
    assert _order(line).confirm_s == ordered_s
    world.must("POST", f"/v1/deployments/{key}:archive")
    sender.round()
    assert (_order(line).deployment, _order(line).confirm_s) == (None, None)
