"""Whether a robot knows that it has the newest order: proofs, silence, lies of the broker, and time that is none."""

from __future__ import annotations

import datetime
import random
from pathlib import Path

import pytest
from shallop_device import agent, daemon, freshness, inbox, settings, store, testing
from shallop_protocol import echo, messages
from shallop_protocol.keys import KeyState
from shallop_protocol.messages import Event
from shallop_protocol.topics import Kind

HOUR = 3600.0


class Voyage:
    """A robot's agent in virtual time, with a broker and a cloud that can each be silent.

    Attributes:
        answers: the cloud's echoes come.
        orders: the cloud's orders come.
    """

    def __init__(self, directory: Path, shore: testing.Shore, limits: freshness.Limits = freshness.STANDARD) -> None:
        self.shore = shore
        self.robot = testing.Robot(directory, shore, limits=limits)
        self.answers = self.has_broker = True
        self.answered: str | None = None
        self.boot()

    @property
    def clock(self) -> testing.FakeClock:
        return self.robot.clock

    def boot(self) -> None:
        self.robot.boot()
        who = self.robot.store.identity
        assert who is not None
        self.link = testing.FakeLink()
        self.accepted = 0
        self.agent = agent.Agent(
            who, self.robot.store, self.robot.worker, self.link, time=self.clock, rng=random.Random(1)
        )

    def go(self, hours: float) -> None:
        """Lets so many hours pass, with a turn whenever one is due; the broker acknowledges, the cloud answers."""
        end = self.clock.monotonic() + hours * HOUR
        while True:
            seconds = self.agent.turn()
            if len(self.link.opened) > self.accepted and self.has_broker:
                self.accepted = len(self.link.opened)
                self.agent.handle(self.link.accept())
            elif self._answer():
                continue
            elif self.clock.monotonic() + seconds > end:
                self.clock.sleep(end - self.clock.monotonic())
                self.agent.turn()
                return
            else:
                self.clock.sleep(max(seconds, 0.001))

    def order(self, contents: dict[str, str]) -> bytes:
        return self.shore.seal(self.shore.order(self.shore.manifest(contents)))

    def takes(self, envelope: bytes) -> None:
        self.agent.handle(inbox.Ordered(envelope))
        self.go(0.01)

    def _answer(self) -> bool:
        if not self.link.is_up or not self.link.published or self.agent._in_flight is None:
            return False
        self.agent.handle(self.link.acknowledge())
        nonce = self.robot.report.nonce
        if self.answers and nonce is not None and nonce != self.answered:
            self.answered = nonce
            self.agent.handle(inbox.Echoed(self.shore.echo(self.robot.report)))
        return True

    @property
    def told(self) -> list[str]:
        """The codes of all events that were published."""
        events = [each.payload for each in self.link.published if each.kind is Kind.EVENT]
        return [messages.parse(Event, body, messages.MAX_SMALL_BYTES).code for body in events]

    @property
    def reason(self) -> str | None:
        reason = self.robot.worker.freshness.reason
        return reason.code if reason else None


@pytest.fixture
def voyage(tmp_path: Path, shore: testing.Shore):
    voyage = Voyage(tmp_path, shore)
    yield voyage
    voyage.robot.store.close()


def test_a_robot_whose_cloud_answers_is_never_stale(voyage: Voyage):
    voyage.go(100)

    assert (voyage.reason, voyage.robot.report.stale, voyage.told) == (None, False, [])
    ago = voyage.robot.worker.freshness.proven_s_ago
    assert ago is not None
    assert ago < 7 * HOUR


def test_silence_makes_it_stale_after_fifteen_hours_and_an_answer_fresh_again(voyage: Voyage):
    voyage.takes(voyage.order({"a": "1"}))
    voyage.go(1)
    voyage.answers = False
    voyage.go(13)
    assert (voyage.reason, voyage.robot.report.stale) == (None, False)

    voyage.go(2)

    assert (voyage.reason, voyage.robot.report.stale, voyage.told) == ("unanswered", True, ["stale"])
    assert voyage.robot.visible() == {"a": "1"}
    voyage.answers = True
    voyage.go(6)
    assert (voyage.reason, voyage.robot.report.stale) == (None, False)
    assert voyage.told == ["stale", "fresh_again"]


def test_it_says_so_to_itself_where_there_is_no_broker(voyage: Voyage):
    voyage.has_broker = False
    voyage.go(16)

    assert (voyage.reason, voyage.robot.report.stale) == ("unanswered", True)


def test_a_question_that_is_not_answered_is_asked_again_and_ever_more_rarely(voyage: Voyage):
    voyage.answers = False
    voyage.go(0.5)
    soon = len({testing.read_report(each.payload).nonce for each in voyage.link.published if each.kind is Kind.REPORT})
    voyage.go(47.5)
    nonces = {testing.read_report(each.payload).nonce for each in voyage.link.published if each.kind is Kind.REPORT}

    assert 4 <= soon <= 10
    assert soon + 8 <= len(nonces) <= soon + 40


def test_an_order_that_is_held_back_is_noticed_in_less_than_an_hour(voyage: Voyage):
    voyage.takes(voyage.order({"a": "1"}))
    withheld = voyage.order({"a": "2"})
    voyage.agent.handle(voyage.link.lose())
    voyage.go(0.1)
    assert voyage.reason is None, "it may be on its way"

    voyage.go(0.9)

    assert (voyage.reason, voyage.robot.report.stale, voyage.told) == ("withheld", True, ["stale"])
    assert "order 1/2 is its newest, not 1/1" in voyage.robot.worker.freshness.reason.message
    assert voyage.robot.visible() == {"a": "1"}
    voyage.takes(withheld)
    assert (voyage.reason, voyage.told, voyage.robot.visible()) == (None, ["stale", "fresh_again"], {"a": "2"})


def test_a_key_list_that_is_held_back_is_noticed(voyage: Voyage):
    signer = voyage.shore.signer
    listed = voyage.shore.rotate(KeyState.ACTIVE)
    voyage.shore.signer = signer
    voyage.go(1)

    assert voyage.reason == "withheld"
    assert "key list 2 is its newest, not 1" in voyage.robot.worker.freshness.reason.message
    voyage.agent.handle(inbox.Keyed(listed))
    voyage.go(0.01)
    assert voyage.reason is None


def test_an_order_that_was_refused_is_not_held_back(voyage: Voyage):
    first = voyage.shore.manifest({"a": "1"})
    voyage.takes(voyage.shore.seal(voyage.shore.order(first)))
    other = voyage.shore.manifest({"a": "2"}, first.id)
    voyage.takes(voyage.shore.seal(voyage.shore.order(other)))
    assert voyage.robot.report.refused is not None
    voyage.agent.handle(voyage.link.lose())
    voyage.go(20)

    assert voyage.reason is None


def test_what_an_echo_proves_was_so_when_it_was_asked_for(voyage: Voyage):
    voyage.answers = False
    voyage.go(0.01)
    held_back = voyage.shore.echo(voyage.robot.report)
    assert voyage.robot.report.nonce is not None
    voyage.clock.sleep(14 * HOUR)
    voyage.agent.handle(inbox.Echoed(held_back))
    voyage.go(2)

    assert voyage.reason == "unanswered"


def lies(voyage: Voyage) -> list[bytes]:
    """What a broker has: an echo for another question, by another key, for another robot, an old one, and noise."""
    report = voyage.robot.report
    asked = voyage.shore.echo(report)
    other = report.model_copy(update={"nonce": "another-question-of-mine"})
    made = echo.Echo(device="dev-other", nonce=report.nonce, epoch=1, generation=0)
    return [
        voyage.shore.echo(other),
        testing.Shore(2).echo(report),
        echo.seal_echo(made, voyage.shore.signer),
        asked[:-10],
        b"",
    ]


def test_no_lie_of_a_broker_proves_anything(voyage: Voyage):
    voyage.answers = False
    for _ in range(6):
        voyage.go(4)
        for lie in lies(voyage):
            voyage.agent.handle(inbox.Echoed(lie))

    assert voyage.reason == "unanswered"


def test_the_wall_clock_changes_nothing(voyage: Voyage):
    for year in (1970, 2038, 1999):
        voyage.clock.set_wall(datetime.datetime(year, 1, 1, tzinfo=datetime.timezone.utc))
        voyage.go(1)
        assert voyage.reason is None
    voyage.answers = False
    for year in (1970, 2038):
        voyage.clock.set_wall(datetime.datetime(year, 1, 1, tzinfo=datetime.timezone.utc))
        voyage.go(8)
    assert voyage.reason == "unanswered"


def test_a_robot_that_is_switched_off_every_night_adds_its_days_up(voyage: Voyage):
    voyage.answers = False
    for _ in range(3):
        voyage.go(4.5)
        voyage.boot()
    voyage.go(4)

    assert voyage.robot.report.stale
    assert voyage.told == ["stale"]
    voyage.boot()
    voyage.go(0.01)
    assert voyage.robot.report.stale
    assert voyage.told == [], "it was told"


def test_a_trials_question_counts_for_both_and_is_the_only_one(voyage: Voyage):
    """The report has one nonce; the echo of a trial's proves that the order is the newest, too."""
    voyage.go(1)
    began = voyage.clock.monotonic()
    envelope = voyage.shore.seal(voyage.shore.order(voyage.shore.manifest({"a": "1"}), confirm_s=600))
    voyage.agent.handle(inbox.Ordered(envelope))
    voyage.go(0.05)

    assert voyage.robot.report.deployments[0].activity.value == "deployed"
    ago = voyage.robot.worker.freshness.proven_s_ago
    assert ago is not None
    assert ago <= voyage.clock.monotonic() - began
    assert voyage.robot.report.nonce is None


def test_that_nothing_is_asked_any_more_is_no_news(voyage: Voyage):
    voyage.go(0.01)
    before = voyage.robot.report
    assert before.nonce is not None
    assert voyage.robot.worker.freshness.nonce is None
    voyage.robot.worker.work()

    assert voyage.robot.report == before


def test_a_database_that_cannot_be_written_makes_nobody_stale(tmp_path: Path, shore: testing.Shore):
    robot = testing.Robot(tmp_path, shore)
    failing = testing.FailingStatement(1, "disk I/O error")
    robot.boot(database=failing.database)
    failing.armed = True
    robot.worker.freshness.note()
    assert failing.has_failed
    assert robot.worker.freshness.reason is None
    robot.store.close()


@pytest.mark.parametrize(
    ("link", "set_to", "limits"),
    [
        ({}, None, freshness.STANDARD),
        ({}, 7200, freshness.Limits(7200, 2880)),
        ({"profile": "metered"}, None, freshness.Limits(216_000, 86_400)),
        ({"heartbeat_s": 100}, 100_000, freshness.Limits(100_000, 100)),
    ],
)
def test_the_limits_come_from_the_settings(link, set_to, limits):
    chosen = settings.Settings(
        link=settings.Link.model_validate(link), freshness=settings.Freshness(stale_after_s=set_to)
    )
    assert daemon.freshness_limits(chosen) == limits
    assert freshness.STANDARD.stale_after == 15 * HOUR


def test_what_was_noted_is_there_after_a_start(tmp_path: Path, shore: testing.Shore):
    robot = testing.Robot(tmp_path, shore)
    robot.store.note_unproven(12.5)
    robot.store.close()
    memory = store.Store.open(tmp_path / "state")
    assert memory.unproven_s == 12.5
    memory.close()
