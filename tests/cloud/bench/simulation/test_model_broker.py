"""The broker of the simulation: what MQTT promises it keeps, and in a bad mood not even that."""

from __future__ import annotations

import random

import pytest
from shallop_cloud.bench.simulation.broker import SILENT_S, Broker, Habits, Message, Mood
from shallop_cloud.bench.simulation.timeline import Timeline

WILL = Message("root/a/presence", b"gone", retain=True)


class Client:
    """Keeps all that it hears."""

    def __init__(self, world: World, name: str, *filters: str, will: Message | None = None) -> None:
        self.got: list[bytes] = []
        self.answers: list[int] = []
        self.was_lost = ""
        self.is_up = False
        self.line = world.broker.connect(name, self, random.Random(name), filters, will)
        world.pass_time()

    def connected(self) -> None:
        self.is_up = True

    def delivered(self, message: Message) -> None:
        self.got.append(message.payload)

    def acknowledged(self, number: int) -> None:
        self.answers.append(number)

    def lost(self, why: str) -> None:
        self.was_lost = why


class World:
    """A broker and time."""

    def __init__(self, **habits: object) -> None:
        self.timeline = Timeline()
        self.broker = Broker(self.timeline, random.Random(1), Habits(**habits))

    def pass_time(self, seconds: float = 2.0) -> None:
        until = self.timeline.now + seconds
        while self.timeline.advance(until):
            pass

    def say(self, client: Client, topic: str, payload: bytes, *, retain: bool = True) -> None:
        client.line.publish(Message(topic, payload, retain))
        self.pass_time()


def test_a_message_reaches_whoever_wants_it_and_is_acknowledged():
    world = World()
    sender, wild, exact, other = (
        Client(world, "s"),
        Client(world, "w", "root/+/report"),
        Client(world, "e", "root/a/report"),
        Client(world, "o", "root/b/report"),
    )

    world.say(sender, "root/a/report", b"1")

    assert (wild.got, exact.got, other.got, sender.answers) == ([b"1"], [b"1"], [], [1])


def test_a_retained_message_waits_for_those_who_come_later_until_an_empty_one_takes_it_away():
    world = World()
    sender = Client(world, "s")
    world.say(sender, "root/a/report", b"1")
    world.say(sender, "root/a/report", b"2")
    late = Client(world, "late", "root/+/report")
    world.say(sender, "root/a/report", b"")
    later = Client(world, "later", "root/a/report")

    assert (late.got, later.got) == ([b"2", b""], [])


def test_some_brokers_replay_nothing_to_a_wildcard():
    world = World(replays_wildcards=False)
    world.say(Client(world, "s"), "root/a/report", b"1")

    assert Client(world, "w", "root/+/report").got == []
    assert Client(world, "e", "root/a/report").got == [b"1"]


def test_a_line_that_is_cut_loses_what_is_on_its_way_and_publishes_the_will():
    world = World()
    watcher, client = Client(world, "w", "root/+/presence", "x"), Client(world, "a", will=WILL)

    client.line.publish(Message("x", b"lost"))
    client.line.cut()
    world.pass_time()

    assert (client.was_lost, client.line.publish(Message("x", b""))) == ("the connection was lost", None)
    assert watcher.got == [b"gone"]


def test_what_a_client_sent_before_it_died_arrives():
    world = World()
    watcher, client = Client(world, "w", "x", "root/+/presence"), Client(world, "a", will=WILL)

    client.line.publish(Message("x", b"sent"))
    client.line.die()
    world.pass_time()

    assert (client.was_lost, watcher.got) == ("", [b"sent", b"gone"])


def test_a_silent_cut_is_noticed_after_the_keep_alive():
    world = World()
    watcher, client = Client(world, "w", "root/+/presence"), Client(world, "a", will=WILL)

    client.line.cut(silently=True)
    world.pass_time(0.5 * SILENT_S)
    before = (client.was_lost, list(watcher.got))
    world.pass_time(SILENT_S)

    assert (before, bool(client.was_lost), watcher.got) == (("", []), True, [b"gone"])


def test_a_late_will_comes_after_the_next_birth():
    world = World(will_delay=300.0)
    watcher, client = Client(world, "w", "root/+/presence"), Client(world, "a", will=WILL)
    client.line.cut()

    again = Client(world, "a")
    world.say(again, "root/a/presence", b"born")
    world.pass_time(300.0)

    assert watcher.got == [b"born", b"gone"]


def test_a_second_client_of_one_name_takes_the_place_of_the_first():
    world = World()
    first = Client(world, "a", "x")
    second = Client(world, "a", "x")

    world.say(Client(world, "s"), "x", b"1")

    assert (bool(first.was_lost), first.got, second.got) == (True, [], [b"1"])


def test_a_kept_session_gets_what_it_missed_and_a_clean_one_does_not():
    for keeps, expected in ((True, [b"1", b"2"]), (False, [])):
        world = World(keeps_sessions=keeps)
        sender = Client(world, "s")
        Client(world, "a", "x").line.cut()
        world.pass_time()
        world.say(sender, "x", b"1", retain=False)
        world.say(sender, "x", b"2", retain=False)

        assert Client(world, "a", "x").got == expected


def test_a_broker_that_is_down_refuses_and_comes_back_with_what_it_remembers():
    world = World()
    client = Client(world, "a", "x")
    world.say(client, "x", b"1")
    world.broker.go_down({})
    world.pass_time()
    refused = Client(world, "b", "x")
    world.broker.come_up()

    assert (bool(client.was_lost), refused.was_lost) == (True, "connection refused")
    assert Client(world, "c", "x").got == []


def test_who_is_cut_off_gets_no_answer_until_reached_again():
    world = World()
    world.broker.cut_off("a")
    cut_off = Client(world, "a")
    world.pass_time(20.0)
    world.broker.reach("a")

    assert (cut_off.is_up, cut_off.was_lost) == (False, "no answer")
    assert Client(world, "a").is_up


@pytest.mark.parametrize(
    ("mood", "expected"),
    [(Mood(drops=1.0), []), (Mood(repeats=1.0), [b"1", b"1"]), (Mood(delays=1.0), [b"1"])],
)
def test_a_bad_mood_drops_repeats_and_delays(mood, expected):
    world = World()
    sender, hearer = Client(world, "s"), Client(world, "h", "x")
    world.broker.mood = mood

    world.say(sender, "x", b"1")
    at_once = list(hearer.got)
    world.pass_time(mood.late)

    assert sender.answers == [1]
    assert hearer.got == expected
    assert mood.delays == 0.0 or at_once == []
