"""What is done to the system while it works: faults by a seeded schedule, several at once, each for a while."""

from __future__ import annotations

import collections
import dataclasses
import heapq
import itertools
import random
import signal
import threading
from collections.abc import Callable, Sequence

from paho import mqtt
from shallop_cloud.bench.proxy import Way
from system_world import Process
from torture.history import Log
from torture.torture_world import TortureWorld

GAP_S = 0.6
_SUPERVISED_EVERY_S = 0.5
_LONGEST_S = 4.0
PROGRESS = 10
"""So much has to be achieved between two deaths of the cloud."""
_MOSTLY = 0.8
_DECADES = 50 * 365.25 * 86_400.0

Undo = Callable[[], None]


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """A fault that was begun: whom it hit, and how it ends. None where there is nothing to end."""

    victim: str
    undo: Undo | None


class Nemesis(threading.Thread):
    """Does harm until ``stop`` is set, and ends all of it before it is over itself.

    It is the service manager too: it starts again what ended by itself, and writes down that it did.

    Args:
        kinds: names out of ``KINDS``.
        progress: how much was achieved so far. The cloud is killed again only when it got somewhere in between: it
            takes seconds to start, and without it there is not much to torture.
        gap: seconds from one fault to the next, on average.
    """

    def __init__(
        self,
        world: TortureWorld,
        kinds: Sequence[str],
        log: Log,
        rng: random.Random,
        progress: Callable[[], int],
        gap: float = GAP_S,
    ) -> None:
        super().__init__(name="nemesis", daemon=True)
        self._world = world
        self._kinds = kinds
        self._log = log
        self._rng = rng
        self._busy: set[str] = set()
        self._last: dict[str, str] = {}
        self._ends: list[tuple[float, int, Undo]] = []
        self._order = itertools.count()
        self._progress = progress
        self._progress_at_kill = -PROGRESS
        self._gap = gap
        self.stop = threading.Event()
        self.counts: collections.Counter[str] = collections.Counter()
        self.error: BaseException | None = None

    def run(self) -> None:
        """Begins and ends faults as their moments come."""
        try:
            next_at = self._log.now()
            while True:
                now = self._log.now()
                while self._ends and self._ends[0][0] <= now:
                    heapq.heappop(self._ends)[2]()
                if now >= next_at:
                    self._begin(self._rng.choice(self._kinds))
                    next_at = now + self._rng.expovariate(1 / self._gap)
                self._supervise()
                soonest = min([next_at, now + _SUPERVISED_EVERY_S, *(end[0] for end in self._ends[:1])])
                if self.stop.wait(max(0.0, soonest - self._log.now())):
                    return
        except BaseException as error:
            self.error = error
            raise
        finally:
            self.heal()

    def heal(self) -> None:
        """Ends every fault, and cuts every connection once: what hung on the broken network begins anew."""
        while self._ends:
            heapq.heappop(self._ends)[2]()
        self._supervise()
        self._world.network.heal()
        self._world.network.reset()
        self._log.write("healed", at=self._log.now())

    def _supervise(self) -> None:
        """Starts what is not running although nobody ended it."""
        parts = {name: (robot.process, robot.process.start) for name, robot in self._world.tortured.items()}
        parts["cloud"] = (self._world.cloud, self._world.cloud.start)
        parts["broker"] = (self._world.broker, self._world.start_broker)
        for name, (process, start) in parts.items():
            if name not in self._busy and not process.is_running:
                self._log.write("exit", at=self._log.now(), who=name, after=self._last.get(name))
                start()

    def _begin(self, kind: str) -> None:
        lasting = self._rng.uniform(0.05, 1.0) * self._rng.choice((1.0, _LONGEST_S))
        fault = KINDS[kind](self, lasting)
        if fault is None:
            return
        self.counts[kind] += 1
        self._last[fault.victim] = kind
        self._log.write("fault", at=self._log.now(), what=kind, victim=fault.victim, lasting=round(lasting, 3))
        if fault.undo is not None:
            heapq.heappush(self._ends, (self._log.now() + lasting, next(self._order), fault.undo))

    def _take(self, victim: str, undo: Undo) -> Fault:
        """One fault of a process at a time."""
        self._busy.add(victim)

        def end() -> None:
            undo()
            self._busy.discard(victim)

        return Fault(victim, end)

    def _robot(self) -> str | None:
        """One to whose process nothing is being done; mostly one that is connected, for on a slow machine nothing would
        ever come of robots that are hit as soon as they begin.
        """
        free = [name for name in self._world.tortured if name not in self._busy]
        if self._rng.random() < _MOSTLY:
            here = self._world.network.clients()
            free = [name for name in free if self._world.tortured[name].wire_id in here]
        return self._rng.choice(free) if free else None

    def _clients(self) -> list[str]:
        """Whom a fault of the network hits: a robot, the cloud, or everybody."""
        shore = [client for client in self._world.network.clients() if client.startswith("cloud-")]
        robots = [robot.wire_id for robot in self._world.tortured.values()]
        return self._rng.choice([[self._rng.choice(robots)], [self._rng.choice(robots)], shore, []])

    def kill_agent(self, _: float) -> Fault | None:
        name = self._robot()
        if name is None:
            return None
        process = self._world.tortured[name].process
        process.kill()
        return self._take(name, process.start)

    def cut_power(self, _: float) -> Fault | None:
        """The agent dies before one of its next steps on the disk."""
        name = self._robot()
        if name is None:
            return None
        robot = self._world.tortured[name]
        robot.control(cut_after=self._rng.randrange(40))

        def back() -> None:
            robot.control()
            robot.process.kill()
            robot.process.start()

        return self._take(name, back)

    def stop_agent(self, _: float) -> Fault | None:
        name = self._robot()
        if name is None:
            return None
        robot = self._world.tortured[name]
        robot.send(signal.SIGSTOP)
        return self._take(name, lambda: robot.send(signal.SIGCONT))

    def fill_disk(self, _: float) -> Fault | None:
        name = self._robot()
        if name is None:
            return None
        robot = self._world.tortured[name]
        robot.fill_disk(is_full=True)
        return self._take(name, lambda: robot.fill_disk(is_full=False))

    def step_clock(self, _: float) -> Fault | None:
        name = self._robot()
        if name is None:
            return None
        robot = self._world.tortured[name]
        robot.control(clock=self._rng.uniform(-_DECADES, _DECADES))
        return self._take(name, robot.control)

    def kill_cloud(self, _: float) -> Fault | None:
        if self._progress() < self._progress_at_kill + PROGRESS:
            return None
        self._progress_at_kill = self._progress()
        return self._kill("cloud", self._world.cloud.kill, self._world.cloud.start)

    def stop_cloud(self, _: float) -> Fault | None:
        return self._pause("cloud", self._world.cloud)

    def kill_broker(self, _: float) -> Fault | None:
        return self._kill("broker", self._world.broker.kill, self._world.start_broker)

    def wipe_broker(self, _: float) -> Fault | None:
        return self._kill("broker", self._world.wipe_broker, self._world.start_broker)

    def stop_broker(self, _: float) -> Fault | None:
        return self._pause("broker", self._world.broker)

    def _kill(self, victim: str, kill: Callable[[], None], start: Undo) -> Fault | None:
        if victim in self._busy:
            return None
        kill()
        return self._take(victim, start)

    def _pause(self, victim: str, process: Process) -> Fault | None:
        if victim in self._busy:
            return None
        process.send(signal.SIGSTOP)
        return self._take(victim, lambda: process.send(signal.SIGCONT))

    def offline(self, lasting: float) -> Fault:
        clients = self._clients()
        self._world.network.offline(*clients, seconds=lasting)
        return _of(clients)

    def stall(self, lasting: float) -> Fault:
        clients = self._clients()
        self._world.network.stall(*clients, seconds=lasting)
        return _of(clients)

    def slow(self, lasting: float) -> Fault:
        clients = self._clients()
        self._world.network.slow(self._rng.uniform(0.01, 0.5), *clients, seconds=lasting)
        return _of(clients)

    def duplicate(self, lasting: float) -> Fault:
        clients = self._clients()
        self._world.network.duplicate(*clients, seconds=lasting, share=self._rng.uniform(0.2, 1))
        return _of(clients)

    def reorder(self, lasting: float) -> Fault:
        clients = self._clients()
        self._world.network.reorder(*clients, seconds=lasting, share=self._rng.uniform(0.2, 1))
        return _of(clients)

    def drop_puback(self, lasting: float) -> Fault:
        clients = self._clients()
        self._world.network.drop_puback(*clients, seconds=lasting, share=self._rng.uniform(0.2, 1))
        return _of(clients)

    def corrupt(self, lasting: float) -> Fault:
        """Orders alone are damaged: they are signed. A report says what it says, and TCP is trusted with it."""
        robots = [robot.wire_id for robot in self._world.tortured.values()]
        clients = [self._rng.choice(robots)]
        self._world.network.corrupt(*clients, seconds=lasting, way=Way.TO_CLIENT, share=self._rng.uniform(0.2, 1))
        return _of(clients)

    def replay(self, _: float) -> Fault | None:
        """The broker retains an order of earlier again."""
        earlier = [(topic, sent[:-1]) for topic, sent in self._world.tap.envelopes.items() if len(sent) > 1]
        if not earlier or "broker" in self._busy:
            return None
        topic, sent = self._rng.choice(earlier)
        try:
            self._world.say_as_cloud(topic, self._rng.choice(sent))
        except (OSError, mqtt.MQTTException):
            return None
        return Fault(topic.split("/")[-2], None)

    def renew_keys(self, _: float) -> Fault | None:
        """The operator rotates the keys: another signs too, or the old one is retired, or revoked in a new epoch."""
        if "cloud" in self._busy or not self._world.renew_keys(self._rng):
            return None
        return Fault("cloud", None)

    def reset(self, _: float) -> Fault:
        clients = self._clients()
        self._world.network.reset(*clients)
        return _of(clients)


def _of(clients: Sequence[str]) -> Fault:
    return Fault(", ".join(clients) or "everybody", None)


KINDS: dict[str, Callable[[Nemesis, float], Fault | None]] = {
    "kill-agent": Nemesis.kill_agent,
    "power-cut": Nemesis.cut_power,
    "stop-agent": Nemesis.stop_agent,
    "disk-full": Nemesis.fill_disk,
    "clock": Nemesis.step_clock,
    "kill-cloud": Nemesis.kill_cloud,
    "stop-cloud": Nemesis.stop_cloud,
    "kill-broker": Nemesis.kill_broker,
    "wipe-broker": Nemesis.wipe_broker,
    "stop-broker": Nemesis.stop_broker,
    "offline": Nemesis.offline,
    "stall": Nemesis.stall,
    "slow": Nemesis.slow,
    "duplicate": Nemesis.duplicate,
    "reorder": Nemesis.reorder,
    "drop-puback": Nemesis.drop_puback,
    "corrupt": Nemesis.corrupt,
    "reset": Nemesis.reset,
    "replay": Nemesis.replay,
    "renew-keys": Nemesis.renew_keys,
}
"""All that can be done, by the names that people type."""
