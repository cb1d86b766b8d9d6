"""Two robots with one identity, as after a disk was copied: each takes the MQTT session from the other."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from shallop_device import agent, inbox, testing
from shallop_protocol import messages
from shallop_protocol.topics import Kind

HOURS = 2 * 3600.0


class Twin:
    """One of them, in the time of both."""

    def __init__(self, directory: Path, shore: testing.Shore, seed: int) -> None:
        self.robot = testing.Robot(directory, shore)
        self.robot.boot()
        self.link = testing.FakeLink()
        who = self.robot.store.identity
        assert who is not None
        rng = random.Random(seed)
        self.agent = agent.Agent(who, self.robot.store, self.robot.worker, self.link, time=self.robot.clock, rng=rng)
        self.accepted = 0

    def turn(self) -> float:
        """All that is due; the broker acknowledges, and the cloud answers."""
        while True:
            seconds = self.agent.turn()
            if self.agent._in_flight is None:
                return seconds
            self.agent.handle(self.link.acknowledge())
            if self.robot.report.nonce is not None:
                self.agent.handle(inbox.Echoed(self.robot.shore.echo(self.robot.report)))

    @property
    def told(self) -> list[str]:
        events = [each.payload for each in self.link.published if each.kind is Kind.EVENT]
        return [messages.parse(messages.Event, body, messages.MAX_SMALL_BYTES).code for body in events]


@pytest.mark.parametrize(
    ("trouble", "most"), [("taken_over", 24), pytest.param("network", 300, marks=pytest.mark.slow)]
)
def test_they_do_not_hammer_the_broker_and_say_what_happens_where_it_tells_them(
    trouble, most: int, memory_path: Path, shore: testing.Shore
):
    """MQTT 5 names the reason. Before that the connection is only lost."""
    twins = [Twin(memory_path / str(number), shore, number) for number in (1, 2)]
    passed = 0.0
    while passed < HOURS:
        step = 60.0
        for twin, other in (twins, reversed(twins)):
            step = min(step, twin.turn())
            if len(twin.link.opened) > twin.accepted:
                twin.accepted = len(twin.link.opened)
                if other.link.is_up:
                    other.link.is_up = False
                    other.agent.handle(inbox.Lost(other.link.opened[-1], "the session was taken over", trouble))
                twin.agent.handle(twin.link.accept())
                step = 0.0
        passed += max(step, 0.01)
        for twin in twins:
            twin.robot.clock.sleep(max(step, 0.01))

    assert 6 < sum(twin.accepted for twin in twins) <= most
    for twin in twins:
        assert ("conflicting_identity" in twin.told) is (trouble == "taken_over")
        assert twin.robot.worker.freshness.reason is None
        twin.robot.store.close()
