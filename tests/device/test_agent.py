"""The agent between worker and link, in virtual time: the test plays the broker."""

from __future__ import annotations

import random

import pytest
from shallop_device import agent, errors, inbox, testing
from shallop_protocol import messages
from shallop_protocol.statuses import Activity
from shallop_protocol.topics import Kind


class Bench:
    """An agent whose link and clock are the test's."""

    def __init__(self, robot: testing.Robot, **more) -> None:
        self.robot = robot
        self.clock = robot.clock
        self.link = testing.FakeLink()
        who = robot.store.identity
        assert who is not None
        self.agent = agent.Agent(
            who,
            robot.store,
            robot.worker,
            self.link,
            time=robot.clock,
            rng=random.Random(1),
            **{"heartbeat": 900, **more},
        )

    def connect(self) -> None:
        self.agent.turn()
        self.agent.handle(self.link.accept())
        self.echo()

    def echo(self) -> None:
        """The cloud answers what the newest report asks."""
        self.agent.handle(inbox.Echoed(self.robot.shore.echo(self.robot.report)))

    def sleep_until_due(self) -> float:
        seconds = self.agent.turn()
        self.clock.sleep(seconds)
        self.agent.turn()
        return seconds

    def reconnect(self) -> float:
        """Waits for the next attempt to connect; the seconds that it took."""
        opened, slept = len(self.link.opened), 0.0
        while len(self.link.opened) == opened:
            slept += self.sleep_until_due()
        return slept

    def answer(self) -> None:
        """The broker acknowledges until nothing more is published."""
        while True:
            before = len(self.link.published)
            self.agent.turn()
            if len(self.link.published) == before:
                return
            self.agent.handle(self.link.acknowledge())

    def reports(self) -> list[messages.Report]:
        found = [message for message in self.link.published if message.kind is Kind.REPORT]
        return [testing.read_report(message.payload) for message in found]


@pytest.fixture
def bench(robot) -> Bench:
    return Bench(robot)


def test_birth_then_report_then_silence(bench):
    bench.connect()
    bench.answer()

    birth, report = bench.link.published
    assert messages.parse_presence(birth.payload, "dev-0123456789abcdef") == messages.Presence(
        device="dev-0123456789abcdef", status="online", incarnation=bench.robot.store.incarnation, connection=1
    )
    assert testing.read_report(report.payload) == bench.robot.report
    assert bench.robot.store.report.sent
    assert bench.agent.turn() > 400


def test_an_order_is_worked_on_and_reported_once(bench, shore):
    bench.connect()
    bench.answer()
    manifest = shore.manifest({"f": "1"})

    bench.agent.handle(inbox.Ordered(shore.seal(shore.order(manifest))))
    bench.answer()

    assert [report.current for report in bench.reports()] == [None, manifest.id]


def test_the_order_that_the_broker_keeps_is_answered_once_and_a_repeated_one_anew(bench, shore):
    kept = shore.seal(shore.order(shore.manifest({"f": "1"})))
    bench.connect()
    bench.agent.handle(inbox.Ordered(kept))
    bench.answer()
    bench.agent.handle(bench.link.lose())
    bench.reconnect()
    before = len(bench.reports())
    bench.agent.handle(bench.link.accept())
    bench.agent.turn()
    bench.agent.handle(inbox.Ordered(kept))
    bench.agent.handle(bench.link.acknowledge())
    bench.answer()
    assert [report.seq for report in bench.reports()[before:]] == [bench.robot.report.seq]
    bench.agent.handle(inbox.Ordered(kept))
    bench.answer()
    assert [report.seq for report in bench.reports()[before:]] == 2 * [bench.robot.report.seq]


def test_one_report_is_in_flight_and_the_newest_follows(bench, shore):
    bench.connect()
    bench.agent.turn()
    for text in ("1", "2"):
        bench.agent.handle(inbox.Ordered(shore.seal(shore.order(shore.manifest({"f": text})))))
        bench.agent.turn()
    assert [report.generation for report in bench.reports()] == [0]

    bench.agent.handle(bench.link.acknowledge())
    bench.answer()

    generations = [report.generation for report in bench.reports()]
    assert (generations[0], generations[-1], 1 in generations) == (0, 2, False)


def test_each_outcome_is_told_where_the_line_lets_it(bench, shore):
    """A replaced deployment is seen removing before it is seen archived."""
    bench.connect()
    first, second = (shore.manifest({"f": text}) for text in ("1", "2"))
    for order in (shore.order(first), shore.order(second, fallback=first.id), shore.order(second)):
        bench.agent.handle(inbox.Ordered(shore.seal(order)))
        bench.answer()

    told = [(entry.id, entry.activity.value) for report in bench.reports() for entry in report.deployments]
    path = [activity for key, activity in told if key == first.id]
    assert list(dict.fromkeys(path)) == ["deployed", "removing", "archived"]


def test_a_connection_that_acknowledges_nothing_is_given_up(bench):
    bench.connect()
    bench.agent.turn()

    assert bench.sleep_until_due() == agent.ACKNOWLEDGE_S

    assert not bench.link.is_up
    assert not bench.robot.store.report.sent
    assert 0 < bench.reconnect() <= 1.0
    bench.agent.handle(bench.link.accept())
    bench.answer()
    assert len(bench.reports()) == 2
    assert bench.robot.store.report.sent


def test_nothing_is_published_while_offline(bench, shore):
    bench.agent.turn()
    bench.agent.handle(inbox.Ordered(shore.seal(shore.order(shore.manifest({"f": "1"})))))
    bench.agent.turn()

    assert bench.link.published == []
    assert bench.robot.visible() == {"f": "1"}


def test_the_order_is_healed_without_any_broker(robot, shore):
    robot.take(shore.order(shore.manifest({"f": "1"})))
    robot.settle()
    (robot.root / "current/f").write_text("x")
    bench = Bench(robot)

    bench.agent.start()
    bench.agent.turn()

    assert robot.visible() == {"f": "1"}


def test_reconnecting_waits_longer_each_time_with_jitter(bench):
    waits: list[float] = []
    bench.agent.turn()
    for _ in range(30):
        bench.agent.handle(bench.link.lose())
        waits.append(bench.reconnect())

    assert bench.link.opened == list(range(1, 32))
    assert all(0 < wait <= min(2**number, 300) for number, wait in enumerate(waits))
    assert max(waits) > 30
    assert len(set(waits)) == 30


@pytest.mark.parametrize("trouble", ["refused", "taken_over"])
def test_an_unwelcome_device_waits_at_least_a_minute(trouble, bench):
    bench.agent.turn()
    bench.agent.handle(inbox.Lost(1, "not authorized", trouble))

    assert 60 <= bench.sleep_until_due() <= 120
    assert bench.link.opened == [1, 2]
    assert (bench.robot.store.first_event() is not None) == (trouble == "taken_over")


def test_a_short_connection_does_not_shorten_the_next_wait(bench):
    """Two agents with one identity throw each other out; MQTT 3.1.1 does not say so."""
    bench.agent.turn()
    waits: list[float] = []
    for _ in range(12):
        bench.agent.handle(bench.link.accept())
        bench.agent.handle(bench.link.lose())
        waits.append(bench.reconnect())
    assert max(waits) > 60

    bench.agent.handle(bench.link.accept())
    bench.clock.sleep(agent.SETTLED_S)
    bench.agent.handle(bench.link.lose())
    assert bench.reconnect() <= 1


def test_a_reconnect_says_the_report_again(bench):
    bench.connect()
    bench.answer()
    bench.agent.handle(bench.link.lose())
    bench.sleep_until_due()

    bench.agent.handle(bench.link.accept())
    bench.answer()

    first, second = bench.reports()
    assert first.nonce != second.nonce, "each connection has a question of its own"
    assert second == first.model_copy(update={"seq": second.seq, "at": second.at, "nonce": second.nonce})


def test_items_of_an_earlier_connection_are_ignored(bench):
    bench.connect()
    bench.agent.turn()
    late = [bench.link.acknowledge(), bench.link.lose(), inbox.Connected(1)]
    bench.agent.handle(bench.link.lose())
    bench.sleep_until_due()
    bench.agent.handle(bench.link.accept())

    for item in late:
        bench.agent.handle(item)
    bench.agent.turn()

    assert not bench.robot.store.report.sent
    assert len(bench.reports()) == 2


def test_a_hello_is_answered_once_within_its_spread(bench):
    bench.connect()
    bench.answer()
    for spread in (10.0, 3600.0):
        bench.agent.handle(inbox.Greeted(messages.Hello(spread_s=spread).to_bytes()))

    assert 0 < bench.sleep_until_due() <= 10
    assert len(bench.reports()) == 2
    bench.agent.handle(bench.link.acknowledge())
    assert bench.agent.turn() > 100


def test_connections_that_are_cut_again_and_again_are_told_of_once(bench):
    for _ in range(agent.CUT_SHORT + 2):
        bench.connect()
        bench.agent.handle(bench.link.lose())
        bench.sleep_until_due()

    bench.connect()
    bench.answer()

    events = [each.payload for each in bench.link.published if each.kind is Kind.EVENT]
    assert [messages.parse_event(body, "dev-0123456789abcdef").code for body in events] == ["connections_cut_short"]


@pytest.mark.parametrize("payload", [b"", b"{}x", b'{"v":1,"spread_s":-1}', b'{"v":1,"spread_s":1e9}', b"[" * 9000])
def test_a_bad_hello_is_ignored(payload, bench):
    bench.connect()
    bench.answer()

    bench.agent.handle(inbox.Greeted(payload))

    assert bench.agent.turn() > 100


def test_the_heartbeat_repeats_the_report_and_reads_the_files_back(bench, shore):
    bench.connect()
    bench.agent.handle(inbox.Ordered(shore.seal(shore.order(shore.manifest({"f": "1"})))))
    bench.answer()
    (bench.robot.root / "current/f").write_text("x")
    before = bench.reports()

    began = bench.clock.monotonic()
    while len(bench.reports()) == len(before):
        bench.sleep_until_due()
    assert 450 <= bench.clock.monotonic() - began <= 900
    bench.agent.handle(bench.link.acknowledge())
    while bench.clock.monotonic() - began < 900:
        bench.sleep_until_due()

    assert bench.reports()[len(before)].current == before[-1].current
    assert bench.robot.visible() == {"f": "1"}


def test_presence_is_said_more_often_than_the_report(robot):
    bench = Bench(robot, heartbeat=86_400, presence=3600)
    bench.connect()
    bench.answer()
    said = len(bench.link.published)

    while bench.clock.monotonic() < 40_000:
        before = len(bench.link.published)
        bench.sleep_until_due()
        if len(bench.link.published) > before:
            bench.agent.handle(bench.link.acknowledge())
            bench.echo()

    told = [message.kind for message in bench.link.published[said:]]
    assert 10 <= told.count(Kind.PRESENCE) <= 11
    assert told.count(Kind.REPORT) == 5  # after 15 minutes, then 30 more, 60 more and so on


def test_what_the_broker_refuses_is_not_hammered(bench):
    bench.connect()
    bench.agent.turn()

    bench.agent.handle(inbox.Acknowledged(1, 2, refusal="Not authorized"))

    assert bench.agent.turn() > 400
    assert not bench.robot.store.report.sent
    assert len(bench.reports()) == 1


def test_a_database_that_cannot_be_written_causes_no_flood(bench, monkeypatch):
    def held_up(_: object = None) -> None:
        raise errors.HeldUp(messages.Reason.of("state_database", "full"))

    bench.connect()
    bench.agent.turn()
    with monkeypatch.context() as patch:
        patch.setattr(bench.robot.store, "mark_sent", held_up)
        bench.agent.handle(bench.link.acknowledge())
        assert bench.agent.turn() == agent.ACKNOWLEDGE_S

    bench.agent.handle(bench.link.lose())
    with monkeypatch.context() as patch:
        patch.setattr(bench.robot.store, "next_connection", held_up)
        bench.sleep_until_due()
        assert bench.link.opened == [1]
    bench.sleep_until_due()
    assert bench.link.opened == [1, 2]


def test_events_follow_the_report_one_by_one(bench):
    for words in ("one", "two"):
        bench.robot.worker.tell("x", words)
    bench.connect()
    bench.answer()

    kinds = [message.kind for message in bench.link.published]
    assert kinds == [Kind.PRESENCE, Kind.REPORT, Kind.EVENT, Kind.EVENT]
    assert bench.robot.store.first_event() is None


def test_a_link_that_is_just_gone_is_not_hammered(bench):
    bench.connect()
    bench.link.is_up = False

    assert bench.agent.turn() == agent.LOSS_KNOWN_S


def test_stop_says_goodbye(bench):
    items = inbox.Inbox()
    bench.connect()
    bench.answer()
    items.put(inbox.Stop())
    items.put(inbox.Greeted(b""))
    items.put(inbox.Acknowledged(1, 3))

    bench.agent.run(items)

    last = messages.parse_presence(bench.link.published[-1].payload, "dev-0123456789abcdef")
    assert (last.status, last.connection) == ("offline", 1)
    assert not bench.link.is_up


def test_stop_does_not_wait_for_a_lost_connection(bench):
    items = inbox.Inbox()
    bench.connect()
    items.put(inbox.Stop())
    items.put(bench.link.lose())
    bench.link.is_up = True

    bench.agent.run(items)

    assert not bench.link.is_up


def test_stop_while_offline_says_nothing(bench):
    items = inbox.Inbox()
    items.put(inbox.Stop())

    bench.agent.run(items)

    assert bench.link.published == []


def test_a_dead_link_ends_the_agent(bench, monkeypatch):
    monkeypatch.setattr(bench.link, "is_alive", lambda: False)
    monkeypatch.setattr(inbox.Inbox, "get", lambda _self, _timeout: None)

    with pytest.raises(errors.AgentError, match="thread is gone"):
        bench.agent.run(inbox.Inbox())


def test_the_last_word_of_a_link_is_heard(bench, monkeypatch):
    monkeypatch.setattr(bench.link, "is_alive", lambda: False)
    items = iter([None, inbox.Lost(1, "gone"), inbox.Stop()])
    monkeypatch.setattr(inbox.Inbox, "get", lambda _self, _timeout: next(items))

    bench.agent.run(inbox.Inbox())

    assert bench.link.opened == [1]


def test_messages_that_wait_are_bounded_and_control_is_not():
    items = inbox.Inbox()
    taken = [items.offer(inbox.Ordered(b"x")) for _ in range(inbox.MAX_WAITING + 1)]
    items.put(inbox.Stop())

    assert taken == [True] * inbox.MAX_WAITING + [False]
    found = [items.get(0.0) for _ in range(inbox.MAX_WAITING + 2)]
    assert found[-2:] == [inbox.Stop(), None]


def test_a_deployment_that_the_cloud_has_to_confirm_is_reached_over_a_new_connection(bench, shore):
    bench.connect()
    bench.answer()
    manifest = shore.manifest({"f": "1"})

    bench.agent.handle(inbox.Ordered(shore.seal(shore.order(manifest, confirm_s=60))))
    for _ in range(5):
        bench.agent.turn()
    assert (len(bench.link.opened), bench.link.is_up, bench.robot.visible()) == (2, False, {"f": "1"})
    assert bench.robot.report.nonce is None

    bench.clock.sleep(3.0)
    bench.agent.handle(bench.link.accept())
    bench.answer()
    asking = bench.reports()[-1]
    assert asking.nonce is not None
    bench.agent.handle(inbox.Echoed(b"no echo"))
    bench.agent.handle(inbox.Echoed(shore.echo(asking)))
    bench.answer()

    assert bench.reports()[-1].deployments[0].activity is Activity.DEPLOYED
    assert (len(bench.link.opened), bench.reports()[-1].nonce) == (2, None)


def test_after_a_deployment_that_cut_it_off_the_robot_connects_at_once(bench, shore):
    bench.connect()
    bench.answer()
    bench.agent.handle(inbox.Ordered(shore.seal(shore.order(shore.manifest({"f": "1"}), confirm_s=600))))
    for _ in range(5):
        bench.agent.turn()
    while bench.robot.worker.passage.trial is not None:
        if bench.agent._open_at is None:
            bench.agent.handle(bench.link.lose())
        bench.sleep_until_due()
    opened = len(bench.link.opened)

    for _ in range(5):
        bench.agent.turn()

    assert bench.robot.visible() is None
    assert len(bench.link.opened) - opened in (0, 1)
    assert bench.agent._open_at is None, "it is trying"


def test_the_files_can_be_read_back_more_often_than_the_report_is_repeated(robot, shore):
    who = robot.store.identity
    often = agent.Agent(
        who, robot.store, robot.worker, testing.FakeLink(), time=robot.clock, rng=random.Random(1), check_every=10.0
    )
    robot.take(shore.order(shore.manifest({"f": "1"})))
    often.turn()
    (robot.root / "current" / "f").write_text("x")
    robot.clock.sleep(10.0)
    for _ in range(5):
        often.turn()
    assert robot.visible() == {"f": "1"}


@pytest.mark.parametrize("is_inside", [True, False])
def test_what_was_touched_is_looked_at(is_inside, bench, shore):
    bench.robot.take(shore.order(shore.manifest({"f": "1"})))
    bench.agent.turn()
    (bench.robot.root / "current" / "f").write_text("x")
    bench.agent.handle(inbox.Touched(is_inside))
    for _ in range(5):
        bench.agent.turn()
    assert bench.robot.visible() == {"f": "1" if is_inside else "x"}
