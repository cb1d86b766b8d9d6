"""What goes wrong, done to the world; each fault is undone by itself in time."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

from shallop_protocol import desired, dsse, echo, errors, messages, topics
from shallop_protocol.topics import Kind

from shallop_cloud.bench.simulation.acts import Act, Fault
from shallop_cloud.bench.simulation.broker import Broker, Message, Mood
from shallop_cloud.bench.simulation.checks import Tell
from shallop_cloud.bench.simulation.power import Power
from shallop_cloud.bench.simulation.robot import BEGINNING, TOPICS, Robot
from shallop_cloud.bench.simulation.shore import Shore
from shallop_cloud.bench.simulation.timeline import Timeline

PATIENCE_S = (2.0, 60.0, 600.0)
"""What is to strike before a step strikes after one of these, in seconds, if there was no such step."""
EVERYTHING = topics.TO_DEVICE | topics.TO_ALL
ORDERS = EVERYTHING - {Kind.ECHO}
"""What a broker holds back that wants nobody to notice: the answers that say whether all is well come through."""
_STRANGER = dsse.signer_from_seed(bytes(range(1, 33)))
_YEARS_50 = 50 * 365.25 * 86_400.0


class Faults:
    """All that can go wrong in one world.

    Attributes:
        is_over: peace was made; what was still to come does not.
    """

    def __init__(
        self,
        timeline: Timeline,
        broker: Broker,
        shore: Shore,
        robots: Mapping[int, Robot],
        tell: Tell,
    ) -> None:
        self.is_over = False
        self._timeline = timeline
        self._broker = broker
        self._shore = shore
        self._tell = tell
        self._by_number = robots
        self._ways: Mapping[Fault, Callable[[Act], None]] = {
            Fault.POWER: self._strike,
            Fault.KILL: self._strike,
            Fault.DISK_FULL: self._fill_disk,
            Fault.IO_ERRORS: self._break_disk,
            Fault.ROT: self._rot,
            Fault.LOSE_DATABASE: self._lose_database,
            Fault.CLOCK: self._set_clock,
            Fault.OFFLINE: self._cut_line,
            Fault.BAD_LINES: self._spoil_lines,
            Fault.POISON: self._poison,
            Fault.HOSTILE: self._be_hostile,
            Fault.BROKER_RESTART: self._restart_broker,
            Fault.BROKER_WIPE: self._wipe_broker,
            Fault.CLOUD_KILL: self._strike_cloud,
            Fault.CLOUD_OFFLINE: self._cut_cloud,
            Fault.CLOUD_RESTORE: self._restore_cloud,
            Fault.OLD_COPY: self._put_old_copy,
        }

    def happen(self, act: Act, fault: Fault) -> None:
        """This goes wrong now."""
        self._ways[fault](act)

    def _strike(self, act: Act) -> None:
        robot = self._by_number[act.robot]
        end = robot.cut_power if act.what is Fault.POWER else robot.kill

        def fall(again: int) -> Callable[[], None]:
            def fallen() -> None:
                self._tell(robot.checks.name, "loses its power" if act.what is Fault.POWER else "dies")
                end()
                self._timeline.after(act.seconds, lambda: rise(again))

            return fallen

        def rise(again: int) -> None:
            if robot.is_on:
                return
            if again >= 0:
                self._doom(robot.power, again, fall(-1), act)
            robot.boot()

        if robot.is_on:
            self._doom(robot.power, act.steps, fall(act.again), act)

    def _strike_cloud(self, act: Act) -> None:
        def fallen() -> None:
            self._tell("the cloud", "dies")
            self._shore.kill()
            self._timeline.after(act.seconds, self._shore.start)

        if self._shore.is_up:
            self._doom(self._shore.power, act.steps % 8, fallen, act)

    def _doom(self, power: Power, steps: int, fallen: Callable[[], None], act: Act) -> None:
        power.cut_after(steps, fallen)
        self._timeline.after(PATIENCE_S[act.pick % len(PATIENCE_S)], lambda: power.strike(fallen))

    def _fill_disk(self, act: Act) -> None:
        disk = self._by_number[act.robot].disk
        disk.full = True
        self._timeline.after(act.seconds, disk.make_room)

    def _break_disk(self, act: Act) -> None:
        disk = self._by_number[act.robot].disk
        disk.faulty = (0.02, 0.1, 0.5)[act.pick % 3]
        self._timeline.after(act.seconds, disk.recover)

    def _rot(self, act: Act) -> None:
        disk = self._by_number[act.robot].disk
        if act.pick % 2:
            disk.rots = 1
        else:
            disk.rot()

    def _lose_database(self, act: Act) -> None:
        robot = self._by_number[act.robot]
        robot.lose_database(self._shore.pinned(robot.wire), keep_disk=act.pick % 3 > 0)
        self._timeline.after(act.seconds, robot.boot)

    def _set_clock(self, act: Act) -> None:
        self._by_number[act.robot].clock.off = (act.pick - 49.5) / 49.5 * _YEARS_50

    def _cut_line(self, act: Act) -> None:
        self._cut_off(self._by_number[act.robot].wire, act)

    def _cut_cloud(self, act: Act) -> None:
        self._cut_off(topics.CLOUD, act)

    def _cut_off(self, client: str, act: Act) -> None:
        self._broker.cut_off(client, silently=act.pick % 2 == 0)
        self._timeline.after(act.seconds, lambda: self._broker.reach(client))

    def _spoil_lines(self, act: Act) -> None:
        late = (1.0, 60.0, 600.0)[act.pick % 3]
        self._broker.mood = mood = Mood(*((0.3, 0.3, 0.3), (0.0, 0.5, 0.5), (0.5, 0.1, 0.0))[act.pick % 3], late)

        def heal() -> None:
            if self._broker.mood is mood:
                self._broker.mood = Mood()

        self._timeline.after(act.seconds, heal)

    def _poison(self, act: Act) -> None:
        wire = self._by_number[act.robot].wire
        topic = TOPICS.of(wire, Kind.DESIRED)
        order, earlier = self._broker.kept.get(topic, b""), self._broker.former.get(topic, b"")
        others = [
            payload for place, payload in self._broker.kept.items() if place.endswith("/desired") and place != topic
        ]
        chances = (b"", b"[" * 5_000, b"\xff\xfe", b'{"v":9}', _forged(wire), earlier, order[:-9], *others[:2])
        payload = chances[act.pick % len(chances)]
        kind = Kind.REPORT if act.pick % 5 == 0 else Kind.DESIRED
        if self._broker.is_up:
            self._broker.publish(Message(TOPICS.of(wire, kind), payload, retain=True))
            self._poison_echoes(act, wire)

    def _poison_echoes(self, act: Act, wire: str) -> None:
        """Old answers once more, those to others, and one that a stranger signed."""
        echoed = self._shore.echoed
        others = [sealed for other, all_ in echoed.items() if other != wire for sealed in all_[-1:]]
        asks = self._broker.kept.get(TOPICS.of(wire, Kind.REPORT), b"")
        chances = (*echoed[wire][:-1][-2:], *others[:1], *_forged_echo(wire, asks), b"{}")
        self._broker.publish(Message(TOPICS.of(wire, Kind.ECHO), chances[act.pick % len(chances)]))

    def _be_hostile(self, act: Act) -> None:
        """Withholds what the cloud says to a robot, perhaps all but echoes, or says something else in its place."""
        robot, ring = self._by_number[act.robot], self._shore.ring
        if act.pick % 4 == 0:
            self._broker.withheld[robot.wire] = EVERYTHING if act.pick % 8 else ORDERS
            self._timeline.after(act.seconds, lambda: self._give_again(robot.wire))
        elif self._broker.is_up:
            lists = [Message(TOPICS.keys, each, retain=True) for each in ring.former]
            topic = TOPICS.of(robot.wire, Kind.DESIRED)
            former = [Message(topic, each, retain=True) for each in self._shore.sealed[robot.wire]]
            forgers = ring.forgers(robot.listed) if robot.is_on else []
            forged = [Message(topic, _forged(robot.wire, each.epoch, each.signer), retain=True) for each in forgers]
            chances = (former, lists, forged)[act.pick % 3]
            if chances:
                self._broker.publish(chances[act.pick // 3 % len(chances)])

    def _give_again(self, wire: str) -> None:
        if not self.is_over:
            self._broker.withheld.pop(wire, None)

    def _restart_broker(self, act: Act) -> None:
        rng = random.Random(act.pick)  # noqa: S311  made to be repeated
        kept: dict[str, bytes] = {}
        for topic, payload in self._broker.kept.items():
            chance = rng.random() if act.pick % 3 else 0.0
            if chance < 0.5:
                kept[topic] = payload
            elif chance < 0.8 and topic in self._broker.former:
                kept[topic] = self._broker.former[topic]
        self._broker.go_down(kept)
        self._timeline.after(act.seconds, self._broker.come_up)

    def _wipe_broker(self, act: Act) -> None:  # noqa: ARG002  there is nothing to choose
        self._broker.kept.clear()

    def _restore_cloud(self, act: Act) -> None:
        if act.pick % 3 == 0 or not self._shore.knows_all_in_copy:
            self._shore.back_up()
            return
        self._shore.kill()
        self._shore.restore()
        self._timeline.after(act.seconds, self._shore.start)

    def _put_old_copy(self, act: Act) -> None:
        robot = self._by_number[act.robot]
        copy = robot.copy_of_database()

        def put() -> None:
            if self.is_over:
                return
            robot.put_database(copy)
            robot.boot()

        self._timeline.after(act.seconds, put)


def _forged_echo(wire: str, report: bytes) -> list[bytes]:
    """The answer to what a report asks, signed by a key that the robot does not know."""
    try:
        nonce = messages.parse_report(report, wire).nonce
    except errors.ProtocolError:
        nonce = None
    made = echo.Echo(device=wire, nonce=nonce, epoch=1, generation=1) if nonce else None
    return [echo.seal_echo(made, _STRANGER)] if made else []


def _forged(wire: str, epoch: int = 1, signer: dsse.Signer = _STRANGER) -> bytes:
    """An order to take everything off, by somebody whom the robot must not believe."""
    order = desired.Desired(device=wire, epoch=epoch, generation=1_000_000, issued_at=BEGINNING, deployment=None)
    return desired.seal_desired(order, signer)
