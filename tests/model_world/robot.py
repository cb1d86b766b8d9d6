"""The robot's side: its database and its disk, one change after another."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

from shallop_protocol import device
from shallop_protocol.desired import Manifest
from shallop_protocol.statuses import Activity, Error, Statuses, Target

from model_world import orders, rules
from model_world.memo import remembered
from model_world.orders import Fate, Fates, Weather


@dataclasses.dataclass(frozen=True, eq=False, slots=True)
class Robot:
    """What the robot's database and disk hold. Equal ones are the same object.

    Attributes:
        memory, disk: as the core sees them.
        incarnation: counts the databases that the robot has had; ``name`` is what the newest calls itself.
        failed: the deployments that ever failed, as far as this database was there.
        proven: the deployments that were ever whole on the disk, in sight, and recorded as in force.
    """

    memory: device.Memory
    disk: device.Disk
    incarnation: int
    failed: frozenset[str]
    proven: frozenset[str]
    name: str = dataclasses.field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", f"incarnation-{self.incarnation}")


class Change(NamedTuple):
    """One change of disk or database that is durable, and whether a report says so."""

    robot: Robot
    says: bool


@remembered
def robot(
    memory: device.Memory, disk: device.Disk, incarnation: int, failed: frozenset[str], proven: frozenset[str]
) -> Robot:
    """The one robot that holds this."""
    for holding in memory.holdings:
        digest = orders.manifest(holding.id).digest
        rules.require(holding.digest == digest, f"S4: the robot has {holding.id} with another digest")
    rules.require(disk.current is None or disk.current in disk.trees, "S2: robot software reads what is not there")
    return Robot(memory, disk, incarnation, failed, proven)


def new() -> Robot:
    """A robot that never heard an order."""
    return robot(device.Memory(), device.Disk(), 1, frozenset(), frozenset())


@remembered
def without_database(before: Robot, *, keep_disk: bool) -> Robot:
    """The database is gone, and perhaps the disk; the robot starts as a new incarnation."""
    disk = device.Disk(before.disk.current, before.disk.trees) if keep_disk else device.Disk()
    return robot(device.Memory(), disk, before.incarnation + 1, frozenset(), before.proven)


@remembered
def damaged(before: Robot, tree: str) -> Robot:
    """Somebody wrote into a tree."""
    return _see(before, dataclasses.replace(before.disk, damaged=before.disk.damaged | {tree}))


@remembered
def unstuck(before: Robot) -> Robot:
    """What could not be deleted is due to be tried again."""
    return _see(before, dataclasses.replace(before.disk, stuck=frozenset()))


@remembered
def received(before: Robot, data: bytes, *, restored: bool) -> Change:
    """The robot took or refused an order. Only a cloud that was restored orders again what was taken off."""
    order, memory = orders.opened(data), before.memory
    got = device.receive(memory, order, orders.NOW)
    kept = (got.outcome == "accepted") == (got.memory.order != memory.order)
    rules.require(kept, "an order was kept though it was not accepted, or the other way round")
    position = (order.epoch, order.generation)
    rules.require(got.memory.position >= max(memory.position, position), "S1: the robot forgot a newer order")
    again = order.deployment.id if order.deployment and restored else None
    after = _remember(before, got.memory, requeued=again)
    return Change(after, says=after is not before or got.outcome == "unchanged")


@remembered
def next_step(before: Robot) -> device.Step | None:
    """What the robot would do next. It can hold a tree against a digest only where it remembers one."""
    known = {holding.id for holding in before.memory.holdings}
    seen = dataclasses.replace(before.disk, damaged=before.disk.damaged & known)
    return device.plan(before.memory, seen, orders.NOW)


@remembered
def is_on_trial(before: Robot, fates: Fates) -> bool:
    """Whether the next step says how a trial ends."""
    step = next_step(before)
    if not isinstance(step, device.Apply) or before.disk.current != step.manifest.id:
        return False
    return dict(fates)[step.manifest.id] is Fate.ON_TRIAL


@remembered
def changes(before: Robot, weather: Weather, fates: Fates) -> tuple[Change, ...]:
    """The changes that the next step makes, in order; the power may be cut after each of them."""
    step = next_step(before)
    made: list[Change] = []
    for after in _changes(before, step, weather, fates) if step else ():
        last = made[-1].robot if made else before
        if after is not last:
            made.append(Change(after, says=after.memory != last.memory))
    return tuple(made)


def _changes(before: Robot, step: device.Step, weather: Weather, fates: Fates) -> Iterator[Robot]:
    memory, disk = before.memory, before.disk
    if isinstance(step, device.Remember):
        yield _remember(before, step.memory)
    elif isinstance(step, device.Apply):
        yield from _apply(before, step.manifest, weather, dict(fates)[step.manifest.id])
    elif isinstance(step, device.Point):
        if weather is Weather.FAIR:
            _check_point(before, step)
            yield _show(before, step.deployment, disk.trees)
        else:
            yield _remember(before, device.held_up(memory, step.leaving, orders.FOUL, orders.NOW))
    elif weather is Weather.FAIR:
        rules.require(step.deployment != disk.current, "S2: the robot removes what robot software reads")
        rules.require(step.deployment != _returnable(before), "S9: the robot removes its fallback")
        yield _show(before, disk.current, disk.trees - {step.deployment})
    else:
        after = _remember(before, device.held_up(memory, step.deployment, orders.FOUL, orders.NOW))
        yield after
        yield _see(after, dataclasses.replace(after.disk, stuck=disk.stuck | {step.deployment}))


def _apply(before: Robot, order: Manifest, weather: Weather, fate: Fate) -> Iterator[Robot]:
    named, holding = before.memory.order, before.memory.holding(order.id)
    applies = named is not None and named.deployment == order
    rules.require(applies, "S1: the robot applies what its newest order does not name")
    rules.require(holding is not None and holding.error is not Error.FAILED, "S9: the robot tries again what failed")
    at = _remember(before, device.begun(before.memory, order.id))
    yield at
    if weather is Weather.FOUL_EARLY:
        yield _remember(at, device.held_up(at.memory, order.id, orders.FOUL, orders.NOW))
        return
    at = _show(at, at.disk.current, at.disk.trees | {order.id}, healed=order.id)
    yield at
    if fate is Fate.FAILS_CHECK:
        yield _remember(at, device.rejected(at.memory, order.id, orders.REFUSED, orders.NOW))
        return
    at = _show(at, order.id, at.disk.trees)
    yield at
    if weather is Weather.FOUL_LATE:
        yield _remember(at, device.held_up(at.memory, order.id, orders.FOUL, orders.NOW))
    elif fate is Fate.FAILS_HEALTH or weather is Weather.UNWELL:
        yield _remember(at, device.rejected(at.memory, order.id, orders.REFUSED, orders.NOW))
    elif fate is Fate.ON_TRIAL and before.disk.current != order.id:
        return
    else:
        yield _remember(at, device.applied(at.memory, order.id, orders.NOW))


def _check_point(before: Robot, step: device.Point) -> None:
    rules.require(step.leaving == before.disk.current, "the robot leaves what is not in sight")
    order = before.memory.order
    known = before.memory.holding(step.deployment) if step.deployment else None
    spoilt = known is not None and known.id in before.disk.damaged
    rules.require(not spoilt, "S2: the robot puts in sight what it knows to be damaged")
    rules.require(order is not None, "S17: the robot changes what is in force without an order")
    if step.deployment is None and order is not None and order.deployment is not None:
        leaving = before.memory.holding(step.leaving)
        unproven = leaving is not None and leaving.activity is Activity.QUEUED and leaving is not before.memory.wanted
        forced = unproven or (leaving is not None and leaving.error is Error.FAILED)
        rules.require(forced, "S17: the robot takes everything off, though neither ordered to nor forced to")
        back = _returnable(before)
        rules.require(back is None, "S9: the fallback is whole and the robot does not return to it")


def _returnable(before: Robot) -> str | None:
    """The fallback that the order names, if it is whole and did not fail and was not ordered off earlier."""
    order = before.memory.order
    fallback = order.fallback if order and order.deployment else None
    known = before.memory.holding(fallback) if fallback else None
    gone = known is not None and (known.is_leaving or known.error is Error.FAILED)
    whole = before.disk.trees - before.disk.damaged - before.failed
    return fallback if fallback in whole and not gone else None


def _see(before: Robot, disk: device.Disk) -> Robot:
    return robot(before.memory, disk, before.incarnation, before.failed, before.proven)


def _show(before: Robot, current: str | None, trees: frozenset[str], healed: str | None = None) -> Robot:
    damaged = (before.disk.damaged & trees) - {healed}
    return _see(before, device.Disk(current, trees, damaged, (before.disk.stuck & trees) - {healed}))


def _remember(before: Robot, memory: device.Memory, requeued: str | None = None) -> Robot:
    """The database takes a new memory, if it keeps the rules."""
    if memory == before.memory:
        return before
    proven, disk = before.proven, before.disk
    for holding in memory.holdings:
        old = before.memory.holding(holding.id)
        if old is not None and (old.activity, old.error) == (holding.activity, holding.error):
            continue
        if holding.activity is Activity.DEPLOYED and (old is None or old.activity is not Activity.DEPLOYED):
            whole = holding.id == disk.current and holding.id not in disk.damaged
            rules.require(whole, f"S13: {holding.id} is recorded as in force, and is not whole and in sight")
            proven |= {holding.id}
        if old is None:
            continue
        if holding.id == requeued and old.is_leaving and old.error is not Error.FAILED:
            continue
        rules.check_step(holding.id, _as_known(before.memory, old), _as_known(memory, holding))
    failed = before.failed | {holding.id for holding in memory.holdings if holding.error is Error.FAILED}
    return robot(memory, disk, before.incarnation, failed, proven)


def _as_known(memory: device.Memory, holding: device.Holding) -> Statuses:
    """The statuses as the robot sees them: what its order names is wanted, unless it failed or is leaving."""
    order = memory.order
    named = order is not None and holding.id in (order.deployment.id if order.deployment else None, order.fallback)
    wanted = named and not holding.is_leaving and holding.error is not Error.FAILED
    return Statuses(Target.DEPLOYED if wanted else Target.ARCHIVED, holding.activity, holding.error)


def name_of(step: device.Step) -> str:
    """A step in a few words."""
    if isinstance(step, device.Remember):
        return "remember"
    if isinstance(step, device.Apply):
        return f"apply {step.manifest.id}"
    if isinstance(step, device.Point):
        return f"point to {step.deployment}, leaving {step.leaving}"
    return f"remove {step.deployment}"
