"""One robot: the real agent, worker, applier and store, with a disk, a database, a clock and a line of the model."""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import dataclasses
import datetime
import functools
import random
import sqlite3
import tempfile
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import Any

import sqlite_utils
from shallop_device import agent, applier, files, freshness, identity, inbox, link, schema, store, worker
from shallop_protocol import device, ids, keys, messages, topics, trust
from shallop_protocol.topics import Kind

from shallop_cloud.bench.simulation import software
from shallop_cloud.bench.simulation.broker import Broker, Line, Message
from shallop_cloud.bench.simulation.cargo import Fate, Load
from shallop_cloud.bench.simulation.checks import RobotChecks, Tell
from shallop_cloud.bench.simulation.disk import Disk
from shallop_cloud.bench.simulation.freshness_checks import FreshnessChecks
from shallop_cloud.bench.simulation.gate_checks import GateChecks
from shallop_cloud.bench.simulation.kernel import Kernel
from shallop_cloud.bench.simulation.key_ring import KeyRing
from shallop_cloud.bench.simulation.power import Cut, Power
from shallop_cloud.bench.simulation.software import Nature, Software
from shallop_cloud.bench.simulation.timeline import Appointment, Timeline
from shallop_cloud.bench.simulation.trust_checks import TrustChecks
from shallop_cloud.bench.simulation.violation import Violation

BEGINNING = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
SOFTWARE = messages.Agent(version="0", started_at=BEGINNING)
PAUSE_S = (0.001, 0.02)
"""What one turn of an agent takes, at least and at most."""
TOPICS = topics.Topics()
_LOOK_S = 1e-6


class Clock:
    """Time as a robot knows it.

    Attributes:
        off: by how many seconds the wall clock is wrong.
        boots: how often the machine was started.
    """

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self.off = 0.0
        self.boots = 1
        self._last = -1.0

    def monotonic(self) -> float:
        """The world's time; a little of it passes with each look, as it does in one turn of a real agent."""
        moment = self._timeline.now
        self._last = moment if moment > self._last else self._last + _LOOK_S
        return self._last

    def now(self) -> datetime.datetime:
        """The wall clock."""
        return BEGINNING + datetime.timedelta(seconds=self._timeline.now + self.off)

    def synced(self) -> bool:
        """It says so, right or wrong."""
        return True

    def boot(self) -> str:
        """Each loss of power begins another."""
        return str(self.boots)


class Memory(store.Store):
    """The real store on a database in memory: each commit takes power, and needs a disk that takes it.

    Attributes:
        kept: the database as it may be after a power cut, if what was committed since need not be on the disk.
    """

    def __init__(self, db: sqlite_utils.Database, disk: Disk, checks: RobotChecks) -> None:
        super().__init__(db)
        self.kept: bytes | None = None
        self._disk = disk
        self._checks = checks

    def remember(self, memory: device.Memory, compose: Callable[[int], messages.Report], **how: Any) -> None:
        """As the store does it; what is durable now is held against the rules."""
        super().remember(memory, compose, **how)
        self._checks.trust.remembered(how.get("key_list"), how.get("envelope"))
        self._checks.remembered(self)

    @contextlib.contextmanager
    def _transaction(self, *, synced: bool = True) -> Generator[None]:
        before = None if synced else self.kept or self._db.conn.serialize()
        with super()._transaction(synced=synced):
            yield
        self.kept = before

    def _commit(self) -> None:
        try:
            self._disk.step("state.db", needs_space=True)
        except OSError as error:
            raise sqlite3.OperationalError(error.strerror) from error
        super()._commit()


class Robot:
    """One robot.

    Attributes:
        who: its identity, as its agent has it.
        wire: its id in topics; ``number`` counts the robots from 1.
        is_on: it has power, and its agent runs.
        checks: what must be true of it.
        software: what runs on it beside the agent.
    """

    def __init__(
        self,
        number: int,
        timeline: Timeline,
        broker: Broker,
        kernel: Kernel,
        loads: Mapping[str, Load],
        ring: KeyRing,
        seed: str,
        tell: Tell,
        nature: Nature = software.PLAIN,
        limits: freshness.Limits = freshness.STANDARD,
    ) -> None:
        self.number = number
        self.device = ids.make(ids.Prefix.DEVICE, number.to_bytes(ids.RANDOM_BYTES, "big"))
        self.wire = ids.on_wire(self.device)
        self.is_on = False
        self.power = Power()
        self._root = f"/robots/{number}"
        self._seed = seed
        self._rng = random.Random(f"{seed}/agent/{number}")  # noqa: S311  made to be repeated
        self._network = random.Random(f"{seed}/line/{number}")  # noqa: S311  made to be repeated
        self._timeline = timeline
        self._broker = broker
        self._kernel = kernel
        self.clock = Clock(timeline)
        self.who = identity.Identity(
            device=self.device,
            name=f"robot-{number}",
            server="http://cloud",
            root=Path(self._root),
            mqtt_url="mqtt://broker",
            username=self.wire,
            password="",
            protocol="5",
            topics=TOPICS,
            anchor=ring.pinned(self.wire, (0, 0)),
        )
        name = f"robot {number}"
        self._loads = loads
        self._tell = tell
        gates = GateChecks(name, nature.rules, loads, timeline)
        fresh = FreshnessChecks(name, limits, timeline)
        self.checks = RobotChecks(name, loads, tell, gates, TrustChecks(name, self.who.anchor), fresh)
        self._limits = limits
        chances = random.Random(f"{seed}/software/{number}")  # noqa: S311  made to be repeated
        self.software = Software(nature, loads, self.checks.gates, timeline, chances, self.hears)
        self._chances = chances
        self._life = 0
        self._sees: tuple[str | None, int] = (None, 0)
        self._incarnations = 0
        self._replace_disk()
        self._replace_database()
        self._agent: agent.Agent | None = None
        self._items: collections.deque[inbox.Item] = collections.deque()
        self._wake: Appointment | None = None
        self._line: Line | None = None

    # What the world does to it.

    def boot(self) -> None:
        """Its agent starts, on what the disk and the database hold."""
        if self.is_on:
            return
        self.is_on = True
        self._life += 1
        self._items.clear()
        try:
            self._memory = Memory(self._db, self.disk, self.checks)
            hands = worker.Worker(
                self.who,
                self._memory,
                applier.Applier(files.RootedFiles(Path(self._root)), self.software),
                time=self.clock,
                rng=self._rng,
                agent=SOFTWARE,
                rules=self.software.nature.rules,
                doing=self.software,
                integrity="heal" if self.software.nature.heals else "report",
                limits=self._limits,
            )
            self._worker = hands
            self._agent = agent.Agent(self.who, self._memory, hands, self, time=self.clock, rng=self._rng)
            self.checks.trust.booted(self.listed)
            self.checks.booted(self._memory)
            self._agent.start()
        except Cut as cut:
            cut.then()
            return
        self._wake_after(0.0)

    def cut_power(self) -> None:
        """The power goes at once; what was not synced may be lost."""
        kept = self._memory.kept if self.is_on else None
        self.kill(silently=True)
        if kept and self._network.random() < 0.5:
            self._db = _database(kept)
        self.disk.lose_power()
        self.clock.boots += 1
        self.checks.gates.lost_power(self.checks.visible)

    def kill(self, *, silently: bool = False) -> None:
        """The agent dies at once; what was written is still in the page cache.

        Args:
            silently: nobody tells the broker, which has to miss it.
        """
        self.is_on = False
        self._agent = None
        self.software.call_off()
        if self._wake:
            self._wake.call_off()
        if self._line:
            self._line.die(silently=silently)
            self._line = None
        if self._db.conn.in_transaction:
            self._db.rollback()

    def lose_database(self, pinned: trust.Trust, *, keep_disk: bool) -> None:
        """Its state is gone, and perhaps all that it had; it is enrolled anew. A robot that was on trial of what cuts
        it off does not know that any more, and would stay cut off: somebody goes there and makes it new."""
        is_lost = self._is_cut_off()
        self.kill()
        self._replace_database()
        if is_lost or not keep_disk:
            self._replace_disk()
            self.software.kept.clear()
        self.who = dataclasses.replace(self.who, anchor=pinned)
        self.checks.forgot()
        self.checks.trust.enrolled(pinned)

    def copy_of_database(self) -> bytes:
        """Its state as it is now."""
        return self._db.conn.serialize()

    def put_database(self, copy: bytes) -> None:
        """Its state becomes an earlier one; as ``lose_database`` says of one that was cut off."""
        is_lost = self._is_cut_off()
        self.kill()
        self._db = _database(copy)
        if is_lost:
            self._replace_disk()
            self.software.kept.clear()
        self.checks.forgot()

    @property
    def memory(self) -> device.Memory:
        """What is durable in its database."""
        return self._memory.memory

    @property
    def listed(self) -> keys.KeyList:
        """The key list that it goes by."""
        return self._believed().listed

    @property
    def stale(self) -> messages.Reason | None:
        """Why it says that it is stale; None if it does not."""
        told = self._worker.freshness
        return told.reason if told.is_stale else None

    def _believed(self) -> trust.Trust:
        return self._memory.trust(self.who.anchor)

    @property
    def is_idle(self) -> bool:
        """It has nothing to do, and waits for nothing but its heartbeat."""
        is_waiting = self._worker.wake_at is not None or self.software.is_busy
        return self.is_on and not self._items and not is_waiting

    def hold(self, name: str, seconds: float, *, released_after: float | None) -> None:
        """Its software holds for at most so long, and may say when it is over."""
        checks = self.checks.gates

        def hold() -> None:
            self._worker.passage.hold(name, "parking", seconds)
            self._tell(self.checks.name, f"{name} holds for {seconds:.1f} s")
            checks.holds(name, seconds)

        def release() -> None:
            self._worker.passage.release(name)
            checks.released(name)

        self._ask(hold)
        if released_after is not None:
            self._timeline.after(released_after, lambda: self._ask(release))

    def _ask(self, act: Callable[[], None]) -> None:
        """Has something done in the agent's thread, as its local door does."""
        self.hears(inbox.Call(act, concurrent.futures.Future()))

    def _look(self) -> None:
        """Software sees what is in sight, in each life of the machine: it acknowledges, and some brings all down."""
        seen = (self.checks.visible, self._life)
        if seen == self._sees:
            return
        self._sees = seen
        load = self._loads.get(seen[0] or "")
        if load is None:
            return
        if load.fate is Fate.CRASHES and self.software.nature.tries(load):
            self._timeline.after(self._chances.uniform(0.5, 5.0), lambda: self._crash(seen))
        if self.software.nature.rules.health and self.software.nature.rules.health.acks:
            self._timeline.after(self._chances.expovariate(1.0 / 3.0), lambda: self._acknowledge(load, seen))

    def _crash(self, seen: tuple[str | None, int]) -> None:
        if self.is_on and seen == self._sees and self.checks.is_queued(seen[0]):
            self._tell(self.checks.name, f"{seen[0]} brings it down")
            self.kill()
            self._timeline.after(self._chances.expovariate(1.0 / 5.0), self.boot)

    def _acknowledge(self, load: Load, seen: tuple[str | None, int]) -> None:
        """Again and again, for as long as it is in sight and not confirmed."""
        if not self.is_on or seen != self._sees or not self.checks.is_queued(load.id):
            return
        name = software.ACKNOWLEDGES
        speaks, veto = self.software.verdict(load)

        def acknowledge() -> None:
            if self._worker.passage.acknowledge(name, load.id, veto) and veto is None:
                self.checks.gates.acknowledged(name, load.id)

        if speaks:
            self._ask(acknowledge)
        self._timeline.after(5.0, lambda: self._acknowledge(load, seen))

    def _is_cut_off(self) -> bool:
        """What is in sight lets no new connection out; only where a term is set that undoes it."""
        load = self._loads.get(self.checks.visible or "")
        return load is not None and load.fate is Fate.CUTS_OFF and self.software.nature.term(load) is not None

    # The agent's link.

    def open(self, connection: int) -> None:
        """As the port says."""
        will = link.presence(self.who, self._memory.incarnation, connection, online=False)
        topic = TOPICS.of(self.wire, Kind.PRESENCE)
        peer = _Ears(self, connection, self._timeline.now)
        self.checks.connects(connection, self._timeline.now)
        if self._is_cut_off():
            self._line = None
            self._timeline.after(1.0, lambda: self.hears(inbox.Lost(connection, "no route to the broker")))
            return
        self._line = self._broker.connect(
            self.wire, peer, self._network, link.subscriptions(self.who), Message(topic, will, retain=True)
        )

    def publish(self, kind: Kind, payload: bytes) -> int | None:
        """As the port says."""
        if self._line is None:
            return None
        if kind is Kind.REPORT and self._memory.report:
            self.checks.reports(self._memory.report.seq, payload)
        return self._line.publish(Message(TOPICS.of(self.wire, kind), payload, retain=kind in topics.RETAINED))

    def close(self) -> None:
        """As the port says."""
        if self._line:
            self._line.close()

    def is_alive(self) -> bool:
        """As the port says."""
        return self._line is not None and self._line.is_open

    def hears(self, item: inbox.Item) -> None:
        """Something came in for the agent, which takes it up in its next turn."""
        if self.is_on:
            self._items.append(item)
            if len(self._items) == 1:
                self._wake_after(self._pause())

    def _turn(self) -> None:
        self._wake = None
        assert self._agent is not None
        try:
            if self._items:
                self._agent.handle(self._items.popleft())
            seconds = self._agent.turn()
        except Cut as cut:
            cut.then()
            return
        except Exception as error:
            raise Violation("S15", f"{self.checks.name}: the agent died: {type(error).__name__}: {error}") from error
        self._look()
        self.checks.goes_on(self.memory)
        self.checks.fresh.goes_on(self.memory, self.checks.trust.listed.version, self._worker.freshness)
        if self.is_idle:
            self.checks.trust.rests(self._believed, self.memory.position)
            self.checks.rests(self.memory)
        pause = self._pause()
        self._wake_after(pause if self._items else max(pause, seconds))

    def _wake_after(self, seconds: float) -> None:
        if self._wake:
            self._wake.call_off()
        self._wake = self._timeline.after(seconds, self._turn)

    def _pause(self) -> float:
        return self._network.uniform(*PAUSE_S)

    def _replace_disk(self) -> None:
        rng = random.Random(f"{self._seed}/disk/{self.number}")  # noqa: S311  made to be repeated
        self.disk = Disk(rng, self.power)
        self._kernel.disks[self._root] = self.disk
        self.checks.watch(self.disk)

    def _replace_database(self) -> None:
        self._incarnations += 1
        self._db = _database(_empty_database())
        name = f"robot-{self.number}-{self._incarnations}"
        self._db.conn.execute("update device set incarnation = ?", [name])
        self._db.conn.commit()


class _Ears:
    """What comes down one line, as items for the agent."""

    def __init__(self, robot: Robot, connection: int, opened_at: float) -> None:
        self._robot = robot
        self._connection = connection
        self._opened_at = opened_at

    def connected(self) -> None:
        self._robot.hears(inbox.Connected(self._connection))

    def delivered(self, message: Message) -> None:
        self._robot.checks.gates.echoed(message.payload, self._opened_at)
        self._robot.checks.fresh.came(message.payload)
        if message.topic == TOPICS.of(self._robot.wire, Kind.DESIRED):
            self._robot.checks.trust.heard(message.payload)
        item = link.heard(self._robot.who, message.topic, message.payload)
        if item is not None:
            self._robot.hears(item)

    def acknowledged(self, number: int) -> None:
        self._robot.hears(inbox.Acknowledged(self._connection, number))

    def lost(self, why: str) -> None:
        self._robot.hears(inbox.Lost(self._connection, why))


@functools.cache
def _empty_database() -> bytes:
    """A fresh state database, as the store makes it."""
    with tempfile.TemporaryDirectory() as directory:
        db = schema.connect(Path(directory))
        db.conn.execute("pragma journal_mode = delete")
        data = db.conn.serialize()
        db.close()
    return data


def _database(content: bytes) -> sqlite_utils.Database:
    connection = sqlite3.connect(":memory:")
    connection.deserialize(content)
    return sqlite_utils.Database(connection)
