"""Rests of graphs that were drawn by hand."""

from __future__ import annotations

import array

import pytest
from model_world import fairness, moves
from model_world import state as moment
from model_world.search import Broken, Found

AGREED = moment.first(1)


def graph(*edges: tuple[int, str, int], states: int) -> Found:
    """States that are all agreed, with moves from one to another."""
    found = Found([AGREED] * states, *(array.array("i") for _ in range(5)), levels=[states])
    found.parents.extend([-1] * states)
    for state in range(states):
        found.starts.append(len(found.targets))
        for _, kind, target in (edge for edge in edges if edge[0] == state):
            found.kinds.append(moves.QUIET.index(kind))
            found.targets.append(target)
    found.starts.append(len(found.targets))
    return found


def test_where_nothing_moves_is_a_rest() -> None:
    found = graph((0, "step", 1), (1, "hear", 2), states=3)
    assert fairness.check(found) == fairness.Rests(rests=1, resting=1, passed=0, longest=2)


def test_heartbeats_that_are_heard_are_a_rest() -> None:
    found = graph((0, "heartbeat", 1), (1, "hear", 0), states=2)
    assert fairness.check(found) == fairness.Rests(rests=1, resting=2, passed=0, longest=1)


def test_heartbeats_do_not_put_off_a_step_for_ever() -> None:
    found = graph((0, "heartbeat", 1), (1, "hear", 0), (0, "step", 2), (1, "step", 2), states=3)
    assert fairness.check(found).passed == 1


def test_a_step_that_is_possible_only_now_and_then_may_be_put_off_for_ever() -> None:
    found = graph((0, "heartbeat", 1), (1, "hear", 0), (0, "step", 2), states=3)
    assert fairness.check(found).rests == 2


def test_an_order_that_is_asserted_for_ever_is_no_rest() -> None:
    found = graph((0, "assert again", 1), (1, "receive", 0), states=2)
    with pytest.raises(Broken, match="no end to assert again, receive"):
        fairness.check(found)


def test_steps_that_lead_back_are_no_rest_even_if_something_else_ends_them() -> None:
    found = graph((0, "step", 1), (1, "step", 0), (0, "hear", 2), (1, "hear", 2), states=3)
    with pytest.raises(Broken, match="comes back"):
        fairness.check(found)
