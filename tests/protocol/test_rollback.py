"""What a rollback goes back to: a device's former deployments in, the one that is chosen out."""

from __future__ import annotations

import pytest
from shallop_protocol.cloud import Conflict
from shallop_protocol.rollback import Former, candidate, chosen, origin


def history(*each: Former) -> dict[str, Former]:
    return {former.id: former for former in each}


ONE, TWO, THREE = Former("1", 1, True), Former("2", 2, True), Former("3", 3, True)


@pytest.mark.parametrize(
    ("former", "current", "expected"),
    [
        pytest.param(history(ONE, TWO, THREE), "3", "2", id="one further back"),
        pytest.param(history(ONE, TWO, THREE), None, "3", id="nothing desired: the newest"),
        pytest.param(history(ONE, Former("2", 2, False), THREE), "3", "1", id="never in force"),
        pytest.param(history(ONE, Former("2", 2, True, failed=True), THREE), "3", "1", id="failed"),
        pytest.param(history(ONE, TWO, THREE, Former("4", 4, True, restores="2")), "4", "1", id="twice goes further"),
        pytest.param(
            history(ONE, TWO, Former("3", 3, True, restores="1"), Former("4", 4, True)), "4", "3", id="to a rollback"
        ),
        pytest.param(
            history(ONE, TWO, THREE, Former("4", 4, True, restores="2"), Former("5", 5, True, restores="4")), "5", "1",
            id="through two rollbacks",
        ),
        pytest.param(history(ONE, TWO, Former("3", 3, False)), "3", "2", id="the newcomer is not confirmed"),
        pytest.param(history(Former("9", 9, True), ONE, TWO), "2", "1", id="the later one failed to stay desired"),
    ],
)  # fmt: skip
def test_candidate(former: dict[str, Former], current: str | None, expected: str) -> None:
    assert candidate(former, current) == former[expected]


@pytest.mark.parametrize(
    ("former", "current"),
    [
        (history(), None),
        (history(ONE), "1"),
        (history(Former("1", 1, False), TWO), "2"),
        (history(ONE, TWO, Former("3", 3, True, restores="1")), "3"),
    ],
)
def test_nothing_is_further_back(former: dict[str, Former], current: str | None) -> None:
    with pytest.raises(Conflict) as refused:
        candidate(former, current)
    assert refused.value.code == "nothing_to_roll_back_to"


def test_rollback_after_rollback_goes_back_to_the_beginning_and_stops() -> None:
    former = history(ONE, TWO, THREE)
    current = "3"
    went: list[str] = []
    for ordered in (4, 5):
        back = candidate(former, current)
        went.append(back.id)
        current = str(ordered)
        former[current] = Former(current, ordered, True, restores=back.id)
    assert went == ["2", "1"]
    assert origin(former, current) == ONE
    with pytest.raises(Conflict):
        candidate(former, current)


def test_a_named_one_may_be_any_that_was_in_force() -> None:
    former = history(ONE, TWO, THREE)
    assert chosen(former, "3", "1") == ONE
    assert chosen(former, "1", "3") == THREE
    assert chosen(former, None, "3") == THREE


@pytest.mark.parametrize(
    ("deployment", "code"),
    [("9", "deployment_not_former"), ("2", "deployment_not_former"), ("3", "deployment_failed"),
     ("4", "deployment_is_current")],
)  # fmt: skip
def test_a_named_one_that_cannot_be(deployment: str, code: str) -> None:
    former = history(ONE, Former("2", 2, False), Former("3", 3, True, failed=True), Former("4", 4, True))
    with pytest.raises(Conflict) as refused:
        chosen(former, "4", deployment)
    assert refused.value.code == code
