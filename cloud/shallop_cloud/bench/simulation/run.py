"""One seed: a time in which everything goes wrong, then peace, in which all must come to agree and fall silent."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import math
import random
from collections.abc import Collection, Generator, Sequence

from shallop_device import freshness
from shallop_protocol.statuses import Target
from shallop_protocol.topics import Kind

from shallop_cloud.bench.simulation import acts, faults
from shallop_cloud.bench.simulation.acts import Act, Fault
from shallop_cloud.bench.simulation.robot import TOPICS, Robot
from shallop_cloud.bench.simulation.violation import Violation
from shallop_cloud.bench.simulation.world import World

SETTLED_S = 660.0
"""So long after the last fault, nothing of what went wrong is still on its way."""
AGREED_S = 4_000.0
"""So long after the last fault, robots and cloud agree: L1, L2. Most do much sooner; a word of presence that the broker
lost comes again within the hour."""
QUIET_S = 7_300.0
"""Of traffic that is watched then: two hours and a little, in which presence is said twice."""
MOST_HEARTBEATS = 4
"""Reports without a question, and as many words of presence, that a robot sends in that time."""
LIMITS = freshness.Limits(stale_after=1_500.0, ask_every=1_000.0)
"""Robots ask more often than real ones, so that one is stale within a run."""
MOST_REPORTS = MOST_HEARTBEATS + math.ceil(QUIET_S / LIMITS.ask_every)
MOST_EVENTS = 400_000
"""A run with more has come into a circle."""
_STEP_S = 60.0
_ALONE = 0.25
"""How often one robot stays cut off in peace, and how often another one gets not all that is said to it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Options:
    """What a run depends on, besides its seed.

    Attributes:
        hours: of virtual time in which things go wrong.
        only: the numbers of the acts that happen, as they are counted in a trace; None for all.
    """

    hours: float = 1.0
    robots: int = 3
    faults: frozenset[Fault] = acts.ALL
    only: frozenset[int] | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended.

    Attributes:
        violation: what was violated, None if nothing was.
        acts: how many acts there were.
        events: how many things happened.
    """

    seed: int
    violation: tuple[str, str] | None
    trace: tuple[str, ...]
    acts: int
    events: int


def plan(seed: int, options: Options) -> list[tuple[int, Act]]:
    """The acts of a run, with their numbers."""
    rng = random.Random(f"{seed}/plan")  # noqa: S311  made to be repeated
    drawn = acts.draw(rng, options.robots, options.hours * 3600.0, options.faults)
    return [(number, act) for number, act in enumerate(drawn) if options.only is None or number in options.only]


def run(seed: int, options: Options) -> Outcome:
    """Runs one seed. The same seed and options give the same outcome, byte for byte."""
    chosen = plan(seed, options)
    world = World(str(seed), options.robots, limits=LIMITS)
    run_ = _Run(world, seed, options)
    found: tuple[str, str] | None = None
    with world.kernel.in_place(), unlogged():
        try:
            run_.all([act for _, act in chosen])
        except Violation as violation:
            found = (violation.invariant, violation.words)
            world.tell("violation", f"{violation.invariant}: {violation.words}")
    return Outcome(seed, found, tuple(world.trace), len(chosen), run_.events)


@contextlib.contextmanager
def unlogged() -> Generator[None]:
    """What the agent logs of thousands of faults is of use to nobody."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


class _Run:
    def __init__(self, world: World, seed: int, options: Options) -> None:
        self.events = 0
        self._world = world
        self._options = options
        rng = random.Random(f"{seed}/peace")  # noqa: S311  made to be repeated
        alone, chance = rng.randint(1, options.robots), rng.random()
        self._outcast = alone if options.robots > 1 and chance < _ALONE else 0
        self._frozen = alone if options.robots > 1 and _ALONE <= chance < 2 * _ALONE else 0
        self._held_back = rng.choice((faults.EVERYTHING, faults.ORDERS))

    def all(self, chosen: Sequence[Act]) -> None:
        world = self._world
        world.start(chosen)
        self._pass(self._options.hours * 3600.0)
        world.make_peace(self._outcast, self._frozen, self._held_back)
        robots = [robot for robot in world.robots.values() if robot.number not in (self._outcast, self._frozen)]
        self._await_agreement(robots)
        self._await_silence(robots)
        for robot in world.robots.values():
            if robot.number == self._frozen:
                self._check_frozen(robot)

    def _pass(self, seconds: float) -> None:
        until = self._world.timeline.now + seconds
        while self._world.timeline.advance(until):
            self.events += 1
            if self.events > MOST_EVENTS:
                raise Violation("L2", f"{self.events} events, and no end of them")

    def _await_agreement(self, robots: Collection[Robot]) -> None:
        deadline = self._world.timeline.now + AGREED_S
        self._pass(SETTLED_S)
        while any(self._disagreement(robot) for robot in robots):
            if self._world.timeline.now >= deadline:
                for robot in robots:
                    if words := self._disagreement(robot):
                        raise Violation("L1/L2", f"{robot.checks.name}, {AGREED_S:.0f} s after the last fault: {words}")
            self._pass(_STEP_S)

    def _await_silence(self, robots: Collection[Robot]) -> None:
        world = self._world
        before = {robot.wire: self._traffic(robot) for robot in robots}
        self._pass(QUIET_S)
        if any(self._disagreement(robot) for robot in robots):
            self._pass(_STEP_S)  # a heartbeat may be under way
        for robot in robots:
            if words := self._disagreement(robot):
                raise Violation("L2", f"{robot.checks.name} agreed with the cloud, and does not any more: {words}")
            orders, reports, *others = (
                now - then for now, then in zip(self._traffic(robot), before[robot.wire], strict=True)
            )
            if orders or reports > MOST_REPORTS or max(others) > MOST_HEARTBEATS:
                words = f"{orders} orders, {reports} reports, {others[0]} presence messages, {others[1]} events"
                raise Violation("L2", f"{robot.checks.name} and the cloud agree, and still send {words}")
        world.tell("the world", "all agree, and are silent")

    def _check_frozen(self, robot: Robot) -> None:
        """L8: who is kept from the newest says so, and its report still gets through; who has it does not."""
        lacks = robot.checks.fresh.is_behind
        stale, known = robot.stale, self._world.shore.records[robot.wire].stale
        answered = Kind.ECHO not in self._held_back
        expected = ("withheld",) if answered else ("withheld", "unanswered")
        is_right = stale is not None and stale.code in expected if lacks or not answered else stale is None
        if not is_right or known is not bool(stale):
            words = f"it says {stale}, and the cloud {'knows that' if known else 'does not know that it is stale'}"
            held_back = sorted(kind.value for kind in self._held_back)
            raise Violation("L8", f"{robot.checks.name}, from which {held_back} is held back, lacks {lacks}: {words}")

    def _traffic(self, robot: Robot) -> tuple[int, ...]:
        heard = self._world.broker.heard
        kinds = (Kind.REPORT, Kind.PRESENCE, Kind.EVENT)
        return (self._world.shore.said[robot.wire], *(heard.get(TOPICS.of(robot.wire, kind), 0) for kind in kinds))

    def _disagreement(self, robot: Robot) -> str:
        """Where a robot and what is recorded of it differ; empty if nowhere."""
        record = self._world.shore.records[robot.wire]
        device, memory = record.device, robot.memory
        if robot.stale or record.stale:
            return f"it is stale: {robot.stale}, or was for the cloud"
        if not self._world.broker.is_connected(robot.wire) or not record.online:
            return "it is not connected, or not known to be"
        if not robot.is_idle:
            return "it still has something to do"
        if robot.listed.version != self._world.shore.ring.listed.version:
            return f"it goes by key list {robot.listed.version}, {self._world.shore.ring.listed.version} is the newest"
        if device.generation == 0 and memory.position < (device.epoch, 0):
            return ""  # nothing was ordered, or what was is of a forgotten time, and a newer epoch does not repeat it
        order = memory.order
        if order is None or order.generation != device.generation:
            return f"the newest order is {device.generation}, it obeys {memory.position[1]}"
        if not device.in_sync:
            return f"the cloud does not know that it obeys order {device.generation}"
        if device.adopted:
            return "" if order.digest == device.adopted else "it obeys another order than the adopted one"
        if (order.deployment.id if order.deployment else None, order.fallback) != (device.desired, device.fallback):
            return f"its order {order.generation} is not the cloud's"
        desired = device.deployments[device.desired] if device.desired else None
        is_left_so = not robot.software.nature.heals and desired is not None and desired.integrity is not None
        is_whole = desired is None or is_left_so or robot.checks.reads_whole
        if robot.checks.visible != device.desired or not is_whole:
            return f"robot software reads {robot.checks.visible}, desired is {device.desired}, or its files are damaged"
        if desired is not None and desired.statuses.merged != "deployed":
            return f"the cloud shows {desired.statuses.merged} for what is in force"
        if desired is not None and (desired.waiting or (desired.integrity and not is_left_so)):
            return f"the cloud shows {desired.waiting or desired.integrity} beside what is in force, and well"
        if robot.software.kept:
            return f"{len(robot.software.kept)} contents are still kept that were fetched"
        if device.fallback:
            return f"{device.fallback} is still kept as fallback"
        leaving = [known.id for known in device.deployments.values() if known.statuses.target is Target.ARCHIVED]
        return f"the cloud shows {leaving} as leaving" if leaving else ""
