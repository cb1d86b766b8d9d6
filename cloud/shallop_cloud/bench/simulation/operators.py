"""Operators: they look at what is recorded, think, and ask for something; in between, others do the same."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from shallop_protocol import cloud, rollback
from shallop_protocol.statuses import Activity, Error, Target

from shallop_cloud.bench.simulation import cargo
from shallop_cloud.bench.simulation.acts import Act, Order
from shallop_cloud.bench.simulation.cargo import Load
from shallop_cloud.bench.simulation.robot import Robot
from shallop_cloud.bench.simulation.shore import Record, Shore
from shallop_cloud.bench.simulation.timeline import Timeline
from shallop_cloud.bench.simulation.wishes import Wish

_Decide = Callable[[cloud.Device, str, "str | cloud.AnyCurrent | None"], cloud.Device]


class Operators:
    """All who ask the cloud for something."""

    def __init__(self, timeline: Timeline, shore: Shore, robots: Mapping[int, Robot], loads: dict[str, Load]) -> None:
        self._timeline = timeline
        self._shore = shore
        self._robots = robots
        self._loads = loads
        self._made = dict.fromkeys(robots, 0)
        self._ways: Mapping[Order, Callable[[Act], None]] = {
            Order.ORDER: lambda act: self._make(act, self._new(act), cloud.order),
            Order.STAGE: lambda act: self._make(act, self._new(act), cloud.stage),
            Order.DEPLOY: lambda act: self._review(act, cloud.deploy),
            Order.ARCHIVE: self._archive,
            Order.RESTAGE: lambda act: self._review(act, cloud.restage),
            Order.MERGE: self._merge,
            Order.PATCH: self._patch,
            Order.ROLL_BACK: self._roll_back,
            Order.DEPLOY_ALL: self._deploy_all,
            Order.ARCHIVE_ALL: self._archive_all,
            Order.RETIRE: self._retire,
            Order.ROTATE: lambda _: self._renew(shore.ring.rotate),
            Order.REVOKE: lambda _: self._renew(shore.ring.revoke),
            Order.EPOCH: lambda _: self._renew(shore.ring.begin_epoch),
        }

    def happen(self, act: Act, what: Order) -> None:
        """An operator does this, or begins to."""
        self._ways[what](act)

    def new_load(self, robot: int, fate: cargo.Fate, release: str) -> Load:
        """A deployment that is new."""
        return self._keep(cargo.load(robot, self._number(robot), fate, release))

    def _new(self, act: Act) -> Load:
        number, term = self._number(act.robot), act.confirm_s or None
        return self._keep(cargo.load(act.robot, number, act.fate, act.release, term, by_reference=act.by_reference))

    def _make(self, act: Act, load: Load, decide: Callable[[cloud.Device, cloud.Deployment], cloud.Device]) -> None:
        self._ask(act.robot, Wish(lambda device: decide(device, load.deployment), made=load))

    def _review(self, act: Act, decide: _Decide) -> None:
        """Sees what waits and what is desired, and acts on it later; some say what they saw."""
        waiting = Activity.DRIFTED if decide is cloud.restage else None
        chosen = self._pick(act, lambda known: known.statuses.target is Target.STAGED, waiting)
        if chosen is None:
            return
        believed = self._record(act.robot).device.desired if act.pick % 4 else cloud.ANY
        wish = Wish(lambda device: decide(device, chosen, believed), chosen, believed=believed)
        self._timeline.after(act.seconds, lambda: self._ask(act.robot, wish))

    def _merge(self, act: Act) -> None:
        """Merges what drifted with what is desired now; accepted later, and only if that is still desired."""
        drifted = self._pick(act, lambda _: True, Activity.DRIFTED)
        if drifted is None:
            return
        believed = self._record(act.robot).device.desired
        load = self._keep(cargo.patched(act.robot, self._number(act.robot), self._loads[drifted]))

        def decide(device: cloud.Device) -> cloud.Device:
            cloud.check_current(device, believed)
            return cloud.merge(device, drifted, load.deployment)

        wish = Wish(decide, drifted, believed=believed, made=load)
        self._timeline.after(act.seconds, lambda: self._ask(act.robot, wish))

    def _patch(self, act: Act) -> None:
        """Makes a new deployment of an old one, whatever became of that, with another content of one file."""
        made = self._record(act.robot).made
        if made:
            old = self._loads[made[act.pick % len(made)]]
            load = self._keep(cargo.patched(act.robot, self._number(act.robot), old))
            self._make(act, load, cloud.stage if act.pick % 2 else cloud.order)

    def _roll_back(self, act: Act) -> None:
        """Goes back to what was in force before; as the API does, it chooses and orders in one transaction."""
        record = self._record(act.robot)
        try:
            back = rollback.candidate(_former(record, self._loads), record.device.desired)
        except cloud.Conflict:
            return
        load = self._keep(cargo.restored(act.robot, self._number(act.robot), self._loads[back.id]))
        self._make(act, load, cloud.order)

    def _archive(self, act: Act) -> None:
        chosen = self._pick(act, lambda _: True)
        if chosen is not None:
            self._give_up(act.robot, chosen)

    def _deploy_all(self, act: Act) -> None:
        """Everything of one release that is staged, one robot after the other."""
        for number in self._robots:
            for known in self._waiting(number, act.release):
                if known.statuses.activity is Activity.STAGED:
                    self._ask(number, Wish(lambda device, chosen=known.id: cloud.deploy(device, chosen), known.id))

    def _archive_all(self, act: Act) -> None:
        """Everything of one release that waits, one robot after the other."""
        for number in self._robots:
            for known in self._waiting(number, act.release):
                self._give_up(number, known.id)

    def _retire(self, act: Act) -> None:
        """The device is archived; most come back later."""
        self._ask(act.robot, Wish(cloud.archive_device))
        if act.seconds:
            self._timeline.after(act.seconds, lambda: self._ask(act.robot, Wish(cloud.restore_device)))

    def _renew(self, change: Callable[[], None]) -> None:
        """The holder of the root signs the next key list, and the operator gives it to the cloud."""
        if self._shore.is_up:
            change()
            self._shore.renewed()

    def _give_up(self, robot: int, chosen: str) -> None:
        self._ask(robot, Wish(lambda device: cloud.archive(device, chosen), chosen, withdraws=True))

    def _ask(self, robot: int, wish: Wish) -> None:
        self._shore.act(self._robots[robot].wire, wish)

    def _record(self, robot: int) -> Record:
        return self._shore.records[self._robots[robot].wire]

    def _waiting(self, robot: int, release: str) -> list[cloud.Deployment]:
        known = self._record(robot).device.deployments.values()
        return [each for each in known if each.release == release and each.statuses.target is Target.STAGED]

    def _pick(
        self, act: Act, suits: Callable[[cloud.Deployment], bool], activity: Activity | None = None
    ) -> str | None:
        """One of a robot's deployments that an operator would think of."""
        known = self._record(act.robot).device.deployments.values()
        found = [each.id for each in known if suits(each) and activity in (None, each.statuses.activity)]
        return found[act.pick % len(found)] if found else None

    def _number(self, robot: int) -> int:
        self._made[robot] += 1
        return self._made[robot]

    def _keep(self, load: Load) -> Load:
        self._loads[load.id] = load
        return load


def _former(record: Record, loads: Mapping[str, Load]) -> dict[str, rollback.Former]:
    """The deployments of a robot that were ever ordered, as the store has them."""
    every = {**record.over, **record.device.deployments}
    return {
        known.id: rollback.Former(
            known.id,
            known.ordered,
            known.id in record.in_force,
            known.statuses.error is Error.FAILED,
            loads[known.id].restores,
        )
        for known in every.values()
        if known.ordered
    }
