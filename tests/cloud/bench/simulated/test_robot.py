"""A simulated robot says what the real agent says: the same events to both, and the same reports from both."""

from __future__ import annotations

import datetime
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keys_world
import pytest
from shallop_cloud.bench.simulated.robot import Crew, Robot
from shallop_cloud.bench.simulated.roster import Seat
from shallop_device import agent, inbox, testing
from shallop_device.agent import HEARTBEAT_S, PRESENCE_S
from shallop_protocol import desired, dsse, messages
from shallop_protocol.topics import Kind

Said = tuple[Kind, dict[str, Any]]
NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
AGENT = messages.Agent(version="0", started_at=NOW)


class Simulated:
    """A simulated robot; the test plays broker and clock."""

    def __init__(self, shore: testing.Shore, rejects: str | None = None) -> None:
        self.now = 0.0
        self.said: list[tuple[Kind, bytes]] = []
        crew = Crew(keys_world.ROOTS, keys_world.a_list(shore.signer.key), AGENT, random.Random(1))
        seat = Seat(shore.device, "amr-1", rejects=rejects)
        self.robot = Robot(seat, crew, lambda kind, payload: self.said.append((kind, payload)), self.now)
        self.due = self.robot.turn(self.now)

    def connect(self) -> None:
        self.robot.next_connection()
        self.robot.greet()
        self.due = self.robot.turn(self.now)

    def lose(self) -> None:
        self.robot.lose()

    def order(self, payload: bytes) -> None:
        self.robot.order(payload)
        self.due = self.robot.turn(self.now)

    def hello(self, payload: bytes) -> None:
        self.robot.hello(payload, self.now)
        self.due = self.robot.turn(self.now)

    def acknowledge(self) -> None:
        self.robot.answered(acknowledged=True)
        self.due = self.robot.turn(self.now)

    def sleep(self) -> None:
        """Until something is due."""
        self.now = self.due
        self.due = self.robot.turn(self.now)

    @property
    def report(self) -> messages.Report:
        return testing.read_report([payload for kind, payload in self.said if kind is Kind.REPORT][-1])

    @property
    def statuses(self) -> dict[str, str]:
        return {each.id: f"{each.activity.value}/{each.error.value}" for each in self.report.deployments}

    def settle(self) -> None:
        for _ in range(10):
            self.acknowledge()
            if self.robot.is_settled:
                return
        raise AssertionError("it does not come to rest")


class Real:
    """The agent with its worker, store and disk; the test plays broker and clock."""

    def __init__(self, directory: Path, shore: testing.Shore) -> None:
        self.hull = testing.Robot(directory, shore)
        self.link = testing.FakeLink()
        identity = self.hull.store.identity
        assert identity is not None
        self._agent = agent.Agent(
            identity, self.hull.store, self.hull.worker, self.link, time=self.hull.clock, rng=random.Random(1)
        )
        self._agent.start()
        self._agent.turn()

    @property
    def said(self) -> list[tuple[Kind, bytes]]:
        return [(each.kind, each.payload) for each in self.link.published]

    def connect(self) -> None:
        self._handle(self.link.accept())

    def lose(self) -> None:
        self._handle(self.link.lose())
        wait = self._agent.turn()
        while len(self.link.opened) < 2:
            self.hull.clock.sleep(wait)
            wait = self._agent.turn()

    def order(self, payload: bytes) -> None:
        self._handle(inbox.Ordered(payload))

    def hello(self, payload: bytes) -> None:
        self._handle(inbox.Greeted(payload))

    def acknowledge(self) -> None:
        number = max(each.number for each in self.link.published if each.kind is Kind.REPORT)
        self._handle(inbox.Acknowledged(self.link.opened[-1], number))

    def _handle(self, item: inbox.Item) -> None:
        self._agent.handle(item)
        for _ in range(20):
            if self._agent.turn() > 0:
                return
        raise AssertionError("the agent has something to do for ever")


@pytest.fixture
def shore() -> testing.Shore:
    return testing.Shore()


@pytest.fixture
def simulated(shore: testing.Shore) -> Simulated:
    made = Simulated(shore)
    made.connect()
    made.settle()
    return made


@pytest.fixture
def both(tmp_path: Path, shore: testing.Shore) -> Iterator[Callable[[str, Any], None]]:
    """Brings the same event to both, and holds what they say against each other."""
    real, model = Real(tmp_path, shore), Simulated(shore)

    def happen(event: str, *arguments: Any) -> None:
        for each in (real, model):
            getattr(each, event)(*arguments)
        assert _facts(model.said) == _facts(real.said)

    yield happen
    real.hull.store.close()


def _facts(said: list[tuple[Kind, bytes]]) -> list[Said]:
    """What was said, without what two robots cannot have in common: times, the numbers of superseded reports, and what
    is about freshness, for which simulated robots do not ask.
    """
    facts: list[Said] = []
    differs = {"incarnation", "seq", "at", "clock_synced", "agent"}
    for kind, payload in said:
        if kind is Kind.REPORT:
            report = testing.read_report(payload).model_dump(
                exclude={"incarnation", "seq", "at", "clock_synced", "agent", "keys", "nonce", "stale"}
            )
            for each in report["deployments"]:
                del each["since"]
            facts.append((kind, report))
        else:
            facts.append((kind, messages.parse(messages.Presence, payload, 10_000).model_dump(exclude=differs)))
    return facts


def test_orders_of_every_kind_bring_what_the_agent_says(both: Callable[..., None], shore: testing.Shore) -> None:
    first, second, third = (shore.manifest({"a/f": str(number), "g": "same"}) for number in range(3))
    wrong = shore.manifest({"f": "wrong"}).model_copy(update={"digest": first.digest})
    both("connect")
    both("acknowledge")
    order = shore.seal(shore.order(first))
    for event in [order, order, shore.seal(shore.order(second, first.id)), b"", b"garbage"]:
        both("order", event)
        both("acknowledge")
        both("acknowledge")
    both("order", shore.seal(shore.order(second)))  # in force alone: the first comes off, told in two reports
    both("acknowledge")
    both("acknowledge")
    both("order", shore.seal(shore.order(wrong, second.id)))
    both("acknowledge")
    both("acknowledge")
    both("order", order)  # older
    both("order", shore.seal(shore.order(third, second.id)))  # while the report of that is on its way
    both("acknowledge")
    both("hello", messages.Hello(spread_s=0.0).to_bytes())
    both("hello", b"no hello")
    both("acknowledge")
    both("order", shore.seal(shore.order(None)))
    for _ in range(4):
        both("acknowledge")


def test_a_lost_connection_brings_what_the_agent_says(both: Callable[..., None], shore: testing.Shore) -> None:
    both("connect")
    both("acknowledge")
    both("order", shore.seal(shore.order(shore.manifest({"f": "1"}))))
    both("lose")
    both("connect")
    both("acknowledge")


def test_numbers_rise_and_a_repeated_report_keeps_its_own(simulated: Simulated, shore: testing.Shore) -> None:
    order = shore.seal(shore.order(shore.manifest({"f": "1"})))
    simulated.order(order)
    simulated.acknowledge()
    told = simulated.report
    simulated.order(order)
    assert simulated.report == told
    simulated.acknowledge()
    simulated.hello(messages.Hello().to_bytes())
    assert simulated.report.seq == told.seq + 1


def test_a_hello_is_answered_within_its_spread(simulated: Simulated) -> None:
    simulated.hello(messages.Hello(spread_s=10.0).to_bytes())
    said = len(simulated.said)
    assert 0 < simulated.due < 10.0
    simulated.sleep()
    assert [kind for kind, _ in simulated.said[said:]] == [Kind.PRESENCE, Kind.REPORT]


def test_presence_is_said_now_and_then_and_a_new_report_more_rarely(simulated: Simulated) -> None:
    said, seq = len(simulated.said), simulated.report.seq
    assert PRESENCE_S / 2 <= simulated.due <= PRESENCE_S
    due = 0.0
    while simulated.said[-1][0] is not Kind.REPORT or len(simulated.said) == said:
        due = simulated.due
        simulated.sleep()
    assert HEARTBEAT_S / 2 <= due <= HEARTBEAT_S
    told = [kind for kind, _ in simulated.said[said:]]
    assert told == [*[Kind.PRESENCE] * (len(told) - 1), Kind.REPORT]
    assert simulated.report.seq == seq + 1


def test_a_full_disk_holds_up_until_there_is_room(simulated: Simulated, shore: testing.Shore) -> None:
    manifest = shore.manifest({"f": "1"})
    simulated.robot.hands.disk.is_full = True
    simulated.order(shore.seal(shore.order(manifest)))
    assert simulated.statuses == {manifest.id: "queued/retrying"}
    entry = simulated.report.deployments[0]
    assert entry.reason is not None
    assert (entry.reason.code, entry.attempts) == ("disk_full", 1)
    assert entry.next_attempt_at is not None
    simulated.acknowledge()
    simulated.sleep()
    assert simulated.report.deployments[0].attempts == 2
    simulated.acknowledge()
    simulated.robot.hands.disk.is_full = False
    simulated.sleep()
    assert simulated.statuses == {manifest.id: "deployed/none"}


def test_what_it_rejects_fails_and_the_fallback_stays(shore: testing.Shore) -> None:
    simulated = Simulated(shore, rejects="max_speed: 12")
    simulated.connect()
    good, bad = shore.manifest({"f": "max_speed: 1"}), shore.manifest({"f": "max_speed: 12.5"})
    simulated.order(shore.seal(shore.order(good)))
    simulated.settle()
    simulated.order(shore.seal(shore.order(bad, good.id)))
    simulated.settle()
    assert simulated.statuses == {good.id: "deployed/none", bad.id: "archived/failed"}
    assert simulated.robot.hands.disk.current == good.id


def test_a_power_cut_leaves_memory_and_disk(simulated: Simulated, shore: testing.Shore) -> None:
    manifest = shore.manifest({"f": "1"})
    simulated.order(shore.seal(shore.order(manifest)))
    before = simulated.report
    simulated.robot.lose_power(simulated.now)
    assert not simulated.robot.is_online
    simulated.connect()
    assert simulated.report == before
    assert simulated.robot.connection == 2


def test_a_lost_database_is_another_incarnation_on_the_same_disk(simulated: Simulated, shore: testing.Shore) -> None:
    manifest = shore.manifest({"f": "1"})
    order = shore.seal(shore.order(manifest))
    simulated.order(order)
    before = simulated.report
    simulated.robot.lose_database(simulated.now)
    simulated.connect()
    after = simulated.report
    assert (after.seq, after.generation, after.current, after.deployments) == (1, 0, manifest.id, ())
    assert after.incarnation != before.incarnation
    simulated.order(order)
    simulated.settle()
    assert simulated.statuses == {manifest.id: "deployed/none"}


def test_a_report_that_was_given_up_is_said_again(simulated: Simulated, shore: testing.Shore) -> None:
    simulated.order(shore.seal(shore.order(shore.manifest({"f": "1"}))))
    said = len(simulated.said)
    simulated.robot.answered(acknowledged=False)
    simulated.robot.turn(simulated.now)
    assert simulated.said[said:] == simulated.said[said - 1 : said]


def test_a_wrong_clock_is_told_and_decides_nothing(simulated: Simulated, shore: testing.Shore) -> None:
    simulated.robot.clock_off = -50 * 365.25 * 86_400
    simulated.order(shore.seal(shore.order(shore.manifest({"f": "1"}))))
    assert simulated.report.at.year < 1980
    assert not simulated.report.clock_synced
    assert simulated.report.deployments[0].activity.value == "deployed"


def test_an_order_by_a_new_key_waits_for_the_list_that_names_it(simulated: Simulated, shore: testing.Shore) -> None:
    successor = dsse.signer_from_seed(bytes(32))
    manifest = shore.manifest({"f": "1"})
    order = shore.order(manifest).model_copy(update={"epoch": 2})
    simulated.order(desired.seal_desired(order, successor))
    assert simulated.report.refused is not None
    assert simulated.report.refused.code == "bad_signature"
    simulated.acknowledge()
    simulated.robot.renew(keys_world.a_list(successor.key, version=2, epoch=2))
    simulated.settle()
    assert simulated.statuses == {manifest.id: "deployed/none"}
    assert (simulated.report.keys, simulated.report.epoch) == (2, 2)
    simulated.robot.renew(keys_world.a_list(shore.signer.key))
    assert simulated.report.keys == 2
