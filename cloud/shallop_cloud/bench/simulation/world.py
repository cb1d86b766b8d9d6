"""All of it together: robots, broker and cloud in virtual time, and the acts that come from outside."""

from __future__ import annotations

import collections
import random
from collections.abc import Callable, Sequence

from shallop_protocol import cloud, dsse
from shallop_protocol.statuses import Activity, Target

from shallop_cloud.bench.simulation import cargo
from shallop_cloud.bench.simulation.acts import Act, Fault, Order
from shallop_cloud.bench.simulation.broker import Broker, Habits, Mood
from shallop_cloud.bench.simulation.faults import Faults
from shallop_cloud.bench.simulation.kernel import Kernel
from shallop_cloud.bench.simulation.robot import Robot
from shallop_cloud.bench.simulation.shore import Shore
from shallop_cloud.bench.simulation.timeline import Timeline

_SIGNER = dsse.signer_from_seed(bytes(range(32)))


class World:
    """One run's world.

    Attributes:
        robots: by their ids on the wire.
        trace: what happened, one line for each thing that somebody could have seen.

    Args:
        most_lines: how long the trace gets before its beginning is forgotten; None for never.
    """

    def __init__(self, seed: str, robots: int, most_lines: int | None = None) -> None:
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
        for number in range(1, robots + 1):
            robot = Robot(number, self.timeline, self.broker, self.kernel, self.loads, _SIGNER.key, seed, self.tell)
            self.robots[robot.wire] = robot
        self.shore = Shore(
            self.timeline,
            self.broker,
            self.robots,
            self.loads,
            _SIGNER,
            self._stream(seed, "cloud"),
            self.tell,
        )
        self._by_number = {robot.number: robot for robot in self.robots.values()}
        self._faults = Faults(self.timeline, self.broker, self.shore, self._by_number, self.tell)
        self._made = dict.fromkeys(self._by_number, 0)

    def start(self, plan: Sequence[Act]) -> None:
        """Everything starts, and the acts wait for their moment."""
        self.shore.start()
        for robot in self.robots.values():
            self.timeline.after(self._rng.uniform(0.0, 2.0), robot.boot)
        for act in plan:
            self.timeline.after(act.at, self._doing(act))

    def make_peace(self, outcast: int = 0) -> None:
        """Nothing goes wrong any more, but for one robot, if one is named: its disk stays full, and its line cut."""
        self.tell("the world", "faults stop")
        self._faults.is_over = True
        self.broker.mood = Mood()
        self.broker.unreachable.clear()
        self.broker.come_up()
        self.shore.power.hold()
        self.shore.start()
        for robot in self.robots.values():
            robot.power.hold()
            robot.disk.full = robot.number == outcast
            robot.disk.recover()
            robot.disk.rots = 0
            robot.boot()
            if robot.number == outcast:
                self.broker.cut_off(robot.wire)

    def tell(self, who: str, words: str) -> None:
        """Something happened that somebody could have seen."""
        self.trace.append(f"{self.timeline.now:12.3f}  {who:<9} {words}")

    def new_load(self, robot: int, fate: cargo.Fate, release: str) -> cargo.Load:
        """A deployment that is new."""
        self._made[robot] += 1
        load = cargo.load(robot, self._made[robot], fate, release)
        self.loads[load.id] = load
        return load

    def _doing(self, act: Act) -> Callable[[], None]:
        def do() -> None:
            self.tell("the world" if isinstance(act.what, Fault) else "operator", str(act))
            if isinstance(act.what, Order):
                self._order(act, act.what)
            else:
                self._faults.happen(act, act.what)

        return do

    def _order(self, act: Act, what: Order) -> None:
        robot = self._by_number[act.robot]
        if what in (Order.ORDER, Order.STAGE):
            load = self.new_load(robot.number, act.fate, act.release)
            decide = cloud.order if what is Order.ORDER else cloud.stage
            self.shore.act(robot.wire, lambda device: decide(device, load.deployment))
            return
        known = [each for each in self.shore.records[robot.wire].device.deployments.values() if _suits(each, what)]
        if known:
            chosen = known[act.pick % len(known)].id
            decide = {Order.DEPLOY: cloud.deploy, Order.ARCHIVE: cloud.archive, Order.RESTAGE: cloud.restage}[what]
            withdrawn = chosen if what is Order.ARCHIVE else None
            self.shore.act(robot.wire, lambda device: decide(device, chosen), withdrawn)

    @staticmethod
    def _stream(seed: str, name: str) -> random.Random:
        return random.Random(f"{seed}/{name}")  # noqa: S311  made to be repeated


def _suits(deployment: cloud.Deployment, order: Order) -> bool:
    """Whether an operator would think of doing this to it; now and then it is forbidden all the same."""
    statuses = deployment.statuses
    if order is Order.DEPLOY:
        return statuses.target is Target.STAGED
    if order is Order.RESTAGE:
        return statuses.activity is Activity.DRIFTED
    return True
