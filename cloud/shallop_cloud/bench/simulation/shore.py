"""The cloud: the real decisions, with a model of its store and of its link.

What is recorded is durable at once; what the link knows dies with the process. The link does as
``shallop_cloud.link.publisher`` and ``ingest`` do: it records that an order may be out before it sends it, says hello
whenever it is connected, and tells every device again that has not answered its newest order, then and by timer.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterable, Mapping
from typing import Any

from shallop_protocol import cloud, desired, echo, errors, ids, messages, topics, trust
from shallop_protocol.statuses import Activity
from shallop_protocol.topics import Kind

from shallop_cloud.bench.simulation.broker import Broker, Line, Message
from shallop_cloud.bench.simulation.cargo import Load
from shallop_cloud.bench.simulation.checks import ShoreChecks, Tell
from shallop_cloud.bench.simulation.key_ring import KeyRing
from shallop_cloud.bench.simulation.power import Cut, Power
from shallop_cloud.bench.simulation.robot import BEGINNING, TOPICS, Robot
from shallop_cloud.bench.simulation.timeline import Appointment, Timeline
from shallop_cloud.bench.simulation.violation import Violation
from shallop_cloud.bench.simulation.wishes import Wish

REASSERT_EVERY_S = 300.0
RECONNECT_CAP_S = 60.0
HELLO_PER_SECOND = 5_000
TIDY_S = 5.0
"""An order that only tidies up waits up to so long."""
_FILTERS = tuple(TOPICS.every(kind) for kind in (Kind.REPORT, Kind.PRESENCE, Kind.EVENT))


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """What is recorded of one robot.

    Attributes:
        device: without the deployments that are over, which are ``over``.
        taken: the newest report of each incarnation that was recorded.
        made: all deployments that were ever recorded, in this order; ``in_force`` those that were confirmed.
        keys: the version of the key list by which its newest order was last signed; ``followed`` the one that the robot
            said to go by. ``stale``: it said that nothing fresh reaches it.
        online, presence_incarnation, connection: of the presence message that counted last.
    """

    device: cloud.Device
    taken: Mapping[str, int] = dataclasses.field(default_factory=dict[str, int])
    over: Mapping[str, cloud.Deployment] = dataclasses.field(default_factory=dict[str, cloud.Deployment])
    made: tuple[str, ...] = ()
    in_force: frozenset[str] = frozenset()
    keys: int = 0
    followed: int = 0
    stale: bool = False
    online: bool = False
    presence_incarnation: str | None = None
    connection: int = 0


class Shore:
    """The cloud.

    Attributes:
        records: its database, by the robots' ids on the wire.
        is_up: the process runs.
        said: how many orders it sent to each robot; ``echoed`` its answers to each, ``sealed`` the orders.
        ring: its signing keys, and the key list.
    """

    def __init__(
        self,
        timeline: Timeline,
        broker: Broker,
        robots: Mapping[str, Robot],
        loads: Mapping[str, Load],
        ring: KeyRing,
        rng: random.Random,
        tell: Tell,
    ) -> None:
        self.power = Power()
        self.ring = ring
        self.is_up = False
        self.records = {wire: Record(cloud.Device(robot.device)) for wire, robot in robots.items()}
        self.checks = {wire: ShoreChecks(robot.checks, loads, tell) for wire, robot in robots.items()}
        self.said = dict.fromkeys(robots, 0)
        self._timeline = timeline
        self._broker = broker
        self._robots = robots
        self._loads = loads
        self._told = 0
        self._rng = rng
        self._tell = tell
        self._sealed: dict[tuple[str, int, int, int, str | None, str | None], bytes] = {}
        self.sealed: dict[str, list[bytes]] = {wire: [] for wire in robots}
        self._line: Line | None = None
        self._life = 0
        self._failures = 0
        self._again: set[str] = set()
        self._echoes: dict[str, echo.Echo] = {}
        self.echoed: dict[str, list[bytes]] = {wire: [] for wire in robots}
        self._came_up = False
        self._reassert_at = 0.0
        self._tidy_at = 0.0
        self._wake: Appointment | None = None
        self._backup = dict(self.records)
        self._floors: dict[str, tuple[int, int]] = {}

    # What the world does to it.

    def start(self) -> None:
        """The process starts on what is recorded."""
        if not self.is_up:
            self._tell("the cloud", "starts")
            self.is_up = True
            self._life += 1
            self._failures = 0
            self._again = set()
            self._echoes = {}
            self._told = 0
            self._came_up = False
            self._reassert_at = self._timeline.now + REASSERT_EVERY_S
            self._connect()

    def kill(self) -> None:
        """The process ends at once."""
        self.is_up = False
        if self._wake:
            self._wake.call_off()
        if self._line:
            self._line.die()
            self._line = None

    def back_up(self) -> None:
        """Takes a copy of the database."""
        self._backup = dict(self.records)

    @property
    def knows_all_in_copy(self) -> bool:
        """Whether the copy is of a time when every robot was enrolled as it is now. One from before does not know the
        robot's secret: the robot would have to enrol anew, and get another floor."""
        return all(
            floor <= (self._backup[wire].device.epoch, self._backup[wire].device.generation)
            for wire, floor in self._floors.items()
        )

    def restore(self) -> None:
        """Puts the copy in the place of the database: what was done since is forgotten. The process is down."""
        self.records = dict(self._backup)
        for checks in self.checks.values():
            checks.is_restored = True
        self._show_newest(self.records)

    def act(self, wire: str, wish: Wish) -> bool:
        """Does what an operator asks for. False if the present state forbids it, or nobody is there to ask."""
        if not self.is_up:
            return False
        record = self.records[wire]
        before = record.device
        if wish.named is not None and wish.named not in before.deployments:
            if wish.named not in record.over:
                self._tell("the cloud", "refuses: it is not found")
                return False
            known = {**before.deployments, wish.named: record.over[wish.named]}
            before = dataclasses.replace(before, deployments=known)
        try:
            self._record(wire, wish.decide(before), wish=wish)
        except cloud.Conflict as conflict:
            self._tell("the cloud", f"refuses: {conflict.code}")
            return False
        except Cut as cut:
            cut.then()
            return False
        self._wake_after(self._rng.uniform(0.0, 0.02))
        return True

    def renewed(self) -> None:
        """There is a newer key list."""
        listed = self.ring.listed
        self._tell("the cloud", f"has key list {listed.version}, epoch {listed.epoch}")
        self._show_newest(self.records)
        self._wake_up()

    def pinned(self, wire: str) -> trust.Trust:
        """What it answers to a robot that is enrolled anew."""
        known = self.records[wire].device
        self._floors[wire] = (known.epoch, known.generation)
        return self.ring.pinned(wire, self._floors[wire])

    # The line's peer.

    def connected(self) -> None:
        """The broker accepted the connection."""
        self._tell("the cloud", "is connected")
        self._failures = 0
        self._came_up = True
        self._wake_after(0.0)

    def acknowledged(self, number: int) -> None:
        """A PUBACK, on which nothing rests."""

    def lost(self, why: str) -> None:  # noqa: ARG002  it is the same to the cloud
        """The connection is over; another is tried, with full jitter."""
        life = self._life
        self._line = None
        self._failures += 1
        delay = self._rng.uniform(0.0, min(RECONNECT_CAP_S, 2.0**self._failures))
        self._timeline.after(delay, lambda: self._connect() if self.is_up and life == self._life else None)

    def delivered(self, message: Message) -> None:
        """A message came; it is recorded a little later, unless the process dies before."""
        life = self._life

        def record() -> None:
            if self.is_up and life == self._life:
                try:
                    self._ingest(message)
                except Cut as cut:
                    cut.then()

        self._timeline.after(0.01, record)

    def _connect(self) -> None:
        self._line = self._broker.connect(topics.CLOUD, self, self._rng, _FILTERS)

    def _wake_after(self, seconds: float) -> None:
        if self._wake:
            self._wake.call_off()
        self._wake = self._timeline.after(seconds, self._round)

    def _round(self) -> None:
        try:
            self._send_all()
        except Cut as cut:
            cut.then()
            return
        if self._is_connected:
            self._wake_after(max(1.0, self._reassert_at - self._timeline.now))

    @property
    def _is_connected(self) -> bool:
        return self._line is not None and self._line.is_open and self._line.is_known

    def _send_all(self) -> None:
        echoes, self._echoes = self._echoes, {}
        if self._line is None or not self._is_connected:
            return
        self._follow_keys()
        for wire, answer in echoes.items():
            self._answer(wire, answer)
        if self._came_up:
            self._came_up = False
            self._tell_keys()
            spread = min(300.0, len(self.records) / HELLO_PER_SECOND)
            self._line.publish(Message(TOPICS.hello, messages.Hello(spread_s=round(spread, 3)).to_bytes()))
            self._reassert_at = 0.0
        self._send_new()
        again, self._again = self._again, set()
        self._send(sorted(again))
        if self._timeline.now >= self._reassert_at:
            if any(record.followed < self.ring.listed.version for record in self.records.values()):
                self._tell_keys()
            self._send([wire for wire, record in self.records.items() if not record.device.in_sync])
            self._reassert_at = self._timeline.now + REASSERT_EVERY_S

    def _tell_keys(self) -> None:
        assert self._line is not None
        self._line.publish(Message(TOPICS.keys, self.ring.envelope, retain=True))
        self._told = self.ring.listed.version

    def _follow_keys(self) -> None:
        """A newer key list goes out, and after it each order, signed anew and in the epoch of the list."""
        listed = self.ring.listed
        if self._told != listed.version:
            self._tell_keys()
        for wire, record in self.records.items():
            raised = cloud.raise_epoch(record.device, listed.epoch)
            if raised is not record.device:
                self._record(wire, raised)
        self._send([wire for wire, record in self.records.items() if 0 < record.keys < listed.version])

    def _send_new(self) -> None:
        """What changes something goes at once; what only tidies up waits a little, if something was sent just now."""
        unsent = [
            record.device for record in self.records.values() if record.device.published < record.device.generation
        ]
        tidying = [ids.on_wire(device.id) for device in unsent if _only_tidies(device)]
        changing = [ids.on_wire(device.id) for device in unsent if not _only_tidies(device)]
        self._send(changing)
        if changing:
            self._tidy_at = max(self._tidy_at, self._timeline.now + self._rng.uniform(0.0, TIDY_S))
        if tidying and self._timeline.now >= self._tidy_at:
            self._send(tidying)
            self._tidy_at = self._timeline.now + self._rng.uniform(0.0, TIDY_S)
        elif tidying:
            self._timeline.after(self._tidy_at - self._timeline.now, self._wake_up)

    def _wake_up(self) -> None:
        if self.is_up:
            self._wake_after(0.0)

    def _send(self, wires: list[str]) -> None:
        """Records that these orders may be out, and sends them; in this order, so that a record is never too low."""
        for wire in wires:
            device = self.records[wire].device
            self._record(wire, dataclasses.replace(device, published=device.generation))
            self.records[wire] = dataclasses.replace(self.records[wire], keys=self.ring.listed.version)
        for wire in wires:
            self._publish(wire)

    def _publish(self, wire: str) -> None:
        self.power.step()
        device = self.records[wire].device
        if self._line is not None and device.generation:
            self.said[wire] += 1
            words = f"publishes order {device.generation}: {device.desired}, fallback {device.fallback}"
            self._tell("the cloud", f"to {self._robots[wire].checks.name}, {words}")
            self._line.publish(Message(TOPICS.of(wire, Kind.DESIRED), self._seal(wire, device), retain=True))

    def _answer(self, wire: str, answer: echo.Echo) -> None:
        assert self._line is not None
        answer = answer.model_copy(update={"keys": self.ring.listed.version})
        sealed = echo.seal_echo(answer, *self.ring.signers)
        self._robots[wire].checks.gates.echoes[sealed] = answer.nonce
        self._robots[wire].checks.fresh.answers.add(sealed)
        self.echoed[wire].append(sealed)
        self._line.publish(Message(TOPICS.of(wire, Kind.ECHO), sealed))

    def _seal(self, wire: str, device: cloud.Device) -> bytes:
        key = (wire, self.ring.listed.version, device.epoch, device.generation, device.desired, device.fallback)
        if key not in self._sealed:
            if device.desired:
                self._robots[wire].checks.signed.add(device.desired)
            order = desired.Desired(
                device=wire,
                epoch=device.epoch,
                generation=device.generation,
                issued_at=BEGINNING,
                deployment=self._loads[device.desired].manifest if device.desired else None,
                fallback=device.fallback,
                confirm_s=self._loads[device.desired].confirm_s if device.desired else None,
            )
            self._robots[wire].checks.orders.add(order.digest)
            self._sealed[key] = desired.seal_desired(order, *self.ring.signers)
            self.sealed[wire].append(self._sealed[key])
        return self._sealed[key]

    def _ingest(self, message: Message) -> None:
        place = TOPICS.parse(message.topic)
        if place is None or not message.payload:
            return
        wire, kind = place
        try:
            if kind is Kind.REPORT:
                self._take_report(wire, messages.parse_report(message.payload, wire))
            elif kind is Kind.PRESENCE:
                self._take_presence(wire, messages.parse_presence(message.payload, wire))
        except errors.ProtocolError:
            return

    def _take_report(self, wire: str, report: messages.Report) -> None:
        record = self.records[wire]
        before = record.device
        after = cloud.ingest(before, report).device
        if after is before:
            return
        self.checks[wire].heard(report, record.taken)
        self._record(wire, after, {**record.taken, report.incarnation: report.seq})
        self.records[wire] = dataclasses.replace(self.records[wire], followed=report.keys, stale=report.stale)
        if report.nonce is not None:
            self._echoes[wire] = echo.Echo(
                device=wire, nonce=report.nonce, epoch=after.epoch, generation=after.generation
            )
            self._wake_after(0.0)
        if before.incarnation != after.incarnation and not after.in_sync:
            self._again.add(wire)
            self._wake_after(0.0)
        if before.generation != after.generation:
            self._wake_after(0.0)

    def _take_presence(self, wire: str, said: messages.Presence) -> None:
        record = self.records[wire]
        if not cloud.is_current(said, record.presence_incarnation, record.connection):
            return
        if said.status == "offline":
            if (said.incarnation, said.connection) != (record.presence_incarnation, record.connection):
                words = f"the will of connection {said.connection} counts, {record.connection} stands"
                raise Violation("M5", f"the cloud, of {self.checks[wire].name}: {words}")
            self._tell("the cloud", f"takes {self.checks[wire].name} to be offline")
            self.records[wire] = dataclasses.replace(record, online=False)
        else:
            self.records[wire] = dataclasses.replace(
                record, online=True, presence_incarnation=said.incarnation, connection=said.connection
            )

    def _record(
        self,
        wire: str,
        after: cloud.Device,
        taken: Mapping[str, int] | None = None,
        wish: Wish | None = None,
    ) -> None:
        """The store takes a new state, in one transaction."""
        self.power.step()
        record = self.records[wire]
        self.checks[wire].recorded(record.device, after, wish)
        past = _past(record, after)
        live = {name: known for name, known in after.deployments.items() if not known.is_finished}
        if len(live) != len(after.deployments):
            after = dataclasses.replace(after, deployments=live)
        taken = record.taken if taken is None else taken
        self.records[wire] = dataclasses.replace(record, device=after, taken=taken, **past)
        checks = self._robots[wire].checks
        checks.most_published = max(checks.most_published, after.published)
        self._show_newest([wire])

    def _show_newest(self, wires: Iterable[str]) -> None:
        for wire in wires:
            device = self.records[wire].device
            self._robots[wire].checks.fresh.desires((device.epoch, device.generation), self.ring.listed.version)


def _past(record: Record, after: cloud.Device) -> dict[str, Any]:
    """What is to be remembered of deployments once they are over, where that changed."""
    changed = [known for known in after.deployments.values() if known != record.device.deployments.get(known.id)]
    if not changed:
        return {}
    return {
        "over": {**record.over, **{known.id: known for known in changed if known.is_finished}},
        "made": (*record.made, *(known.id for known in changed if known.id not in record.made)),
        "in_force": record.in_force.union(
            known.id for known in changed if known.statuses.activity is Activity.DEPLOYED
        ),
    }


def _only_tidies(device: cloud.Device) -> bool:
    """Whether what the newest order names is in force already."""
    return device.desired is not None and device.deployments[device.desired].statuses.activity is Activity.DEPLOYED
