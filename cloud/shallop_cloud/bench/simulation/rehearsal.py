"""A fleet's plan, carried out in virtual time: how long each wave takes, and whom it leaves behind."""

from __future__ import annotations

import dataclasses
import math
import random

from shallop_protocol import cloud
from shallop_protocol.statuses import Activity, Error, Statuses

from shallop_cloud.bench.simulation import cargo
from shallop_cloud.bench.simulation.fleet_plan import Links, Plan, Wave
from shallop_cloud.bench.simulation.robot import Robot
from shallop_cloud.bench.simulation.run import unlogged
from shallop_cloud.bench.simulation.wishes import Wish
from shallop_cloud.bench.simulation.world import World

SHARES = (0.5, 0.9, 0.99, 1.0)


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """What became of a wave.

    Attributes:
        robots: how many it was meant for.
        reached: seconds until each share of ``SHARES`` had done it; None where that never was.
        failed: robots that could not run it.
        behind: robots that neither did it nor failed when the plan's time was over, or something later overtook it.
        bare: the most robots of it that had no confirmed configuration at one time.
    """

    robots: int
    reached: tuple[float | None, ...]
    failed: int
    behind: int
    bare: int


def rehearse(plan: Plan, seed: int) -> list[Result]:
    """What becomes of each wave. The same seed and plan give the same results.

    Raises:
        Violation: an invariant does not hold.
    """
    rehearsal = _Rehearsal(plan, seed)
    with rehearsal.world.kernel.in_place(), unlogged():
        return rehearsal.run()


class _Watch:
    """One wave under way."""

    def __init__(self, wave: Wave, robots: set[int]) -> None:
        self.wave = wave
        self.robots = robots
        self.moments: list[float] = []
        self.failed: set[int] = set()
        self.bare: set[int] = set()
        self.most_bare = 0

    def result(self) -> Result:
        """What became of it."""
        count = len(self.robots)
        needed = [math.ceil(share * count) for share in SHARES]
        reached = tuple(self.moments[each - 1] if each <= len(self.moments) else None for each in needed)
        behind = count - len(self.moments) - len(self.failed)
        return Result(count, reached, len(self.failed), behind, self.most_bare)


class _Rehearsal:
    def __init__(self, plan: Plan, seed: int) -> None:
        self.world = World(f"plan/{seed}", plan.robots, most_lines=0, has_gates=False)
        self._plan = plan
        self._rng = random.Random(f"plan/{seed}/links")  # noqa: S311  made to be repeated
        self._robots = {robot.number: robot for robot in self.world.robots.values()}
        self._watches: list[_Watch] = []
        self._purposes: dict[str, tuple[_Watch, int]] = {}
        self._emptied: set[int] = set()
        self._confirmed: dict[int, set[str]] = {number: set() for number in self._robots}

    def run(self) -> list[Result]:
        world = self.world
        world.start(())
        for robot in self._robots.values():
            self._watch(robot)
            self._live(robot.wire, self._plan.links)
        for wave in sorted(self._plan.waves, key=lambda wave: wave.at):
            world.timeline.after(wave.at, lambda wave=wave: self._begin(wave))
        while world.timeline.advance(self._plan.hours * 3600.0):
            pass
        by_wave = {id(watch.wave): watch for watch in self._watches}
        return [by_wave[id(wave)].result() for wave in self._plan.waves]

    def _live(self, wire: str, links: Links) -> None:
        """A link that is offline for its share of the time, in outages of random length."""
        if not links.offline:
            return
        between = links.outage * (1.0 - links.offline) / links.offline
        broker, timeline = self.world.broker, self.world.timeline

        def fail() -> None:
            broker.cut_off(wire, silently=self._rng.random() < 0.5)
            timeline.after(self._rng.expovariate(1.0 / links.outage), heal)

        def heal() -> None:
            broker.reach(wire)
            timeline.after(self._rng.expovariate(1.0 / between), fail)

        (fail if self._rng.random() < links.offline else heal)()

    def _begin(self, wave: Wave) -> None:
        chosen = set(self._plan.chosen(wave))
        watch = _Watch(wave, chosen)
        self._watches.append(watch)
        watch.bare = {number for number in chosen if not self._confirmed[number]}
        watch.most_bare = len(watch.bare)
        for number in sorted(chosen):
            if wave.deploy is None:
                self._take_off(watch, number)
            else:
                self._deploy(watch, number, wave.deploy)

    def _deploy(self, watch: _Watch, number: int, bad: float) -> None:
        self._emptied.discard(number)
        fate = cargo.Fate.BAD_MODE if self._rng.random() < bad else cargo.Fate.GOOD
        load = self.world.operators.new_load(number, fate, cargo.RELEASES[0])
        self._purposes[load.id] = (watch, number)
        self.world.shore.act(
            self._robots[number].wire, Wish(lambda device: cloud.order(device, load.deployment), made=load)
        )

    def _take_off(self, watch: _Watch, number: int) -> None:
        self._emptied.add(number)
        wire = self._robots[number].wire
        current = self.world.shore.records[wire].device.desired
        if current is None:
            watch.moments.append(0.0)
            return
        self._purposes[current] = (watch, number)
        self.world.shore.act(wire, Wish(lambda device: cloud.archive(device, current), named=current, withdraws=True))

    def _watch(self, robot: Robot) -> None:
        def moved(deployment: str, statuses: Statuses) -> None:
            self._moved(robot.number, deployment, statuses)

        self.world.shore.checks[robot.wire].moved = moved

    def _moved(self, number: int, deployment: str, statuses: Statuses) -> None:
        held = self._confirmed[number]
        (held.add if statuses.activity is Activity.DEPLOYED else held.discard)(deployment)
        self.world.timeline.after(0.0, lambda: self._count_bare(number))  # when the whole report was taken
        watch, _ = self._purposes.get(deployment, (None, 0))
        if watch is None:
            return
        over = Activity.ARCHIVED if watch.wave.archive else Activity.DEPLOYED
        if statuses.error is Error.FAILED:
            watch.failed.add(number)
        elif statuses.activity is over:
            del self._purposes[deployment]
            watch.moments.append(self.world.timeline.now - watch.wave.at)

    def _count_bare(self, number: int) -> None:
        for watch in self._watches:
            if number in watch.robots and number not in self._emptied:
                (watch.bare.discard if self._confirmed[number] else watch.bare.add)(number)
                watch.most_bare = max(watch.most_bare, len(watch.bare))
