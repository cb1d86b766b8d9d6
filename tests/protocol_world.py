"""A small model world: one cloud core, one device core, a disk in memory, and a network that keeps no promises.

Every method of ``World`` that is not a question is one event. After each one, ``World`` holds the new state against
the invariants and raises ``Violation`` with the history that led there. Nothing here decides anything of its own: what
happens is what ``shallop_protocol.cloud`` and ``shallop_protocol.device`` say, and all that travels is real bytes.
"""

from __future__ import annotations

import dataclasses
import datetime
import enum
import functools
from collections.abc import Callable, Iterator, Mapping

from shallop_protocol import cloud, desired, device, digests, dsse, ids, messages
from shallop_protocol.desired import Desired, Instance, Manifest
from shallop_protocol.messages import Reason
from shallop_protocol.statuses import STEPS, Activity, Error, Statuses, Target, may_become

NOW = datetime.datetime(2024, 5, 17, 9, 30, tzinfo=datetime.timezone.utc)
ROBOT = "dev-7k3qf0h2m9xw4rtc"
SIGNER = dsse.signer_from_seed(bytes(range(32)))
TRUSTED = {SIGNER.key.keyid: SIGNER.key}
AGENT = messages.Agent(version="1.0.0", started_at=NOW)
FOUL = Reason.of("disk_full", "no space left on the device")
REFUSED = Reason.of("check_failed", "the check hook said no")

MOST_IN_FLIGHT = 6
"""A message that would be one too many on its way pushes out the oldest, which is lost."""

_RANK = {activity: rank for rank, activity in enumerate(Activity)}


class Fate(enum.Enum):
    """What becomes of a deployment whenever the robot tries it in fair weather."""

    GOOD = "good"
    FAILS_CHECK = "rejected before the switch"
    FAILS_HEALTH = "rejected after the switch"


class Weather(enum.Enum):
    """How a single step of the robot goes."""

    FAIR = "fair"
    FOUL_EARLY = "held up before anything was written"
    FOUL_LATE = "held up after the switch"


FOULS = (Weather.FOUL_EARLY, Weather.FOUL_LATE)
MOST_CHANGES = 4
"""Changes of disk and database that one step of the robot makes at most."""


class Violation(AssertionError):
    """An invariant does not hold; the message is the history."""


def deployment_id(number: int) -> str:
    """The id of the world's n-th deployment."""
    return ids.make(ids.Prefix.DEPLOYMENT, number.to_bytes(ids.RANDOM_BYTES, "big"))


@functools.cache
def manifest(deployment: str) -> Manifest:
    """A deployment of one file, whose content is the deployment's own name."""
    data = f"name: {deployment}\n".encode()
    file = Instance(
        id=deployment.replace("DPL", "CFG"),
        path="robot.yaml",
        digest=digests.of_bytes(data),
        size=len(data),
        content=data.decode(),
    )
    return Manifest(id=deployment, release="1.0.0", digest=digests.of_files([file.file]), instances=(file,))


@functools.cache
def sealed(epoch: int, generation: int, deployment: str | None, fallback: str | None) -> bytes:
    """The signed order that the cloud publishes."""
    order = Desired(
        device=ROBOT,
        epoch=epoch,
        generation=generation,
        issued_at=NOW,
        deployment=manifest(deployment) if deployment else None,
        fallback=fallback,
    )
    return desired.seal_desired(order, SIGNER)


@functools.cache
def opened(envelope: bytes) -> Desired:
    """The order in an envelope."""
    return desired.open_desired(envelope, TRUSTED, ROBOT)


@functools.cache
def read_report(data: bytes) -> messages.Report:
    """The report that some bytes say."""
    return messages.parse_report(data, ROBOT)


class World:
    """One robot, its cloud, and the sea between them.

    Attributes:
        shore: what the cloud has recorded, without the finished deployments, which its store keeps elsewhere.
        finished: the final statuses of those.
        taken: the newest number of each incarnation that the cloud heard.
        memory: what the robot's database holds; ``disk`` what its disk holds.
        incarnation, seq: of the robot's database.
        to_robot, to_shore: bytes on their way.
        kept_order, kept_report: the broker's retained messages.
        fates: of every deployment that was ever staged.
        restored: how often the cloud has forgotten what it did.
        robot_keeps_forgotten_order: a restored cloud that wants nothing leaves the robot what it was ordered since.
    """

    def __init__(self, most_in_flight: int = MOST_IN_FLIGHT) -> None:
        self.most_in_flight = most_in_flight
        self.shore = cloud.Device(ROBOT)
        self.finished: dict[str, Statuses] = {}
        self.taken: Mapping[str, int] = {}
        self.backup = (self.shore, self.taken, False)
        self.memory = device.Memory()
        self.disk = device.Disk()
        self.incarnation = 1
        self.seq = 0
        self.to_robot: tuple[bytes, ...] = ()
        self.to_shore: tuple[bytes, ...] = ()
        self.kept_order = b""
        self.kept_report = b""
        self.fates: dict[str, Fate] = {}
        self.signed: frozenset[str] = frozenset()
        self.failed_here: frozenset[str] = frozenset()
        self.restored = 0
        self.robot_keeps_forgotten_order = False
        self.history: tuple[str, ...] = ()

    def copy(self) -> World:
        """The same world, to be taken another way."""
        other = World.__new__(World)
        other.__dict__.update(self.__dict__)
        other.finished, other.fates = dict(self.finished), dict(self.fates)
        return other

    def possible_events(self) -> Iterator[tuple[str, Callable[[World], object]]]:
        """What may happen next in quiet weather, other than a new deployment: a name, and what does it to a world."""
        for deployment in self.staged(Activity.STAGED):
            yield "deploy", functools.partial(World.deploy, deployment=deployment)
        for deployment in self.staged(Activity.DRIFTED):
            yield "restage", functools.partial(World.restage, deployment=deployment)
        for deployment in self.archivable():
            yield "archive", functools.partial(World.archive, deployment=deployment)
        if self.shore.published < self.shore.generation:
            yield "publish", World.publish
        if self.to_robot:
            yield "receive", World.receive
        if self.to_shore:
            yield "hear", World.hear
        if self.next_step():
            yield "step", World.step

    def possible_faults(self) -> Iterator[tuple[str, Callable[[World], object]]]:
        """What may go wrong next."""
        yield "lose the database", functools.partial(World.lose_database, keep_disk=True)
        yield "lose everything", functools.partial(World.lose_database, keep_disk=False)
        yield "restart", World.restart
        yield "connect ashore", World.subscribe_ashore
        yield "wipe the broker", World.wipe_broker
        yield "back up", World.back_up
        yield "restore", World.restore
        for index in range(len(self.to_robot)):
            yield "lose an order", functools.partial(World.lose_order, index=index)
            yield "receive early", functools.partial(World.receive, index=index, again=True)
        for index in range(len(self.to_shore)):
            yield "lose a report", functools.partial(World.lose_report, index=index)
            yield "hear early", functools.partial(World.hear, index=index, again=True)
        for tree in sorted(self.disk.trees):
            yield "damage", functools.partial(World.damage, tree=tree)
        if self.next_step():
            yield from (("foul weather", functools.partial(World.step, weather=weather)) for weather in FOULS)
            yield from (
                ("power cut", functools.partial(World.step, power_cut_after=done)) for done in range(MOST_CHANGES)
            )

    # The operator.

    def stage(self, fate: Fate = Fate.GOOD, release: str = "1.0.0") -> str:
        """Prepares a new deployment."""
        deployment = deployment_id(len(self.fates) + 1)
        self.fates[deployment] = fate
        self._tell(f"stage {deployment} ({fate.value})")
        self._record(cloud.stage(self.shore, cloud.Deployment(deployment, release, manifest(deployment).digest)))
        return deployment

    def order(self, fate: Fate = Fate.GOOD, release: str = "1.0.0") -> str:
        """Makes a new deployment and orders it in one act."""
        deployment = deployment_id(len(self.fates) + 1)
        self.fates[deployment] = fate
        self._tell(f"order {deployment} ({fate.value})")
        self._record(cloud.order(self.shore, cloud.Deployment(deployment, release, manifest(deployment).digest)))
        return deployment

    def deploy(self, deployment: str) -> None:
        """Orders a staged deployment."""
        self._tell(f"deploy {deployment}")
        self._record(cloud.deploy(self.shore, deployment))

    def archive(self, deployment: str) -> None:
        """Withdraws a deployment."""
        self._tell(f"archive {deployment}")
        self._record(cloud.archive(self.shore, deployment))

    def restage(self, deployment: str) -> None:
        """Declares a drifted deployment reviewed."""
        self._tell(f"restage {deployment}")
        self._record(cloud.restage(self.shore, deployment))

    def staged(self, activity: Activity) -> list[str]:
        """The deployments that wait ashore."""
        return [known.id for known in self.shore.deployments.values() if known.statuses.activity is activity]

    def archivable(self) -> list[str]:
        """The deployments that are still wanted, or may be."""
        known = self.shore.deployments.values()
        return [deployment.id for deployment in known if deployment.statuses.target is not Target.ARCHIVED]

    # The cloud and its link.

    def publish(self) -> None:
        """Sends the newest order, recording first that it may be out."""
        if self.shore.generation == 0:
            return
        self._tell(f"publish {self.shore.generation}: {self.shore.desired}, fallback {self.shore.fallback}")
        shore = self.shore = dataclasses.replace(self.shore, published=self.shore.generation)
        self.signed |= {shore.desired} if shore.desired else frozenset()
        self.kept_order = sealed(shore.epoch, shore.generation, shore.desired, shore.fallback)
        self.to_robot = (*self.to_robot, self.kept_order)[-self.most_in_flight :]

    def back_up(self) -> None:
        """Takes a copy of the cloud's database."""
        self._tell("back up")
        self.backup = (self.shore, self.taken, self.robot_keeps_forgotten_order)

    def restore(self) -> None:
        """Puts the copy in the place of the cloud's database: what was done since is forgotten."""
        self._tell("restore")
        self.shore, self.taken, self.robot_keeps_forgotten_order = self.backup
        self.finished = {}
        self.restored += 1

    def hear(self, index: int = 0, *, again: bool = False) -> None:
        """The cloud takes one of the reports on their way, which may come once more."""
        data = self.to_shore[index]
        report = read_report(data)
        self._tell(f"hear {report.incarnation} seq {report.seq}, generation {report.generation}")
        if not again:
            self.to_shore = self.to_shore[:index] + self.to_shore[index + 1 :]
        before, told = self.shore, report.generation > self.shore.generation
        after = cloud.ingest(before, report).device
        if report.seq <= self.taken.get(report.incarnation, 0) and after is not before:
            self._fail("the cloud takes a report that is not newer than what it took")
        self.taken = {**self.taken, report.incarnation: max(report.seq, self.taken.get(report.incarnation, 0))}
        self._record(after)
        if self.shore.generation != before.generation:
            self.robot_keeps_forgotten_order = told and self.shore.published == self.shore.generation

    def subscribe_ashore(self) -> None:
        """The cloud's link connects: it gets the retained report."""
        if self.kept_report:
            self._tell("the cloud connects")
            self.to_shore = (*self.to_shore, self.kept_report)[-self.most_in_flight :]

    # The network.

    def lose_order(self, index: int = 0) -> None:
        """An order never arrives."""
        self._tell("lose an order")
        self.to_robot = self.to_robot[:index] + self.to_robot[index + 1 :]

    def lose_report(self, index: int = 0) -> None:
        """A report never arrives."""
        self._tell("lose a report")
        self.to_shore = self.to_shore[:index] + self.to_shore[index + 1 :]

    def wipe_broker(self) -> None:
        """The broker loses what it kept."""
        self._tell("wipe the broker")
        self.kept_order = self.kept_report = b""

    # The robot.

    def receive(self, index: int = 0, *, again: bool = False) -> None:
        """The robot takes one of the orders on their way, which may come once more."""
        order = opened(self.to_robot[index])
        self._tell(f"receive {order.generation}")
        if not again:
            self.to_robot = self.to_robot[:index] + self.to_robot[index + 1 :]
        before = self.memory
        received = device.receive(before, order, NOW)
        if (received.outcome == "accepted") != (received.memory.order is not before.order):
            self._fail("an order was kept though it was not accepted, or the other way round")
        if received.memory.position < before.position or received.memory.position < (order.epoch, order.generation):
            self._fail("S1: the robot forgot a newer order")
        self._remember(received.memory, requeued=order.deployment.id if order.deployment else None)
        if received.outcome == "unchanged":
            self.say()

    def restart(self) -> None:
        """The robot starts and connects: it gets the retained order, and says again how it is."""
        self._tell("the robot connects")
        self.disk = dataclasses.replace(self.disk, stuck=frozenset())
        if self.kept_order:
            self.to_robot = (*self.to_robot, self.kept_order)[-self.most_in_flight :]
        self.say()

    def say(self) -> None:
        """Publishes a report, under a new number."""
        self.seq += 1
        report = device.report(
            self.memory,
            self.disk,
            device=ROBOT,
            incarnation=f"incarnation-{self.incarnation}",
            seq=self.seq,
            now=NOW,
            clock_synced=True,
            agent=AGENT,
            next_attempts={},
        )
        self.kept_report = report.to_bytes()
        self.to_shore = (*self.to_shore, self.kept_report)[-self.most_in_flight :]

    def lose_database(self, *, keep_disk: bool) -> None:
        """The robot's database is gone, and perhaps its disk; it starts as a new incarnation."""
        self._tell(f"lose the database{'' if keep_disk else ' and the disk'}")
        self.incarnation += 1
        self.seq = 0
        self.memory = device.Memory()
        self.failed_here = frozenset()
        self.disk = device.Disk(self.disk.current, self.disk.trees) if keep_disk else device.Disk()
        self.restart()

    def damage(self, tree: str) -> None:
        """Somebody writes into a tree."""
        self._tell(f"damage {tree}")
        self.disk = dataclasses.replace(self.disk, damaged=self.disk.damaged | {tree})

    def next_step(self) -> device.Step | None:
        """What the robot would do next. It can hold a tree against a digest only where it remembers one."""
        known = {holding.id for holding in self.memory.holdings}
        seen = dataclasses.replace(self.disk, damaged=self.disk.damaged & known)
        return device.plan(self.memory, seen, NOW)

    def step(self, weather: Weather = Weather.FAIR, power_cut_after: int | None = None) -> None:
        """The robot does its next step; it may die after so many changes of disk or database."""
        step = self.next_step()
        if step is None:
            return
        words = "" if power_cut_after is None else f", power cut after {power_cut_after}"
        self._tell(f"step {_name(step)} ({weather.value}{words})")
        for done, _ in enumerate(self._do(step, weather)):
            if done == power_cut_after:
                break
        if power_cut_after is not None:
            self.restart()

    def _do(self, step: device.Step, weather: Weather) -> Iterator[None]:
        """Yields before each change of disk or database."""
        yield
        if isinstance(step, device.Remember):
            self._remember(step.memory)
        elif isinstance(step, device.Apply):
            yield from self._apply(step.manifest, weather)
        elif isinstance(step, device.Point):
            if weather is not Weather.FAIR:
                self._remember(device.held_up(self.memory, step.leaving, FOUL, NOW))
                return
            self._point(step)
        else:
            if weather is not Weather.FAIR:
                self._remember(device.held_up(self.memory, step.deployment, FOUL, NOW))
                self.disk = dataclasses.replace(self.disk, stuck=self.disk.stuck | {step.deployment})
                return
            if step.deployment == self.disk.current:
                self._fail("the robot removes what robot software reads")
            if step.deployment == self._returnable:
                self._fail("S9: the robot removes its fallback")
            self._show(self.disk.current, self.disk.trees - {step.deployment})

    def _apply(self, order: Manifest, weather: Weather) -> Iterator[None]:
        holding = self.memory.holding(order.id)
        if self.memory.order is None or self.memory.order.deployment != order:
            self._fail("S1: the robot applies what its newest order does not name")
        if holding is None or holding.error is Error.FAILED:
            self._fail("S9: the robot tries again what failed")
        fate = self.fates[order.id]
        self._remember(device.begun(self.memory, order.id))
        yield
        if weather is Weather.FOUL_EARLY:
            self._remember(device.held_up(self.memory, order.id, FOUL, NOW))
            return
        self._show(self.disk.current, self.disk.trees | {order.id}, healed=order.id)
        yield
        if fate is Fate.FAILS_CHECK:
            self._remember(device.rejected(self.memory, order.id, REFUSED, NOW))
            return
        self._show(order.id, self.disk.trees)
        yield
        if weather is Weather.FOUL_LATE:
            self._remember(device.held_up(self.memory, order.id, FOUL, NOW))
        elif fate is Fate.FAILS_HEALTH:
            self._remember(device.rejected(self.memory, order.id, REFUSED, NOW))
        else:
            self._remember(device.applied(self.memory, order.id, NOW))

    def _point(self, step: device.Point) -> None:
        if step.leaving != self.disk.current:
            self._fail("the robot leaves what is not in sight")
        order = self.memory.order
        if order is None:
            self._fail("S17: the robot changes what is in force without an order")
        if step.deployment is None and order.deployment is not None:
            leaving = self.memory.holding(step.leaving)
            if leaving is None or leaving.error is not Error.FAILED:
                self._fail("S17: the robot takes everything off, though neither ordered to nor forced to")
            if self._returnable is not None:
                self._fail("S9: the fallback is whole and the robot does not return to it")
        self._show(step.deployment, self.disk.trees)

    @property
    def _returnable(self) -> str | None:
        """The fallback that the order names, if it is whole and did not fail and was not ordered off earlier."""
        fallback = self.memory.order.fallback if self.memory.order and self.memory.order.deployment else None
        known = self.memory.holding(fallback) if fallback else None
        gone = known is not None and (known.is_leaving or known.error is Error.FAILED)
        whole = self.disk.trees - self.disk.damaged - self.failed_here
        return fallback if fallback in whole and not gone else None

    def _show(self, current: str | None, trees: frozenset[str], healed: str | None = None) -> None:
        damaged = (self.disk.damaged & trees) - {healed}
        self.disk = device.Disk(current, trees, damaged, (self.disk.stuck & trees) - {healed})
        if current is not None and current not in trees:
            self._fail("S2: robot software reads a tree that is not there")
        if current is not None and current not in self.signed:
            self._fail("S3: robot software reads what was never signed for it")

    def _remember(self, memory: device.Memory, requeued: str | None = None) -> None:
        if memory == self.memory:
            return
        before, self.memory = self.memory, memory
        for holding in memory.holdings:
            old = before.holding(holding.id)
            if old is None or (old.activity, old.error) == (holding.activity, holding.error):
                continue
            if self.restored and holding.id == requeued and old.is_leaving and old.error is not Error.FAILED:
                continue
            was, then = _as_known(before, old), _as_known(memory, holding)
            if then not in STEPS.get(was, frozenset()):
                self._fail(f"statuses on the robot: {holding.id} goes from {was} to {then}, which is no step")
        failed = {holding.id for holding in memory.holdings if holding.error is Error.FAILED}
        self.failed_here |= failed
        self.say()

    # The rules.

    def _record(self, shore: cloud.Device) -> None:
        """The cloud's store takes a new state, if it keeps the rules."""
        before, self.shore = self.shore, shore
        for known in shore.deployments.values():
            if known.id in before.deployments:
                self._check_move(known.id, before.deployments[known.id].statuses, known.statuses)
            if (
                known.statuses.merged
                != (known.statuses.error.value, known.statuses.activity.value)[known.statuses.error is Error.NONE]
            ):
                self._fail(f"S7: {known.statuses} is shown as {known.statuses.merged}")
        wanted = {known.id for known in shore.deployments.values() if known.statuses.target is Target.DEPLOYED}
        if wanted != {name for name in (shore.desired, shore.fallback) if name}:
            self._fail(f"S8: target deployed have {wanted}; desired is {shore.desired}, fallback {shore.fallback}")
        if shore.generation < before.generation or shore.published > shore.generation:
            self._fail("the generation fell, or more was published than is")
        if shore.generation != before.generation:
            self.robot_keeps_forgotten_order = False
        changed = (shore.desired, shore.fallback) != (before.desired, before.fallback)
        if changed and shore.generation == before.generation:
            self._fail("what is desired changed without a new generation")
        over = {known.id for known in shore.deployments.values() if known.is_finished}
        if self.disk.current in over and not self.restored and self.incarnation == 1:
            self._fail(f"S13: the cloud says {self.disk.current} is archived, and the robot runs it")
        self.finished.update({known.id: known.statuses for known in shore.deployments.values() if known.is_finished})
        live = {name: known for name, known in shore.deployments.items() if not known.is_finished}
        self.shore = dataclasses.replace(shore, deployments=live)

    def _check_move(self, deployment: str, was: Statuses, then: Statuses) -> None:
        if was == then:
            return
        words = f"{deployment} goes from {was} to {then}"
        if not may_become(was, then):
            self._fail(f"the table: {words}")
        if list(Target).index(then.target) < list(Target).index(was.target):
            self._fail(f"S5: {words}")
        restaged = (was.activity, then.activity) == (Activity.DRIFTED, Activity.STAGED)
        if _RANK[then.activity] < _RANK[was.activity] and not restaged:
            self._fail(f"S6: {words}")
        if was.error is Error.FAILED and then.error is not Error.FAILED:
            self._fail(f"S9: {words}")
        reached = then.activity is Activity.DEPLOYED or then.activity is not was.activity
        if (was.error, then.error) == (Error.RETRYING, Error.NONE) and not reached:
            self._fail(f"S10: {words}")

    # Peace.

    def carry_on(self) -> None:
        """Everything that is on its way arrives, and the robot does what it is told, with nobody acting."""
        while (act := self._next_quiet()) is not None:
            act(self)

    def _next_quiet(self) -> Callable[[World], object] | None:
        acts = dict(self.possible_events())
        return next((acts[name] for name in ("receive", "step", "hear", "publish") if name in acts), None)

    def come_to_rest(self, bound: int = 300) -> int:
        """Faults stop. Everything is delivered and done until nothing moves; gives the number of events it took.

        The cloud asserts an order again while the device has not answered it, as its timer would, and the robot
        repeats its report, as its heartbeat would. Both must find nothing to do in the end.
        """
        self._tell("faults stop")
        self.restart()
        events, idle, heartbeats = 0, 0, 0
        while idle < 2:
            events += 1
            if events > bound:
                self._fail(f"no rest after {bound} events")
            if self.to_robot:
                self.receive()
            elif self.next_step() is not None:
                self.step()
            elif self.to_shore:
                before = self.shore
                self.hear()
                if dataclasses.replace(before, seq=0) != dataclasses.replace(self.shore, seq=0):
                    idle = 0
            elif self.shore.published < self.shore.generation or not self.shore.in_sync:
                idle = 0
                self.publish()
            else:
                idle += 1
                heartbeats += 1
                self.say()
        self.check_agreement()
        return events

    def check_agreement(self) -> None:
        """L1 and L2: the robot is where the newest order wants it, the cloud knows, and nothing is left over."""
        shore, memory, disk = self.shore, self.memory, self.disk
        if shore.generation == 0 and memory.order is None:
            return
        order = memory.order
        if order is None or order.generation != shore.generation:
            self._fail(f"L1: the newest order is {shore.generation}, the robot has {memory.position}")
        if self.robot_keeps_forgotten_order:
            return
        if (order.deployment.id if order.deployment else None, order.fallback) != (shore.desired, shore.fallback):
            self._fail("L1: the robot has another order under the newest generation")
        if disk.current != shore.desired:
            self._fail(f"L1: in force is {disk.current}, desired is {shore.desired}")
        if shore.desired and shore.deployments[shore.desired].statuses.merged != "deployed":
            self._fail(f"L2: the cloud knows {shore.deployments[shore.desired].statuses} of what is in force")
        if shore.fallback is not None:
            self._fail(f"L2: {shore.fallback} is still kept as fallback")
        if disk.trees != ({disk.current} if disk.current else frozenset()) or disk.damaged or disk.stuck:
            self._fail(f"L1: left over on the disk: {sorted(disk.trees)}, damaged {sorted(disk.damaged)}")
        stuck = [known for known in shore.deployments.values() if known.statuses.target is Target.ARCHIVED]
        if stuck:
            self._fail(f"L2: still shown as leaving: {[f'{known.id} {known.statuses}' for known in stuck]}")

    def key(self) -> object:
        """What makes two worlds the same for all that can happen in them; numbers count only by their order."""
        reports = [read_report(data) for data in (*self.to_shore, self.kept_report) if data]
        seqs = sorted({self.seq, self.shore.seq, *(report.seq for report in reports)})
        rank: Mapping[int, int] = {seq: index for index, seq in enumerate(seqs)}
        return (
            repr(dataclasses.replace(self.shore, seq=rank[self.shore.seq])),
            self.memory,
            self.disk,
            self.incarnation,
            rank[self.seq],
            tuple(report.model_copy(update={"seq": rank[report.seq]}) for report in reports),
            bool(self.kept_report),
            self.to_robot,
            self.kept_order,
            tuple(self.fates.items()),
            tuple(self.finished),
        )

    def _tell(self, what: str) -> None:
        self.history = (*self.history, what)

    def _fail(self, what: str) -> None:
        raise Violation("\n".join([*self.history, "", what]))


def _as_known(memory: device.Memory, holding: device.Holding) -> Statuses:
    """The statuses as the robot sees them: what its order names is wanted, unless it failed or is leaving."""
    order = memory.order
    named = order is not None and holding.id in (order.deployment.id if order.deployment else None, order.fallback)
    wanted = named and not holding.is_leaving and holding.error is not Error.FAILED
    return Statuses(Target.DEPLOYED if wanted else Target.ARCHIVED, holding.activity, holding.error)


def _name(step: device.Step) -> str:
    if isinstance(step, device.Remember):
        return "remember"
    if isinstance(step, device.Apply):
        return f"apply {step.manifest.id}"
    if isinstance(step, device.Point):
        return f"point to {step.deployment}, leaving {step.leaving}"
    return f"remove {step.deployment}"
