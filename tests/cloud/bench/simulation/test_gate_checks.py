"""The rules of holds and gates: what is in order passes, and each thing that is not is found."""

from __future__ import annotations

import json
import random

import pytest
from shallop_cloud.bench.simulation import cargo, software
from shallop_cloud.bench.simulation.gate_checks import GateChecks
from shallop_cloud.bench.simulation.timeline import Timeline
from shallop_cloud.bench.simulation.violation import Violation
from shallop_device import gates

RULES = gates.Rules(
    check=True, applied=True, health=gates.Health(window=60.0, passes=2, acks=frozenset({"nav2"})), confirm_s=30.0
)
ONE, TWO = cargo.load(1, 1), cargo.load(1, 2)
LOADS = {load.id: load for load in (ONE, TWO)}
ECHO = b"an echo"


class Story:
    """A robot's gates, and what happens before them."""

    def __init__(self, rules: gates.Rules = RULES) -> None:
        self.timeline = Timeline()
        self.checks = GateChecks("robot 1", rules, LOADS, self.timeline)
        self.checks.echoes[ECHO] = "nonce"

    def later(self, seconds: float) -> None:
        self.timeline.advance(self.timeline.now + seconds)

    def all_gates(self, leaving_out: str = "", opened_at: float = 6.0) -> None:
        """Everything that a trial of ONE needs, but for one thing."""
        steps = {
            "check": lambda: self.checks.hook_ended("check", ONE.id, is_good=True),
            "switch": lambda: (self.later(5.0), self.checks.switches(ONE.id)),
            "applied": lambda: self.checks.hook_ended("applied", ONE.id, is_good=True),
            "first look": lambda: self.checks.hook_ended("health", ONE.id, is_good=True),
            "second look": lambda: self.checks.hook_ended("health", ONE.id, is_good=True),
            "ack": lambda: self.checks.acknowledged("nav2", ONE.id),
            "ask": lambda: self.checks.asked(json.dumps({"nonce": "nonce"}, separators=(",", ":")).encode()),
            "echo": lambda: self.checks.echoed(ECHO, opened_at),
        }
        for name, step in steps.items():
            if name != leaving_out:
                step()


def test_what_passed_all_gates_is_deployed():
    story = Story()
    story.all_gates()
    story.checks.confirmed(ONE.id)


@pytest.mark.parametrize("gate", ["check", "applied", "first look", "second look", "ack", "ask", "echo"])
def test_a_gate_that_was_left_out_is_found(gate):
    story = Story()
    story.all_gates(leaving_out=gate)
    with pytest.raises(Violation, match="is deployed without"):
        story.checks.confirmed(ONE.id)


def test_an_echo_over_an_old_connection_counts_for_nothing():
    story = Story()
    story.all_gates(opened_at=4.0)
    with pytest.raises(Violation, match="the cloud's answer"):
        story.checks.confirmed(ONE.id)


def test_looks_count_in_a_row_and_since_the_switch():
    story = Story()
    story.all_gates(leaving_out="second look")
    story.checks.hook_ended("health", ONE.id, is_good=False)
    story.checks.hook_ended("health", ONE.id, is_good=True)
    with pytest.raises(Violation, match="the hook health"):
        story.checks.confirmed(ONE.id)
    story.checks.hook_ended("health", ONE.id, is_good=True)
    story.checks.confirmed(ONE.id)
    story.checks.switches(TWO.id)
    story.checks.switches(ONE.id)
    with pytest.raises(Violation, match="the hook applied, the hook health, acknowledgements, the cloud's answer"):
        story.checks.confirmed(ONE.id)


def test_what_is_in_sight_stays_while_a_hold_stands():
    story = Story()
    story.checks.switches(ONE.id)
    story.checks.holds("docking", 10.0)
    story.checks.switches(ONE.id)
    with pytest.raises(Violation, match=r"\['docking'\] hold"):
        story.checks.switches(TWO.id)
    story.later(10.0)
    story.checks.switches(TWO.id)


@pytest.mark.parametrize("end", ["released", "lost_power", "forgot"])
def test_a_hold_ends_early(end):
    story = Story()
    story.checks.holds("docking", 10.0)
    getattr(story.checks, end)(*["docking" if end == "released" else None])
    story.checks.switches(ONE.id)


def test_a_switch_that_the_power_took_back_was_none():
    story = Story()
    story.checks.switches(ONE.id)
    story.checks.lost_power(None)
    story.later(1_000.0)
    story.checks.goes_on(ONE.id)


def test_a_trial_ends_within_its_window():
    story = Story()
    story.checks.switches(ONE.id)
    story.checks.goes_on(TWO.id)
    story.checks.goes_on(ONE.id)
    story.later(74.0)
    story.checks.goes_on(ONE.id)
    story.later(2.0)
    with pytest.raises(Violation, match="is on trial for 76 s"):
        story.checks.goes_on(ONE.id)
    story.checks.lies += 1
    story.checks.goes_on(ONE.id)


def test_software_is_told_of_what_is_in_sight():
    story = Story()
    story.checks.rests()
    story.checks.switches(ONE.id)
    with pytest.raises(Violation, match="last told of None; in sight is"):
        story.checks.rests()
    story.checks.hook_began("applied", ONE.id)
    with pytest.raises(Violation, match="did not succeed"):
        story.checks.rests()
    story.checks.hook_ended("applied", ONE.id, is_good=True)
    story.checks.rests()


def test_half_of_the_robots_are_plain_and_the_others_have_gates_of_all_kinds():
    natures = [software.draw(random.Random(seed)) for seed in range(400)]
    plain = [nature for nature in natures if nature == software.PLAIN]
    assert 140 < len(plain) < 260
    for has in (
        lambda nature: nature.rules.check,
        lambda nature: nature.rules.applied,
        lambda nature: nature.rules.health is not None and nature.rules.health.acks,
        lambda nature: nature.rules.confirm_s is not None,
        lambda nature: not nature.heals,
    ):
        assert any(has(nature) for nature in natures)
