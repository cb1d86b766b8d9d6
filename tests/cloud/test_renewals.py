"""After a new key list: what is published by then, in which epoch, and signed by whom."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path

import pytest
from cloud_world import World
from shallop_cloud import keyring, root_keys
from shallop_cloud.link import publisher
from shallop_cloud.link.publisher import Publisher
from shallop_cloud.services import bundles, key_lists
from shallop_cloud.store import devices, renewals, tables
from shallop_cloud.testing.ashore import SEED, SIGNER
from shallop_protocol import desired, dsse, echo, keys, messages
from shallop_protocol.keys import KeyState
from shallop_protocol.topics import Kind


class Broker:
    """What is retained there, by topic, and all that came, in order. It may lose what is delivered."""

    def __init__(self) -> None:
        self.is_up = True
        self.loses = False
        self.retained: dict[str, bytes] = {}
        self.came: list[tuple[str, bytes]] = []

    def publish_many(self, messages: Sequence[tuple[str, bytes]], *, retain: bool) -> int:
        self.came += messages
        if retain:
            self.retained |= dict(messages)
        return len(messages)

    def deliver_many(self, messages: Sequence[tuple[str, bytes]], *, retain: bool) -> bool:
        if not self.loses:
            self.publish_many(messages, retain=retain)
        return not self.loses


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def sender(world: World, broker: Broker) -> Publisher:
    """A publisher that came up; the test takes its rounds."""
    shore = world.ashore.shore
    made = Publisher(shore.database, shore.keyring, shore.topics, broker, shore.limits.envelope)
    made.came_up()
    return made


def _publish(world: World, *added: dsse.PublicKey, ends: KeyState | None = None, epoch: int = 0) -> keys.KeyList:
    """Puts the next list in force; ``ends`` is what becomes of the first key."""
    shore = world.ashore.shore
    root = root_keys.load(world.directory / keyring.ROOT_KEY)
    known = shore.keyring.standing.listed
    entries = [each.model_copy(update={"state": ends}) if ends and each.key == SIGNER.key.text else each
               for each in known.signing_keys]  # fmt: skip
    entries += [keys.SigningKey(key=key.text, state=KeyState.ACTIVE) for key in added]
    told = {"version": known.version + 1, "epoch": known.epoch + epoch, "signing_keys": tuple(entries)}
    new = known.model_copy(update=told)
    key_lists.publish(shore, keys.seal_key_list(new, [root]), "tester")
    return new


def _order(world: World, broker: Broker, key: str) -> desired.Desired:
    """What is retained for a device, verified by the newest list."""
    active = world.ashore.shore.keyring.standing.listed.active
    return desired.open_desired(broker.retained[f"shallop/v1/{key.lower()}/desired"], active, key.lower())


def test_a_new_list_goes_first_and_all_that_is_retained_is_sealed_anew(
    world: World, broker: Broker, sender: Publisher
) -> None:
    world.release()
    robots = [world.device(name) for name in ("a", "b", "c")]
    for name in ("a", "b", "c"):
        world.order("max: 1\n", name)
    for robot in robots:
        robot.settle()
    sender.round()
    broker.came.clear()
    _publish(world, world.ashore.shore.keyring.generate())
    _publish(world, ends=KeyState.RETIRED)
    sender.round()
    sender.round()
    assert broker.came[0] == ("shallop/v1/cloud/keys", world.ashore.shore.keyring.standing.envelope)
    assert [_order(world, broker, robot.id).generation for robot in robots] == [1, 1, 1]
    assert world.must("GET", "/v1/keys")["renewing"] == 0
    broker.came.clear()
    sender.round()
    assert broker.came == []


def test_a_list_is_repeated_only_while_a_robot_that_is_there_lacks_it(
    world: World, broker: Broker, sender: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "REASSERT_EVERY_S", 0.0)
    world.release()
    robot = world.device("a")
    with world.ashore.shore.database.write() as connection:
        connection.execute(tables.devices.update().values(enrolled_at=datetime.datetime.now(datetime.UTC)))

    def is_repeated() -> bool:
        broker.came.clear()
        sender.round()
        return [topic for topic, _ in broker.came] == ["shallop/v1/cloud/keys"]

    sender.round()
    assert not is_repeated()
    birth = messages.Presence(device=robot.id.lower(), status="online", incarnation="one", connection=1)
    world.hear(robot.id, Kind.PRESENCE, birth.to_bytes())
    assert is_repeated()
    assert is_repeated()
    world.hear(robot.id, Kind.REPORT, robot.report().model_copy(update={"keys": 1}).to_bytes())
    assert not is_repeated()


def test_what_the_broker_did_not_get_is_sealed_again(
    world: World, broker: Broker, sender: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "BATCH", 1)
    world.release()
    robots = [world.device(name) for name in ("a", "b")]
    for robot, name in zip(robots, ("a", "b"), strict=True):
        world.order("max: 1\n", name)
        robot.settle()
    sender.round()
    _publish(world, world.ashore.shore.keyring.generate())
    broker.loses = True
    sender.round()
    assert world.must("GET", "/v1/keys")["renewing"] == 2
    broker.loses = False
    left = []
    for _ in range(3):
        sender.round()
        left.append(world.must("GET", "/v1/keys")["renewing"])
    assert left == [1, 0, 0]


def test_a_key_that_leaked_ends_though_robots_took_the_highest_number(
    world: World, broker: Broker, sender: Publisher
) -> None:
    world.release()
    robot, other = world.device("a"), world.device("b")
    world.order("max: 1\n", "a")
    robot.settle()
    stolen = world.published(robot.id)
    assert stolen is not None
    forged = desired.open_desired(stolen, {SIGNER.key.keyid: SIGNER.key}, robot.id.lower()).model_copy(
        update={"generation": 2**53 - 1}
    )
    _publish(world, world.ashore.shore.keyring.generate(), ends=KeyState.REVOKED, epoch=1)
    sender.round()
    order = _order(world, broker, robot.id)
    assert (order.epoch, order.generation) == (2, 2)
    assert (order.epoch, order.generation) > (forged.epoch, forged.generation)
    assert world.must("GET", "/v1/devices/a")["generation"] == 2
    with world.ashore.shore.database.read() as connection:
        assert devices.load(connection, other.id).epoch == 2
    new = world.device("c")
    world.order("max: 2\n", "c")
    sender.round()
    assert _order(world, broker, new.id).epoch == 2


def test_an_epoch_is_raised_in_batches_that_a_crash_may_part(
    world: World, broker: Broker, sender: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "BATCH", 2)
    world.release()
    made = [world.device(name).id for name in ("a", "b", "c", "d", "e")]
    for name in ("a", "b", "c", "d", "e"):
        world.order("max: 1\n", name)
    sender.round()
    listed = _publish(world, epoch=1)
    broker.came.clear()
    raised: list[int] = []
    whole = renewals.raise_many

    def crash(*arguments: object) -> None:
        if raised:
            raise RuntimeError("the power is cut")
        raised.append(1)
        whole(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(renewals, "raise_many", crash)
    with pytest.raises(RuntimeError):
        sender.round()
    assert [topic for topic, _ in broker.came] == ["shallop/v1/cloud/keys"]
    monkeypatch.setattr(renewals, "raise_many", whole)
    shore = world.ashore.shore
    again = Publisher(shore.database, shore.keyring, shore.topics, broker, shore.limits.envelope)
    again.came_up()
    again.round()
    assert {_order(world, broker, key).epoch for key in made} == {listed.epoch}


def test_an_order_of_an_earlier_epoch_never_leaves(world: World, broker: Broker, sender: Publisher) -> None:
    world.release()
    robot = world.device("a")
    _publish(world, epoch=1)
    sender.round()
    sender.round()
    with world.ashore.shore.database.write() as connection:  # made by a server that did not know the list yet
        devices.update(connection, robot.id, epoch=1, sealed=1)
    world.order("max: 1\n", "a")
    sender.round()
    assert f"shallop/v1/{robot.id.lower()}/desired" not in broker.retained
    sender.round()
    assert _order(world, broker, robot.id).epoch == 2


def test_a_bundle_is_of_the_present_epoch(world: World) -> None:
    world.release()
    robot = world.device("a")
    world.order("max: 1\n", "a")
    listed = _publish(world, epoch=1)
    made = bundles.bundle(world.ashore.shore, robot.id)
    order = desired.open_desired(made.envelope, listed.active, robot.id.lower())
    assert (order.epoch, order.generation) == (2, 2)


def test_a_server_without_a_key_that_counts_sends_nothing(world: World, broker: Broker, tmp_path: Path) -> None:
    shore = world.ashore.shore
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / keyring.SIGNING_KEY).write_text(SEED.hex())
    other = keyring.Keyring(tmp_path / "other", shore.database)
    world.release()
    robot = world.device("a")
    world.order("max: 1\n", "a")
    _publish(world, shore.keyring.generate(), ends=KeyState.RETIRED)
    idle = Publisher(shore.database, other, shore.topics, broker, shore.limits.envelope)
    idle.came_up()
    idle.answer([echo.Echo(device=robot.id.lower(), nonce="a" * 16, epoch=1, generation=1)])
    idle.round()
    assert (other.signers, broker.came) == ((), [])
