"""What must be true of a robot and of the cloud, by the number that it has among the invariants; held after each step.

Nothing here asks the code under test for its opinion: what a reader finds on the disk, what was signed, and what was
said before is all that counts.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Collection, Mapping
from typing import NoReturn

from shallop_device import store
from shallop_protocol import cloud, device, messages
from shallop_protocol.statuses import Activity, Error, Statuses, Target, may_become

from shallop_cloud.bench.simulation import wishes
from shallop_cloud.bench.simulation.cargo import Load
from shallop_cloud.bench.simulation.disk import Disk, Seen
from shallop_cloud.bench.simulation.freshness_checks import FreshnessChecks
from shallop_cloud.bench.simulation.gate_checks import GateChecks
from shallop_cloud.bench.simulation.trust_checks import TrustChecks
from shallop_cloud.bench.simulation.violation import Violation
from shallop_cloud.bench.simulation.wishes import Wish

MOST_NAMES = 60
"""How many names there may be in the agent's two directories at any time, whatever happened: S22."""
MOST_CONNECTS = 40
"""How often a robot may try to connect within ``CONNECTS_S`` seconds: L5."""
CONNECTS_S = 60.0

Tell = Callable[[str, str], None]
"""Who, and what somebody could have seen of it."""

_ACTIVITIES = list(Activity)
_TARGETS = list(Target)


class RobotChecks:
    """What must be true of one robot.

    Attributes:
        signed: the deployments that the cloud ever signed for it; ``orders`` the digests of the orders.
        proven: those that were durably on its disk, whole and in sight, when it said so.
        keeps_all: it never lost its database.
        gates: what must be true of holds and gates; ``trust`` of whom it believes; ``fresh`` of what it takes for new.
        most_published: the highest generation that the cloud ever recorded as one that may have left.
    """

    def __init__(
        self,
        name: str,
        loads: Mapping[str, Load],
        tell: Tell,
        gates: GateChecks,
        trust: TrustChecks,
        fresh: FreshnessChecks,
    ) -> None:
        self.name = name
        self.gates = gates
        self.trust = trust
        self.fresh = fresh
        self._tell = tell
        self.signed: set[str] = set()
        self.orders: set[str] = set()
        self.proven: set[str] = set()
        self.keeps_all = True
        self.most_published = 0
        self._loads = loads
        self._disk: Disk | None = None
        self._seen: Seen | None = None
        self._store: store.Store | None = None
        self._position = (0, 0)
        self._held: dict[str, tuple[Activity, Error]] = {}
        self._said: tuple[int, bytes] = (0, b"")
        self._touches = 0
        self._connects: collections.deque[float] = collections.deque()

    @property
    def visible(self) -> str | None:
        """The deployment that robot software reads."""
        return _deployment(self._seen.target) if self._seen else None

    @property
    def reads_whole(self) -> bool:
        """Robot software reads what was written."""
        return self._seen is not None and self._seen.files == self._loads[_deployment(self._seen.target)].tree

    def watch(self, disk: Disk) -> None:
        """This is its disk from now on."""
        self._disk = disk
        disk.changed = self.disk_changed
        disk.synced = self.disk_synced
        disk.switched = self.switches
        self.disk_changed()

    def disk_changed(self) -> None:
        """S2, S3, S9, S22: what a reader finds now."""
        assert self._disk is not None
        before, self._seen = self.visible, self._disk.seen()
        seen = self._seen
        if self.visible != before:
            self._tell(self.name, f"robot software reads {self.visible}")
        if len(self._disk.names()) > MOST_NAMES:
            self._fail("S22", f"{len(self._disk.names())} names are on the disk, at most {MOST_NAMES} are expected")
        if seen is None:
            return
        deployment = _deployment(seen.target)
        known = self._loads.get(deployment)
        if seen.files is None:
            self._fail("S2", f"`current` leads to {seen.target}, where there is nothing")
        if known is None or (seen.files != known.tree and not seen.is_rotten):
            self._fail("S2", f"under `current` is not {deployment} as it was signed, but {_shown(seen)}")
        if deployment not in self.signed:
            self._fail("S3", f"{deployment} is in sight and was never signed for this robot")

    def disk_synced(self) -> None:
        """S2: what a reader would find if the power went now, and chance kept nothing of what was not synced."""
        assert self._disk is not None
        seen = self._disk.seen(on_disk=True)
        if seen is None or (seen.is_rotten and seen.files is not None):
            return
        known = self._loads.get(_deployment(seen.target))
        if known is None or seen.files != known.tree:
            self._fail("S2", f"if the power went now, `current` would lead to {_shown(seen)}")

    def switches(self, target: str | None) -> None:
        """S1, S9, S17, S27: ``current`` is about to lead elsewhere."""
        assert self._store is not None
        deployment = _deployment(target) if target else None
        if self._held.get(deployment or "", (None, None))[1] is Error.FAILED:
            self._fail("S9", f"{deployment} failed and comes into sight")
        assert self._disk is not None
        self._touches = self._disk.touches
        self.gates.lies = self._disk.failures
        self.gates.switches(deployment)
        order = self._store.memory.order
        if order is None:
            self._fail("S17", "what is in sight changes without an order")
        named = {order.deployment.id, order.fallback} if order.deployment else set[str | None]()
        if target is not None:
            if _deployment(target) not in named:
                self._fail(
                    "S1", f"{_deployment(target)} comes into sight, which order {order.generation} does not name"
                )
        elif order.deployment is not None and not self._is_forced(named):
            self._fail("S17", f"{self.visible} goes out of sight though order {order.generation} names {named}")

    def _is_forced(self, named: Collection[str | None]) -> bool:
        """Whether what is in sight failed, or was withdrawn before it was ever confirmed."""
        activity, error = self._held.get(self.visible or "", (None, None))
        return error is Error.FAILED or (activity is Activity.QUEUED and self.visible not in named)

    def booted(self, memory: store.Store) -> None:
        """S1: what was accepted is still known."""
        self._tell(self.name, "starts")
        self.gates.started()
        self.fresh.started()
        self._store = memory
        self._check_position(memory.memory)
        self._held = _held(memory.memory)

    def remembered(self, memory: store.Store) -> None:
        """S1, S9, S13: something became durable."""
        self._store = memory
        self._check_position(memory.memory)
        before, self._held = self._held, _held(memory.memory)
        for holding, (activity, error) in self._held.items():
            was = before.get(holding)
            if was != (activity, error):
                self._tell(self.name, f"{holding} is {activity.value}/{error.value}")
            if was and was[1] is Error.FAILED and error is not Error.FAILED:
                self._fail("S9", f"{holding} had failed and is {activity.value} now")
            if activity is Activity.DEPLOYED and error is Error.NONE and was != (activity, error):
                self._check_proof(holding)
                if was is None or was[0] is Activity.QUEUED:
                    self.gates.confirmed(holding)

    def reports(self, seq: int, payload: bytes) -> None:
        """S6: a number that was used once never stands for anything else."""
        before, body = self._said
        if seq < before or (seq == before and body != payload):
            self._fail("S6", f"report {seq} is said after report {before}, or means another thing now")
        self._said = (seq, payload)
        self.gates.asked(payload)

    def rests(self, memory: device.Memory) -> None:
        """S9, S14, S22, S30: it has nothing to do, so database and disk agree and nothing is left over."""
        assert self._disk is not None
        wanted = memory.wanted
        if memory.order is None:
            return
        in_force = wanted is not None and wanted.activity is Activity.DEPLOYED and wanted.error is Error.NONE
        if wanted and in_force and self.visible != wanted.id:
            self._fail("S14", f"the database says that {wanted.id} is in force, the disk shows {self.visible}")
        if self._held.get(self.visible or "", (None, None))[1] is Error.FAILED:
            self._fail("S9", f"{self.visible} failed, and is in sight while the robot rests")
        self.gates.rests()
        if memory.order.deployment is None and self.visible is not None:
            self._fail("S14", f"order {memory.order.generation} takes everything off, the disk shows {self.visible}")
        live = {holding.id for holding in memory.holdings if not holding.is_finished} | {memory.fallback}
        live |= set() if in_force else {self.visible}
        over = sorted(name.partition(".")[0] for name in self._disk.names() if name.partition(".")[0] not in live)
        if over:
            self._fail(
                "S22", f"left over on the disk while the robot rests: {[name or 'a private name' for name in over]}"
            )

    def connects(self, connection: int, now: float) -> None:
        """L5: it tries to connect, and not too often."""
        self._tell(self.name, f"opens connection {connection}")
        self._connects.append(now)
        while self._connects[0] < now - CONNECTS_S:
            self._connects.popleft()
        if len(self._connects) > MOST_CONNECTS:
            self._fail("L5", f"{len(self._connects)} attempts to connect within {CONNECTS_S:.0f} s")

    def forgot(self) -> None:
        """Its database is another one now."""
        self.keeps_all = False
        self._position = (0, 0)
        self._held = {}
        self._said = (0, b"")
        self.gates.forgot(self.visible)

    def is_queued(self, deployment: str | None) -> bool:
        """Whether the robot knows it as on its way, without a failure."""
        activity, error = self._held.get(deployment or "", (None, None))
        return activity is Activity.QUEUED and error is not Error.FAILED

    def goes_on(self, memory: device.Memory) -> None:
        """S29: a turn of the agent is over. There is no trial of what is not as it was written."""
        assert self._disk is not None
        self.gates.lies = self._disk.failures
        wanted = memory.wanted
        if self._seen and self._seen.is_rotten:
            self.gates.rotten()
            return
        self.gates.goes_on(wanted.id if wanted and self.is_queued(wanted.id) else None)

    def _check_position(self, memory: device.Memory) -> None:
        if memory.position > self._position and memory.order:
            if memory.order.digest not in self.orders:
                self._fail(
                    "S3", f"order {memory.position[1]} was accepted, and the cloud never signed it for this robot"
                )
            if memory.position[1] > self.most_published:
                words = f"order {memory.position[1]} was accepted, the cloud recorded {self.most_published} as sent"
                self._fail("S11", words)
            self._tell(self.name, f"accepted order {memory.position[1]}")
        if memory.position < self._position:
            self._fail("S1", f"order {self._position} was accepted, the database knows {memory.position}")
        self._position = memory.position

    def _check_proof(self, deployment: str) -> None:
        assert self._disk is not None
        seen = self._disk.seen(on_disk=True)
        is_touched = (
            seen is not None and seen.is_rotten and self._disk.touches > self._touches
        )  # since it was read back
        is_whole = seen is not None and (seen.files == self._loads[deployment].tree or is_touched)
        if seen is None or _deployment(seen.target) != deployment or not is_whole:
            words = f"after a power cut there would be {_shown(seen) if seen else 'nothing'}"
            self._fail("S13", f"{deployment} is called deployed, and {words}")
        self.proven.add(deployment)

    def _fail(self, invariant: str, words: str) -> NoReturn:
        raise Violation(invariant, f"{self.name}: {words}")


class ShoreChecks:
    """What must be true of what the cloud records of one robot.

    Attributes:
        finished: the deployments that are over, with their last statuses.
        ordered: those that were ever ordered, in this order.
        in_force: those that were ever confirmed; ``unsound`` those that failed.
        moved: called with each deployment whose statuses change, and those.
    """

    def __init__(self, robot: RobotChecks, loads: Mapping[str, Load], tell: Tell) -> None:
        self.name = robot.name
        self._tell = tell
        self.finished: dict[str, Statuses] = {}
        self.ordered: list[str] = []
        self.in_force: set[str] = set()
        self.unsound: set[str] = set()
        self.moved: Callable[[str, Statuses], None] = _unwatched
        self.is_restored = False
        self._robot = robot
        self._loads = loads

    def recorded(self, before: cloud.Device, after: cloud.Device, wish: Wish | None) -> None:
        """S4 to S10, S13, S23 to S26: a new state takes the place of another; ``wish`` is what was asked for."""
        self._check_kept(before, after, wish.named if wish and wish.withdraws else None)
        try:
            wishes.check(before, after, wish)
            if wish and wish.made and wish.made.restores and not self.is_restored:
                sound = [name for name in self.ordered if name in self.in_force - self.unsound]
                wishes.check_rolled_back(before.desired, wish.made, self._loads, self.ordered, sound)
        except Violation as found:
            self._fail(found.invariant, found.words)
        for known in after.deployments.values():
            was = before.deployments.get(known.id)
            if was is not None and was.statuses != known.statuses:
                self._check_move(known.id, was.statuses, known.statuses)
            if known.digest != self._loads[known.id].manifest.digest:
                self._fail("S4", f"{known.id} has another digest than it was made with")
            if (
                known.statuses.merged
                != (known.statuses.activity.value, known.statuses.error.value)[known.statuses.error is not Error.NONE]
            ):
                self._fail("S7", f"{known.statuses} is shown as {known.statuses.merged}")
            if known.is_finished:
                self._check_over(known)
        wanted = {known.id for known in after.deployments.values() if known.statuses.target is Target.DEPLOYED}
        if wanted != {named for named in (after.desired, after.fallback) if named}:
            self._fail(
                "S8", f"target deployed have {sorted(wanted)}, desired is {after.desired}, {after.fallback} beside"
            )
        self._check_places(after)
        self.ordered += [name for name in wanted if name not in self.ordered]
        is_anew = after.epoch > before.epoch and not after.generation
        if (after.generation < before.generation and not is_anew) or after.published > after.generation:
            self._fail("S8", f"generation {before.generation} becomes {after.generation}, {after.published} published")
        if after.generation == before.generation and (after.desired, after.fallback) != (
            before.desired,
            before.fallback,
        ):
            self._fail("S8", "another order has the same generation")

    def heard(self, report: messages.Report, taken: Mapping[str, int]) -> None:
        """S6: only what is newer counts. ``taken`` is the newest number of each incarnation."""
        if report.seq <= taken.get(report.incarnation, 0):
            self._fail("S6", f"report {report.seq} of {report.incarnation} is taken, {taken[report.incarnation]} was")

    def _check_kept(self, before: cloud.Device, after: cloud.Device, withdrawn: str | None) -> None:
        """Make before break: what is in force is given up by its operator, for its failure, or for a confirmed one."""
        successor = after.deployments.get(after.desired or "")
        if successor is not None and successor.statuses.activity is Activity.DEPLOYED:
            return
        for known in before.deployments.values():
            then = after.deployments[known.id].statuses
            in_force = known.statuses[:2] == (Target.DEPLOYED, Activity.DEPLOYED)
            if in_force and then.target is Target.ARCHIVED and known.id != withdrawn and then.error is not Error.FAILED:
                self._fail("S9", f"{known.id} is given up before its successor {after.desired} is confirmed")

    def _check_places(self, after: cloud.Device) -> None:
        """S8: at most one is on its way, one in force, and one waits on each release."""
        places = collections.Counter(
            known.release if known.statuses.target is Target.STAGED else known.statuses.activity
            for known in after.deployments.values()
            if known.statuses.target is not Target.ARCHIVED
        )
        if taken := [f"{count} are {place}" for place, count in places.items() if count > 1]:
            self._fail("S8", f"of one robot {', '.join(taken)}")

    def _check_over(self, known: cloud.Deployment) -> None:
        self.finished[known.id] = known.statuses
        if self._robot.visible == known.id and self._robot.keeps_all and not self.is_restored:
            self._fail("S13", f"{known.id} is called archived, and the robot runs it")

    def _check_move(self, deployment: str, was: Statuses, then: Statuses) -> None:
        words = f"{deployment} goes from {was} to {then}"
        self._tell("the cloud", words)
        self.moved(deployment, then)
        if then.activity is Activity.DEPLOYED:
            self.in_force.add(deployment)
        if then.error is Error.FAILED:
            self.unsound.add(deployment)
        if not may_become(was, then):
            self._fail("S6", f"the table forbids it: {words}")
        if _TARGETS.index(then.target) < _TARGETS.index(was.target):
            self._fail("S5", words)
        restaged = (was.activity, then.activity) == (Activity.DRIFTED, Activity.STAGED)
        if _ACTIVITIES.index(then.activity) < _ACTIVITIES.index(was.activity) and not restaged:
            self._fail("S6", words)
        if was.error is Error.FAILED and then.error is not Error.FAILED:
            self._fail("S9", words)
        reached = then.activity is Activity.DEPLOYED or then.activity is not was.activity
        if (was.error, then.error) == (Error.RETRYING, Error.NONE) and not reached:
            self._fail("S10", words)
        if then.activity is Activity.DEPLOYED and deployment not in self._robot.proven:
            self._fail("S13", f"{deployment} is shown as deployed and was never durably on the robot's disk")

    def _fail(self, invariant: str, words: str) -> NoReturn:
        raise Violation(invariant, f"the cloud, of {self.name}: {words}")


def _held(memory: device.Memory) -> dict[str, tuple[Activity, Error]]:
    return {holding.id: (holding.activity, holding.error) for holding in memory.holdings}


def _deployment(target: str) -> str:
    """The deployment that a link's text, or the name of a tree, stands for."""
    return target.rpartition("/")[2].partition(".")[0]


def _unwatched(*_: object) -> None:
    return


def _shown(seen: Seen) -> str:
    if seen.files is None:
        return f"{_deployment(seen.target)}, which is not there"
    return f"{_deployment(seen.target)} with " + ", ".join(
        f"{path} ({len(data)} bytes, mode {mode:04o})" for path, (data, mode) in sorted(seen.files.items())
    )
