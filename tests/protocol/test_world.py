"""The two cores, connected through a bad sea: safety after every step, agreement once the weather is fair."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule
from model_world import memo, mistakes
from model_world.mistakes import Mistake
from model_world.moves import Move
from model_world.orders import Fate, Weather, deployment_id
from model_world.world import World
from shallop_protocol.statuses import Activity

FATES = st.sampled_from([Fate.GOOD, Fate.GOOD, Fate.FAILS_CHECK, Fate.FAILS_HEALTH])
WEATHER = st.sampled_from([Weather.FAIR, Weather.FAIR, Weather.FOUL_EARLY, Weather.FOUL_LATE])


class Fleet(RuleBasedStateMachine):
    """Draws what happens next; the world itself checks what came of it."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()

    @rule(fate=FATES, release=st.sampled_from(["1.0.0", "2.0.0"]), at_once=st.booleans())
    def stage(self, fate: Fate, release: str, at_once: bool) -> None:
        (self.world.order if at_once else self.world.stage)(fate, release)
        if at_once:
            self.world.publish()

    @precondition(lambda self: self.world.staged(Activity.STAGED))
    @rule(data=st.data())
    def deploy(self, data: st.DataObject) -> None:
        self.world.deploy(data.draw(st.sampled_from(self.world.staged(Activity.STAGED))))

    @precondition(lambda self: self.world.staged(Activity.DRIFTED))
    @rule(data=st.data())
    def restage(self, data: st.DataObject) -> None:
        self.world.restage(data.draw(st.sampled_from(self.world.staged(Activity.DRIFTED))))

    @precondition(lambda self: self.world.archivable())
    @rule(data=st.data())
    def archive(self, data: st.DataObject) -> None:
        self.world.archive(data.draw(st.sampled_from(self.world.archivable())))

    @rule()
    def carry_on(self) -> None:
        self.world.carry_on()

    @rule()
    def publish(self) -> None:
        self.world.publish()

    @rule()
    def back_up(self) -> None:
        self.world.back_up()

    @rule()
    def restore(self) -> None:
        self.world.restore()

    @precondition(lambda self: self.world.state.to_shore)
    @rule(data=st.data(), again=st.booleans())
    def hear(self, data: st.DataObject, again: bool) -> None:
        self.world.hear(data.draw(st.integers(0, len(self.world.state.to_shore) - 1)), again=again)

    @precondition(lambda self: self.world.state.to_shore)
    @rule()
    def hear_all(self) -> None:
        while self.world.state.to_shore:
            self.world.hear()

    @rule()
    def connect_ashore(self) -> None:
        self.world.connect_ashore()

    @precondition(lambda self: self.world.state.to_robot)
    @rule(data=st.data(), again=st.booleans())
    def receive(self, data: st.DataObject, again: bool) -> None:
        self.world.receive(data.draw(st.integers(0, len(self.world.state.to_robot) - 1)), again=again)

    @precondition(lambda self: self.world.state.to_robot)
    @rule(data=st.data())
    def lose_order(self, data: st.DataObject) -> None:
        self.world.lose_order(data.draw(st.integers(0, len(self.world.state.to_robot) - 1)))

    @precondition(lambda self: self.world.state.to_shore)
    @rule(data=st.data())
    def lose_report(self, data: st.DataObject) -> None:
        self.world.lose_report(data.draw(st.integers(0, len(self.world.state.to_shore) - 1)))

    @rule()
    def wipe_broker(self) -> None:
        self.world.wipe_broker()

    @rule()
    def restart(self) -> None:
        self.world.restart()

    @precondition(lambda self: self.world.next_step())
    @rule(weather=WEATHER, power_cut_after=st.none() | st.integers(0, 4))
    def step(self, weather: Weather, power_cut_after: int | None) -> None:
        self.world.step(weather, power_cut_after)

    @precondition(lambda self: self.world.next_step())
    @rule()
    def work(self) -> None:
        while self.world.next_step():
            self.world.step()

    @rule(keep_disk=st.booleans())
    def lose_database(self, keep_disk: bool) -> None:
        self.world.lose_database(keep_disk=keep_disk)

    @precondition(lambda self: self.world.state.robot.disk.trees)
    @rule(data=st.data())
    def damage(self, data: st.DataObject) -> None:
        self.world.damage(data.draw(st.sampled_from(sorted(self.world.state.robot.disk.trees))))

    def teardown(self) -> None:
        self.world.come_to_rest()


TestFleet = Fleet.TestCase
TestFleet.settings = settings(
    max_examples=120,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


def walk(seed: int, length: int = 60) -> World:
    """A world after a random walk, at rest. Each walk draws the faults that it knows, so that some go far with few."""
    draw = random.Random(seed)
    world = World()
    kinds = sorted({move.kind for move in _after_a_while().possible_faults()})
    known = set(draw.sample(kinds, draw.randrange(len(kinds))))
    for _ in range(draw.randrange(5, length)):
        quiet = list(world.possible_events())
        faults = [move for move in world.possible_faults() if move.kind in known]
        if draw.random() < 0.1 or not quiet:
            prepare = draw.choice([world.stage, world.order])
            prepare(draw.choice(list(Fate)), draw.choice(["1.0.0", "2.0.0"]))
        elif draw.random() < 0.05:
            world.carry_on()
        elif faults and draw.random() < 0.25:
            world.take(_one_of_a_kind(draw, faults))
        else:
            move = _one_of_a_kind(draw, quiet)
            if move.kind != "archive" or draw.random() >= 0.7:
                world.take(move)
    world.come_to_rest()
    return world


def _one_of_a_kind(draw: random.Random, possible: list[Move]) -> Move:
    kind = draw.choice(sorted({move.kind for move in possible}))
    return draw.choice([move for move in possible if move.kind == kind])


def walk_all(seeds: range, length: int = 60) -> None:
    """One walk for each seed."""
    for seed in seeds:
        walk(seed, length)
        if seed % 100 == 0:
            memo.forget()


def _after_a_while() -> World:
    world = World()
    world.deploy(world.stage())
    world.publish()
    world.receive()
    world.step(power_cut_after=3)
    return world


def test_random_walks_keep_the_rules_and_end_in_agreement() -> None:
    walk_all(range(300))


@pytest.mark.slow
def test_many_random_walks_keep_the_rules_and_end_in_agreement() -> None:
    walk_all(range(1_000, 1_600), length=90)


def test_an_order_for_nothing_that_is_lost_after_a_restore_is_not_missed() -> None:
    """The robot answers another order of the same number; the report says which."""
    world = World()
    one = world.order()
    world.carry_on()
    world.back_up()
    world.order()
    world.publish()
    world.receive()
    world.restore()
    world.archive(one)
    world.publish()
    world.lose_order()
    world.wipe_broker()
    world.come_to_rest()


@pytest.mark.parametrize("mistake", mistakes.COMMON, ids=lambda mistake: mistake.name.replace(" ", "_"))
def test_the_walks_find_planted_mistakes(mistake: Mistake) -> None:
    with mistake.planted(), pytest.raises(AssertionError):
        walk_all(range(2_000))


def the_robot_forgets_while_its_report_is_late() -> World:
    world = World()
    world.order()
    world.publish()
    world.receive()
    world.lose_database(keep_disk=False)
    world.hear(1)
    world.hear(0)
    return world


def the_cloud_forgets_and_gives_a_number_twice() -> World:
    world = World()
    world.order()
    world.publish()
    world.restore()
    world.order()
    world.publish()
    return world


def a_failure_is_hard_to_clear_away() -> World:
    world = World()
    world.order(Fate.FAILS_CHECK)
    world.publish()
    world.receive()
    world.step()
    world.step(Weather.FOUL_EARLY)
    return world


def the_robot_forgets_a_failure_that_the_cloud_knows() -> World:
    world = World()
    world.order(Fate.FAILS_CHECK)
    world.publish()
    world.receive()
    world.step()
    while world.state.to_shore:
        world.hear()
    world.lose_database(keep_disk=False)
    world.publish()
    return world


def the_robot_forgets_its_fallback_before_it_needs_it() -> World:
    world = World()
    world.order()
    world.carry_on()
    world.lose_database(keep_disk=True)
    world.carry_on()
    world.order(Fate.FAILS_HEALTH)
    world.lose_database(keep_disk=True)
    world.publish()
    world.receive(1)
    world.step()
    world.step()
    assert world.state.robot.disk.current == deployment_id(1)
    return world


def a_new_order_comes_while_all_is_being_taken_off() -> World:
    world = World()
    one = world.order()
    world.carry_on()
    world.archive(one)
    world.publish()
    world.receive()
    world.step()
    world.order()
    world.publish()
    world.receive()
    world.step()
    return world


@pytest.mark.parametrize(
    "story",
    [
        the_robot_forgets_while_its_report_is_late,
        the_cloud_forgets_and_gives_a_number_twice,
        a_failure_is_hard_to_clear_away,
        the_robot_forgets_a_failure_that_the_cloud_knows,
        the_robot_forgets_its_fallback_before_it_needs_it,
        a_new_order_comes_while_all_is_being_taken_off,
    ],
    ids=lambda story: story.__name__,
)
def test_a_story_ends_in_agreement(story: Callable[[], World]) -> None:
    story().come_to_rest()
