"""All of it together: robots, broker and cloud in virtual time, and the acts that come from outside."""

from __future__ import annotations

import collections
import random
from collections.abc import Callable, Collection, Sequence

from shallop_device import freshness
from shallop_protocol.topics import Kind

from shallop_cloud.bench.simulation import cargo, software
from shallop_cloud.bench.simulation.acts import Act, Deed, Fault, Order
from shallop_cloud.bench.simulation.broker import Broker, Habits, Mood
from shallop_cloud.bench.simulation.faults import Faults
from shallop_cloud.bench.simulation.kernel import Kernel
from shallop_cloud.bench.simulation.key_ring import KeyRing
from shallop_cloud.bench.simulation.operators import Operators
from shallop_cloud.bench.simulation.robot import BEGINNING, Robot
from shallop_cloud.bench.simulation.shore import Shore
from shallop_cloud.bench.simulation.timeline import Timeline


class World:
    """One run's world.

    Attributes:
        robots: by their ids on the wire.
        trace: what happened, one line for each thing that somebody could have seen.

    Args:
        most_lines: how long the trace gets before its beginning is forgotten; None for never.
        has_gates: some robots have hooks, software that acknowledges, and terms. Otherwise all are plain.
        limits: when a robot is stale.
    """

    def __init__(
        self,
        seed: str,
        robots: int,
        most_lines: int | None = None,
        *,
        has_gates: bool = True,
        limits: freshness.Limits = freshness.STANDARD,
    ) -> None:
        self.timeline = Timeline()
        self.trace: collections.deque[str] = collections.deque(maxlen=most_lines)
        self.kernel = Kernel()
        self.loads: dict[str, cargo.Load] = {}
        rng = self._stream(seed, "habits")
        habits = Habits(
            replays_wildcards=rng.random() < 0.7,
            keeps_sessions=rng.random() < 0.3,
            latency=rng.choice(((0.001, 0.01), (0.005, 0.2), (0.05, 3.0))),
            will_delay=rng.choice((0.0, 5.0, 120.0)),
        )
        self._rng = self._stream(seed, "acts")
        self.broker = Broker(self.timeline, self._stream(seed, "broker"), habits)
        self.robots: dict[str, Robot] = {}
        ring = KeyRing(BEGINNING)
        for number in range(1, robots + 1):
            nature = software.draw(self._stream(seed, f"nature/{number}")) if has_gates else software.PLAIN
            robot = Robot(
                number, self.timeline, self.broker, self.kernel, self.loads, ring, seed, self.tell, nature, limits
            )
            self.robots[robot.wire] = robot
        self.shore = Shore(
            self.timeline,
            self.broker,
            self.robots,
            self.loads,
            ring,
            self._stream(seed, "cloud"),
            self.tell,
        )
        self._by_number = by_number = {robot.number: robot for robot in self.robots.values()}
        self.operators = Operators(self.timeline, self.shore, by_number, self.loads)
        self._faults = Faults(self.timeline, self.broker, self.shore, by_number, self.tell)

    def start(self, plan: Sequence[Act]) -> None:
        """Everything starts, and the acts wait for their moment."""
        self.shore.start()
        for robot in self.robots.values():
            self.timeline.after(self._rng.uniform(0.0, 2.0), robot.boot)
        for act in plan:
            self.timeline.after(act.at, self._doing(act))

    def make_peace(self, outcast: int = 0, frozen: int = 0, held_back: Collection[Kind] = ()) -> None:
        """Nothing goes wrong any more, but for one robot, if one is named.

        Args:
            outcast: its disk stays full, and its line cut.
            frozen: the broker holds back these kinds of messages to it.
        """
        self.tell("the world", "faults stop")
        self._faults.is_over = True
        self.broker.mood = Mood()
        self.broker.unreachable.clear()
        self.broker.withheld.clear()
        self.broker.come_up()
        self.shore.power.hold()
        self.shore.start()
        for robot in self.robots.values():
            robot.power.hold()
            robot.disk.full = robot.number == outcast
            robot.disk.recover()
            robot.disk.rots = 0
            robot.software.is_calm = True
            robot.boot()
            if robot.number == outcast:
                self.broker.cut_off(robot.wire)
            if robot.number == frozen:
                self.broker.withheld[robot.wire] = held_back

    def tell(self, who: str, words: str) -> None:
        """Something happened that somebody could have seen."""
        self.trace.append(f"{self.timeline.now:12.3f}  {who:<9} {words}")

    def _doing(self, act: Act) -> Callable[[], None]:
        def do() -> None:
            match act.what:
                case Order():
                    self.tell("operator", str(act))
                    self.operators.happen(act, act.what)
                case Fault():
                    self.tell("the world", str(act))
                    self._faults.happen(act, act.what)
                case Deed():
                    self._hold(act)

        return do

    def _hold(self, act: Act) -> None:
        """Robot software holds; a third of it forgets to say when it is over."""
        name = f"software-{act.pick % 2}"
        released = None if act.pick % 3 == 0 else act.seconds * act.pick / 100.0
        self._by_number[act.robot].hold(name, act.seconds, released_after=released)

    @staticmethod
    def _stream(seed: str, name: str) -> random.Random:
        return random.Random(f"{seed}/{name}")  # noqa: S311  made to be repeated
