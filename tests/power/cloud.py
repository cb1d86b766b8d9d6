"""The cloud of one robot, played by the harness: what it ordered, what it heard, and what may come of that."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterable, Iterator

from power import robot
from shallop_device import testing
from shallop_protocol.desired import Desired, Instance, Manifest
from shallop_protocol.messages import Report
from shallop_protocol.statuses import Activity, Error

Files = dict[str, tuple[bytes, int]]
"""Bytes and mode of each file, by path."""
_FILES = ("nav2/params.yaml", "nav2/costmap/local.yaml", "map.txt", "arm/grip.yaml")
_BAD = "../outside"
_INTERRUPTED = "trial_interrupted"
"""Why a robot gives up what is well in itself: the power went in each of its trials."""


@dataclasses.dataclass(frozen=True, slots=True)
class Rest:
    """Where a robot is that has nothing left to do: what is in force, and which trees it has."""

    current: str | None
    held: frozenset[str]


class Cloud:
    """Orders and reports. The same random numbers give the same orders.

    Attributes:
        heard: the newest report that was read before a cut; what it acknowledges must be there.
        bad: deployments that a robot gives up; ``tried`` are those that are in sight before that.
        damaged: what was done to the files of a deployment while the robot was off.
        acknowledged: how many times a report said of another deployment that it is in force.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self.shore = testing.Shore(rng.randrange(2**32))
        self.manifests: dict[str, Manifest] = {}
        self.bad: set[str] = set()
        self.tried: set[str] = set()
        self.orders: list[Desired] = []
        self.sealed: list[bytes] = []
        self.heard: Report | None = None
        self.damaged: dict[str, Files] = {}
        self.acknowledged = 0
        self._last_in_force: str | None = None
        self._forgotten = 0

    def make(self) -> Manifest:
        """A new deployment that can be applied. Each file of it names it."""
        rng = self._rng
        paths = rng.sample(_FILES, rng.randrange(1, len(_FILES) + 1))
        filler = "x" * rng.choice((0, 100, 5000))
        manifest = self.shore.manifest({path: f"{path} {rng.randrange(10**9)} {filler}" for path in paths})
        self.manifests[manifest.id] = manifest
        return manifest

    def make_bad(self, path: str = _BAD) -> Manifest:
        """A new deployment that no robot applies, or keeps in force, because it has a file with this path."""
        manifest = self.shore.manifest({path: "x", "map.txt": "x"})
        self.manifests[manifest.id] = manifest
        self.bad.add(manifest.id)
        if path == robot.UNWELL:
            self.tried.add(manifest.id)
        return manifest

    def spoil(self, manifest: Manifest) -> Manifest:
        """The same deployment as it can never be applied again: its content is not what it says."""
        first, *others = manifest.instances
        return manifest.model_copy(update={"instances": (first.model_copy(update={"size": first.size + 1}), *others)})

    def order(self, manifest: Manifest | None, fallback: str | None = None) -> bytes:
        """The next order, as it travels."""
        order = self.shore.order(manifest, fallback)
        self.orders.append(order)
        self.sealed.append(self.shore.seal(order))
        return self.sealed[-1]

    def hear(self, reports: Iterable[Report]) -> None:
        """Takes in what was read before a cut."""
        for report in reports:
            self.heard = report
            interrupted = {each.id for each in report.deployments if each.reason and each.reason.code == _INTERRUPTED}
            self.bad |= interrupted
            self.tried |= interrupted
            if report.current is not None and report.current != self._last_in_force and _says_deployed(report):
                self.acknowledged += 1
                self._last_in_force = report.current

    def damage(self, deployment: str) -> Instance:
        """The file that is damaged while the robot is off. A deployment that its last order spoiled is bad now."""
        first, *others = self.manifests[deployment].instances
        files = contents(self.manifests[deployment])
        files[first.path] = (spoiled(first), int(first.mode, 8))
        self.damaged[deployment] = files
        ordered = self.orders[-1].deployment
        if ordered is not None and ordered.id == deployment and ordered.instances != (first, *others):
            self.bad.add(deployment)
        return first

    def forget(self) -> None:
        """The robot lost its disk."""
        self._forgotten = len(self.orders) - 1  # the newest order is told again
        self.heard = None
        self.damaged = {}
        self._last_in_force = None

    def after(self, generation: int) -> Rest:
        """Where a robot rests that obeyed an order, 0 for none. What an order names as its fallback is there."""
        order = self._order(generation)
        if order is None or order.deployment is None:
            return Rest(None, frozenset())
        kept = frozenset({order.fallback} if order.fallback else ())
        if order.deployment.id in self.bad:
            return Rest(order.fallback, kept)
        return Rest(order.deployment.id, kept | {order.deployment.id})

    def is_alone(self, deployment: str) -> bool:
        """Whether the newest order names it and nothing else."""
        newest = self.orders[-1]
        return newest.deployment is not None and newest.deployment.id == deployment and newest.fallback is None

    def may_be_in_sight(self) -> set[str | None]:
        """What a reader may find, after a cut, given all that was ordered and the newest report."""
        heard = self.heard
        known = max(heard.generation if heard else 0, self._forgotten)
        allowed: set[str | None] = {heard.current if heard else None}
        if heard is not None and not self._is_final(heard):
            allowed |= set(self._leads_to(known))
        for order in self.orders[known:]:
            allowed |= set(self._leads_to(order.generation))
        return allowed

    def must_be_there(self) -> set[str]:
        """The deployments that were acknowledged and that no later order takes off."""
        if self.heard is None:
            return set()
        named = [self._names(order.generation) for order in self.orders[max(self.heard.generation - 1, 0) :]]
        deployed = {entry.id for entry in self.heard.deployments if _is_deployed(entry.activity, entry.error)}
        return deployed.intersection(*named) - self.bad

    def _order(self, generation: int) -> Desired | None:
        return self.orders[generation - 1] if generation else None

    def _leads_to(self, generation: int) -> Iterator[str | None]:
        order = self._order(generation)
        if order is None:
            return
        if order.deployment is None or (order.deployment.id in self.bad and order.fallback is None):
            yield None
        if order.deployment is not None:
            if order.deployment.id not in self.bad or order.deployment.id in self.tried | self.damaged.keys():
                yield order.deployment.id
            if order.fallback is not None:
                yield order.fallback

    def _names(self, generation: int) -> set[str]:
        order = self._order(generation)
        if order is None or order.deployment is None:
            return set()
        return {order.deployment.id, *([order.fallback] if order.fallback else [])}

    def _is_final(self, report: Report) -> bool:
        """Whether a report says that its order was carried out."""
        order = self._order(report.generation)
        if order is None or order.deployment is None:
            return report.current is None
        if order.deployment.id in self.bad:
            failed = {entry.id for entry in report.deployments if entry.error is Error.FAILED}
            return report.current == order.fallback and order.deployment.id in failed
        return report.current == order.deployment.id and _says_deployed(report)


def contents(manifest: Manifest) -> Files:
    """What its tree holds."""
    return {each.path: (_data(each), int(each.mode, 8)) for each in manifest.instances}


def spoiled(instance: Instance) -> bytes:
    """Other bytes than an instance's, of the same length."""
    return bytes(byte ^ 1 for byte in _data(instance))


def _data(instance: Instance) -> bytes:
    assert instance.data is not None, "all contents come with the order"
    return instance.data


def _is_deployed(activity: Activity, error: Error) -> bool:
    return activity is Activity.DEPLOYED and error is Error.NONE


def _says_deployed(report: Report) -> bool:
    return any(entry.id == report.current and _is_deployed(entry.activity, entry.error) for entry in report.deployments)
