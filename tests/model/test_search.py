"""Every way through small worlds: the rules hold in each state, and every fair run ends at rest, in agreement."""

from __future__ import annotations

import pytest
from model_world import fairness, memo, mistakes, search, worlds
from model_world.fairness import Rests
from model_world.mistakes import Mistake
from model_world.orders import Fate
from model_world.search import Small

BRIEF = {world.name for world in worlds.BRIEF}


@pytest.fixture(autouse=True)
def _forget():
    yield
    memo.forget()


@pytest.mark.parametrize("world", worlds.BRIEF, ids=lambda world: world.name)
def test_every_way_through_a_small_world_keeps_the_rules_and_ends_in_agreement(world: Small) -> None:
    assert fairness.check(search.search(world)).rests > 0


@pytest.mark.slow
@pytest.mark.parametrize("world", worlds.LONG, ids=lambda world: world.name)
def test_every_way_through_a_larger_world_keeps_the_rules_and_ends_in_agreement(world: Small) -> None:
    assert fairness.check(search.search(world)).rests > 0


@pytest.mark.parametrize(
    "mistake",
    [pytest.param(it, marks=() if it.world in BRIEF else pytest.mark.slow) for it in mistakes.ALL],
    ids=lambda mistake: mistake.name.replace(" ", "_"),
)
def test_the_search_finds_planted_mistakes(mistake: Mistake) -> None:
    broken = mistakes.find(mistake)
    assert broken is not None
    assert len(broken.way) < 20


def test_a_world_is_searched_to_its_end() -> None:
    """The figures of the smallest world, which change only if what can happen in it does."""
    found = search.search(Small("smallest", (Fate.GOOD,), faults=0))
    assert (len(found.states), found.transitions, found.depth) == (213, 629, 14)
    assert fairness.check(found) == Rests(rests=7, resting=14, passed=63, longest=14)


def test_more_faults_lead_to_more_states_and_lose_none() -> None:
    once, twice = (search.search(Small("losses", (Fate.GOOD,), faults, kinds=("loss",))) for faults in (1, 2))
    assert twice.levels[:2] == once.levels
    assert len(twice.states) > len(once.states)


def test_the_fewest_faults_come_first_and_the_fewest_events_with_those() -> None:
    found = search.search(Small("two faults", (Fate.GOOD,), 2, kinds=("loss", "database")))
    for first, after in zip([0, *found.levels], found.levels, strict=False):
        events = [len(found.way(number)) for number in range(first, after)]
        assert events == sorted(events)


def test_the_way_to_a_broken_rule_can_be_taken_again() -> None:
    mistake = next(mistake for mistake in mistakes.ALL if mistake.name == "the cloud ends at once what it withdraws")
    broken = mistakes.find(mistake)
    assert broken is not None
    with mistake.planted():
        words = list(search.retrace(worlds.ALL[mistake.world], broken.way))
    assert words[-1] == f"-> {broken.words}"
    assert [line.split(" ")[0] for line in words[:-1]] == ["deploy", "publish", "receive", "step", "archive"]
