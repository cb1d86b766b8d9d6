"""The table of statuses: total, closed, and true to the rules that its prose states."""

from __future__ import annotations

import itertools

import pytest
from shallop_protocol import statuses
from shallop_protocol.statuses import (
    CELLS,
    FIRST,
    STEPS,
    Activity,
    Error,
    Impossible,
    Possible,
    Statuses,
    Target,
    may_become,
)

MOVES = [(now, then) for now, following in STEPS.items() for then in following]


def of(text: str) -> Statuses:
    target, activity, error = text.split("/")
    return Statuses(Target(target), Activity(activity), Error(error))


def reachable(start: Statuses) -> set[Statuses]:
    found: set[Statuses] = set()
    todo = [start]
    while todo:
        for then in STEPS[todo.pop()] - found:
            found.add(then)
            todo.append(then)
    return found


def test_the_table_has_each_of_the_54_combinations_once() -> None:
    every = tuple(Statuses(*cell) for cell in itertools.product(Target, Activity, Error))
    assert statuses.all_combinations() == every
    assert len(every) == 54
    assert tuple(CELLS) == every
    assert len(statuses._TABLE) == 54


def test_every_cell_says_what_it_means_or_why_it_cannot_be() -> None:
    for cell in CELLS.values():
        words = cell.meaning if isinstance(cell, Possible) else cell.why
        assert len(words) > 5
        assert words == words.strip().rstrip(".")


def test_every_step_leads_to_a_possible_combination() -> None:
    assert set(STEPS) == {cell for cell, what in CELLS.items() if isinstance(what, Possible)}
    assert [(now, then) for now, then in MOVES if isinstance(CELLS[then], Impossible)] == []
    assert [now for now, then in MOVES if now == then] == []


def test_everything_possible_is_reached_from_the_first() -> None:
    assert of("staged/staged/none") == FIRST
    assert reachable(FIRST) | {FIRST} == set(STEPS)


def test_only_archived_is_an_end_and_it_is_reached_from_everywhere() -> None:
    ends = {now for now, following in STEPS.items() if not following}
    assert ends == {of("archived/archived/none"), of("archived/archived/failed")}
    assert [now for now in STEPS if now not in ends and not reachable(now) & ends] == []


def test_the_target_moves_only_forward() -> None:
    order = list(Target)
    assert [(now, then) for now, then in MOVES if order.index(then.target) < order.index(now.target)] == []


def test_the_activity_moves_only_forward_but_for_restage() -> None:
    order = list(Activity)
    back = [(now, then) for now, then in MOVES if order.index(then.activity) < order.index(now.activity)]
    assert back == [(of("staged/drifted/none"), of("staged/staged/none"))]


def test_failed_is_final_and_ends_the_will() -> None:
    failed = [now for now in STEPS if now.error is Error.FAILED]
    assert {now.target for now in failed} == {Target.ARCHIVED}
    assert [(now, then) for now, then in MOVES if now.error is Error.FAILED and then.error is not Error.FAILED] == []


def test_retrying_clears_only_when_what_was_tried_is_reached() -> None:
    cleared = {(now, then) for now, then in MOVES if now.error is Error.RETRYING and then.error is Error.NONE}
    assert cleared == {
        (of("deployed/queued/retrying"), of("deployed/deployed/none")),
        (of("deployed/deployed/retrying"), of("deployed/deployed/none")),
        (of("archived/queued/retrying"), of("archived/deployed/none")),
        (of("archived/queued/retrying"), of("archived/archived/none")),
        (of("archived/deployed/retrying"), of("archived/deployed/none")),
        (of("archived/removing/retrying"), of("archived/archived/none")),
    }


def test_what_was_never_ordered_has_no_errors_and_ends_at_once() -> None:
    for activity in (Activity.STAGED, Activity.DRIFTED):
        assert [now for now in STEPS if now.activity is activity] == [Statuses(Target.STAGED, activity, Error.NONE)]
        assert of("archived/archived/none") in STEPS[Statuses(Target.STAGED, activity, Error.NONE)]


def test_drifted_never_deploys() -> None:
    assert STEPS[of("staged/drifted/none")] == {FIRST, of("archived/archived/none")}


@pytest.mark.parametrize("cell", STEPS, ids=str)
def test_may_become_is_the_closure_of_the_steps(cell: Statuses) -> None:
    assert {then for then in CELLS if may_become(cell, then)} == reachable(cell)


def test_nothing_is_known_of_what_an_impossible_combination_becomes() -> None:
    with pytest.raises(KeyError):
        may_become(of("deployed/removing/none"), FIRST)


def test_the_cloud_may_see_several_steps_as_one() -> None:
    assert may_become(of("deployed/queued/none"), of("archived/archived/failed"))
    assert may_become(of("archived/queued/retrying"), of("archived/removing/none"))
    assert not may_become(of("archived/deployed/none"), of("archived/queued/none"))
    assert not may_become(of("archived/removing/retrying"), of("archived/removing/none"))


@pytest.mark.parametrize("activity", Activity)
def test_people_see_the_error_unless_there_is_none(activity: Activity) -> None:
    seen = {error: statuses.merge(activity, error) for error in Error}
    assert seen == {Error.NONE: activity.value, Error.RETRYING: "retrying", Error.FAILED: "failed"}
    assert {error: Statuses(Target.ARCHIVED, activity, error).merged for error in Error} == seen


def test_a_combination_reads_as_its_three_words() -> None:
    assert [str(cell) for cell in (FIRST, of("archived/removing/failed"))] == [
        "staged/staged/none",
        "archived/removing/failed",
    ]
