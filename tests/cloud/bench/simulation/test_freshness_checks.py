"""What the simulation holds against a robot's freshness: each rule can be broken, and is silent where it is kept."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace
from typing import Any

import pytest
from shallop_cloud.bench.simulation.freshness_checks import FreshnessChecks
from shallop_cloud.bench.simulation.timeline import Timeline
from shallop_cloud.bench.simulation.violation import Violation
from shallop_device.freshness import Limits

ANSWER = b"an echo"


@dataclasses.dataclass
class Told:
    """What an agent says of its freshness."""

    is_stale: bool = False
    proven_s_ago: float | None = None


class Robot:
    """One robot's checks, and its clock."""

    def __init__(self) -> None:
        self.timeline = Timeline()
        self.checks = FreshnessChecks("robot 1", Limits(stale_after=1_000.0, ask_every=400.0), self.timeline)
        self.checks.started()

    def at(self, moment: float) -> None:
        """Lets time pass."""
        while self.timeline.advance(moment):
            pass

    def turns(self, generation: int = 0, key_list: int = 1, refused: int | None = None, **told: Any) -> None:
        """A turn of the agent is over, after which it has this order and key list."""
        refusal: Any = None if refused is None else SimpleNamespace(generation=refused)
        memory: Any = SimpleNamespace(position=(1, generation), refused=refusal)
        self.checks.goes_on(memory, key_list, Told(**told))


@pytest.fixture
def robot() -> Robot:
    return Robot()


def test_what_keeps_the_rules_passes(robot: Robot) -> None:
    robot.checks.answers.add(ANSWER)
    robot.turns()
    robot.at(900.0)
    robot.checks.came(ANSWER)
    robot.turns(proven_s_ago=1.0)
    robot.checks.desires((1, 1), 1)
    robot.at(950.0)
    robot.turns(proven_s_ago=51.0)
    assert robot.checks.is_behind
    robot.turns(generation=1, proven_s_ago=0.0)
    assert not robot.checks.is_behind
    robot.at(3_000.0)
    robot.turns(generation=1, is_stale=True, proven_s_ago=2_050.0)


@pytest.mark.parametrize(("desired", "key_list"), [((1, 2), 1), ((2, 1), 1), ((1, 1), 2)])
def test_a_proof_from_after_there_was_something_newer(robot: Robot, desired: tuple[int, int], key_list: int) -> None:
    robot.turns(generation=1)
    robot.at(100.0)
    robot.checks.desires(desired, key_list)
    robot.at(200.0)
    robot.turns(generation=1, proven_s_ago=101.0)
    with pytest.raises(Violation, match=r"S34.*proven at 150\.000 .* since 100\.000"):
        robot.turns(generation=1, proven_s_ago=50.0)


def test_what_was_refused_or_is_not_wanted_any_more_is_not_lacked(robot: Robot) -> None:
    robot.turns(generation=1)
    robot.checks.desires((1, 2), 1)
    robot.at(200.0)
    robot.turns(generation=1, refused=2, proven_s_ago=0.0)
    robot.turns(generation=1, proven_s_ago=None)
    assert robot.checks.is_behind
    robot.checks.desires((1, 1), 1)
    assert not robot.checks.is_behind
    robot.turns(generation=1, proven_s_ago=0.0)


def test_who_gets_no_answer_says_so(robot: Robot) -> None:
    robot.checks.answers.add(ANSWER)
    robot.at(500.0)
    robot.checks.came(ANSWER)
    robot.at(1_550.0)
    robot.turns()
    robot.checks.came(ANSWER)  # once more: it answers nothing
    robot.at(1_570.0)
    with pytest.raises(Violation, match="S35: robot 1: for 1070 s nothing proves"):
        robot.turns()


def test_who_gets_answers_and_not_the_newest_says_so(robot: Robot) -> None:
    robot.checks.answers.add(ANSWER)
    robot.turns(generation=1)
    robot.at(100.0)
    robot.checks.desires((1, 2), 1)
    robot.at(1_170.0)
    robot.checks.came(ANSWER)
    with pytest.raises(Violation, match="S35: robot 1: for 1070 s"):
        robot.turns(generation=1)
    robot.turns(generation=1, is_stale=True)


def test_time_in_which_no_agent_runs_does_not_count(robot: Robot) -> None:
    robot.at(5_000.0)
    robot.checks.started()
    robot.at(6_050.0)
    robot.turns()
    robot.at(6_061.0)
    with pytest.raises(Violation, match="S35"):
        robot.turns()
