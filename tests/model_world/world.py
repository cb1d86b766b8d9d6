"""A world to walk through, one event after the other, that remembers the way.

Every method of ``World`` that is not a question is one event. After each one the new state is held against the
rules; what does not hold is raised as ``Violation`` with the history that led there. Nothing here decides anything of
its own: what happens is what ``shallop_protocol.cloud`` and ``shallop_protocol.device`` say, and all that travels is
real bytes.
"""

from __future__ import annotations

from collections.abc import Iterator

from shallop_protocol import device
from shallop_protocol.statuses import Activity

from model_world import agreement, events, moves, orders, robot
from model_world import state as moment
from model_world.moves import Move
from model_world.orders import Fate, Weather
from model_world.rules import Violation

MOST_IN_FLIGHT = 6


class World:
    """One robot, its cloud, and the sea between them.

    Attributes:
        state: how it is now.
        history: what happened, in words.
    """

    def __init__(self, most_in_flight: int = MOST_IN_FLIGHT) -> None:
        self.state = moment.first(most_in_flight)
        self.history: list[str] = []

    def take(self, move: Move) -> None:
        """One event happens."""
        self.history.append(moves.in_words(self.state, move))
        try:
            self.state = moment.canonical(move(self.state))
            moment.check(self.state)
        except Violation as found:
            raise self._violation(found) from None

    def possible_events(self) -> Iterator[Move]:
        """What may happen next in quiet weather, other than a new deployment."""
        yield from moves.operator(self.state)
        yield from moves.quiet(self.state)

    def possible_faults(self) -> Iterator[Move]:
        """What may go wrong next."""
        yield from moves.faults(self.state)
        yield Move("back up", events.back_up)
        yield Move("restore", events.restore)

    # The operator.

    def stage(self, fate: Fate = Fate.GOOD, release: str = "1.0.0") -> str:
        """Prepares a new deployment."""
        self.take(Move("stage", events.stage, {"fate": fate, "release": release}))
        return orders.deployment_id(len(self.state.fates))

    def order(self, fate: Fate = Fate.GOOD, release: str = "1.0.0") -> str:
        """Makes a new deployment and orders it in one act."""
        self.take(Move("order", events.order, {"fate": fate, "release": release}))
        return orders.deployment_id(len(self.state.fates))

    def deploy(self, deployment: str) -> None:
        """Orders a staged deployment."""
        self.take(Move("deploy", events.deploy, {"deployment": deployment}))

    def archive(self, deployment: str) -> None:
        """Withdraws a deployment."""
        self.take(Move("archive", events.archive, {"deployment": deployment}))

    def restage(self, deployment: str) -> None:
        """Declares a drifted deployment reviewed."""
        self.take(Move("restage", events.restage, {"deployment": deployment}))

    def staged(self, activity: Activity) -> list[str]:
        """The deployments that wait ashore."""
        return events.waiting(self.state, activity)

    def archivable(self) -> list[str]:
        """The deployments that are still wanted, or may be."""
        return events.archivable(self.state)

    # The cloud, the network and the robot.

    def publish(self) -> None:
        """The cloud sends its newest order, if it ever had one."""
        if self.state.shore.recorded.generation:
            self.take(Move("publish", events.publish))

    def back_up(self) -> None:
        """A copy of the cloud's database is taken."""
        self.take(Move("back up", events.back_up))

    def restore(self) -> None:
        """The copy takes the place of the cloud's database."""
        self.take(Move("restore", events.restore))

    def hear(self, index: int = 0, *, again: bool = False) -> None:
        """The cloud takes one of the reports on their way, which may come once more."""
        self.take(Move("hear", events.hear, {"index": index, "again": again}))

    def connect_ashore(self) -> None:
        """The cloud's link connects."""
        self.take(Move("cloud restart", events.connect_ashore))

    def lose_order(self, index: int = 0) -> None:
        """An order never arrives."""
        self.take(Move("loss", events.lose_order, {"index": index}))

    def lose_report(self, index: int = 0) -> None:
        """A report never arrives."""
        self.take(Move("loss", events.lose_report, {"index": index}))

    def wipe_broker(self) -> None:
        """The broker loses what it kept."""
        self.take(Move("wipe", events.wipe_broker))

    def receive(self, index: int = 0, *, again: bool = False) -> None:
        """The robot takes one of the orders on their way, which may come once more."""
        self.take(Move("receive", events.receive, {"index": index, "again": again}))

    def damage(self, tree: str) -> None:
        """Somebody writes into a tree."""
        self.take(Move("damage", events.damage, {"tree": tree}))

    def restart(self) -> None:
        """The robot starts and connects."""
        self.take(Move("robot restart", events.connect))

    def say(self) -> None:
        """The robot repeats its report."""
        self.take(Move("heartbeat", moment.say))

    def lose_database(self, *, keep_disk: bool) -> None:
        """The robot's database is gone, and perhaps its disk."""
        self.take(Move("database", events.lose_database, {"keep_disk": keep_disk}))

    def next_step(self) -> device.Step | None:
        """What the robot would do next."""
        return robot.next_step(self.state.robot)

    def step(self, weather: Weather = Weather.FAIR, power_cut_after: int | None = None) -> None:
        """The robot does its next step, if there is one; it may die after so many changes of disk or database."""
        if self.next_step() is not None:
            self.take(Move("step", events.step, {"weather": weather, "power_cut_after": power_cut_after}))

    # Peace.

    def carry_on(self, bound: int = 300) -> None:
        """Everything that is on its way arrives, and the robot does what it is told, with nobody acting."""
        for _ in range(bound):
            move = self._next_quiet()
            if move is None:
                return
            self.take(move)
        raise self._violation(Violation(f"no rest after {bound} events"))

    def _next_quiet(self) -> Move | None:
        possible = {move.kind: move for move in reversed(list(moves.quiet(self.state)))}
        return next((possible[kind] for kind in ("receive", "step", "hear", "publish") if kind in possible), None)

    def come_to_rest(self, bound: int = 300) -> int:
        """Faults stop. Everything is delivered and done until nothing moves; gives the number of events it took.

        The cloud asserts an order again while the device has not answered it, as its timer would, and the robot
        repeats its report, as its heartbeat would. Both must find nothing to do in the end.
        """
        self.history.append("faults stop")
        self.restart()
        before, heartbeats = len(self.history), 0
        while heartbeats < 2:
            self.carry_on(bound - (len(self.history) - before))
            if not self.state.shore.recorded.in_sync:
                heartbeats = 0
                self.publish()
            else:
                known = self.state.shore, self.state.robot
                self.say()
                self.carry_on()
                heartbeats = heartbeats + 1 if (self.state.shore, self.state.robot) == known else 0
        try:
            agreement.check(self.state)
        except Violation as found:
            raise self._violation(found) from None
        return len(self.history) - before

    def _violation(self, found: Violation) -> Violation:
        return Violation("\n".join([*self.history, "", str(found)]))
