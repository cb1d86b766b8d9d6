"""The cloud's side: what its database holds, and what an act or a report makes of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from shallop_protocol import cloud
from shallop_protocol.statuses import Activity, Error, Target

from model_world import orders, reports, rules
from model_world.memo import remembered


@dataclasses.dataclass(frozen=True, eq=False, slots=True)
class Shore:
    """What the cloud's database holds. Equal ones are the same object.

    Attributes:
        recorded: without the finished deployments, which the store keeps elsewhere.
        finished: those, each with its final error.
        taken: the newest number of each incarnation that was heard, as the world counts it.
        keeps_forgotten: the cloud wants nothing and leaves the robot what a time that it forgot has ordered since.
    """

    recorded: cloud.Device
    finished: frozenset[tuple[str, Error]]
    taken: tuple[tuple[str, int], ...]
    keeps_forgotten: bool

    @property
    def over(self) -> frozenset[str]:
        """The finished deployments."""
        return frozenset(deployment for deployment, _ in self.finished)


_FIELDS = [field.name for field in dataclasses.fields(cloud.Device) if field.name != "deployments"]


def shore(
    recorded: cloud.Device,
    finished: frozenset[tuple[str, Error]] = frozenset(),
    taken: tuple[tuple[str, int], ...] = (),
    *,
    keeps_forgotten: bool = False,
) -> Shore:
    """The one database that holds this."""
    own = tuple(getattr(recorded, name) for name in _FIELDS)
    deployments = tuple(sorted(recorded.deployments.values(), key=lambda known: known.id))
    return _shore(own, deployments, finished, taken, keeps_forgotten)


@remembered
def _shore(
    own: tuple[object, ...],
    deployments: tuple[cloud.Deployment, ...],
    finished: frozenset[tuple[str, Error]],
    taken: tuple[tuple[str, int], ...],
    keeps_forgotten: bool,
) -> Shore:
    known = {deployment.id: deployment for deployment in deployments}
    device = cloud.Device(**dict(zip(_FIELDS, own, strict=True)), deployments=known)
    made = Shore(device, finished, taken, keeps_forgotten)
    _check(made)
    return made


def _check(made: Shore) -> None:
    """What must hold of the database at any time."""
    device = made.recorded
    for known in device.deployments.values():
        rules.check_shown(known.id, known.statuses)
        rules.require(known.digest == orders.manifest(known.id).digest, f"S4: {known.id} has another digest")
        rules.require(known.id not in made.over, f"S5: {known.id} was finished, and is back")
        if known.statuses.activity is not Activity.STAGED:
            drifted = known.statuses.activity is Activity.DRIFTED
            words = "S23: {} drifted, and can be ordered" if drifted else "S5: {} can be ordered a second time"
            _check_refused(lambda name: cloud.deploy(device, name), known.id, words.format(known.id))
        _check_stale_review_is_refused(device, known)
    wanted = {known.id for known in device.deployments.values() if known.statuses.target is Target.DEPLOYED}
    named = {name for name in (device.desired, device.fallback) if name}
    words = f"S8: target deployed have {wanted}; desired is {device.desired}, fallback {device.fallback}"
    rules.require(wanted == named and device.desired != (device.fallback or ""), words)
    rules.require(device.published <= device.generation, "more was published than is")
    rules.check_places(device.deployments.values())
    if device.archived:
        _check_out_of_service(device)


def _check_stale_review_is_refused(device: cloud.Device, known: cloud.Deployment) -> None:
    """S24: whoever states another deployment than the desired one as current, or none, has not seen what is."""
    act = {Activity.STAGED: cloud.deploy, Activity.DRIFTED: cloud.restage}.get(known.statuses.activity)
    if act is not None and not device.archived:
        for stale in {None, *device.deployments} - {device.desired}:
            words = f"S24: {known.id} passes as reviewed against {stale}, and {device.desired} is desired"
            _check_refused(lambda name, stale=stale: act(device, name, stale), known.id, words)


def _check_out_of_service(device: cloud.Device) -> None:
    """S25: an archived device gets nothing new."""
    waiting = [known.id for known in device.deployments.values() if known.statuses.target is Target.STAGED]
    rules.require(not waiting, f"S25: {waiting} waits for an archived device")
    for act in (cloud.stage, cloud.order):
        new = _new(orders.deployment_id(999), "9.0.0")
        words = "S25: an archived device gets something new"
        _check_refused(lambda _, act=act, new=new: act(device, new), new.id, words)


def _check_refused(act: Callable[[str], cloud.Device], deployment: str, words: str) -> None:
    try:
        act(deployment)
    except cloud.Conflict:
        return
    rules.require(False, words)


@remembered
def stage(before: Shore, deployment: str, release: str) -> Shore:
    """A new deployment is prepared."""
    return _record(before, cloud.stage(before.recorded, _new(deployment, release)))


@remembered
def order(before: Shore, deployment: str, release: str) -> Shore:
    """A new deployment is made and ordered in one act."""
    return _record(before, cloud.order(before.recorded, _new(deployment, release)))


@remembered
def deploy(before: Shore, deployment: str) -> Shore:
    """A staged deployment is ordered."""
    return _record(before, cloud.deploy(before.recorded, deployment))


@remembered
def archive(before: Shore, deployment: str) -> Shore:
    """A deployment is withdrawn."""
    return _record(before, cloud.archive(before.recorded, deployment), archived=deployment)


@remembered
def restage(before: Shore, deployment: str) -> Shore:
    """A drifted deployment is declared reviewed."""
    return _record(before, cloud.restage(before.recorded, deployment))


@remembered
def archive_device(before: Shore) -> Shore:
    """The device is taken out of service."""
    device, after = before.recorded, cloud.archive_device(before.recorded)
    waited = [known.id for known in device.deployments.values() if known.statuses.target is Target.STAGED]
    for known in device.deployments.values():
        kept = known.id in waited or after.deployments[known.id] == known
        rules.require(kept, f"S25: the device was archived, and {known.id} lost its place")
    orders_ = [(each.generation, each.desired, each.fallback) for each in (device, after)]
    rules.require(orders_[0] == orders_[1], "S25: the device was archived, and its order changed")
    return _record(before, after)


@remembered
def restore_device(before: Shore) -> Shore:
    """The device is taken back into service."""
    return _record(before, cloud.restore_device(before.recorded))


@remembered
def raise_epoch(before: Shore, epoch: int) -> Shore:
    """The order is issued anew in a later epoch."""
    return _record(before, cloud.raise_epoch(before.recorded, epoch))


@remembered
def published(before: Shore) -> Shore:
    """It is recorded that the newest order may be out."""
    device = dataclasses.replace(before.recorded, published=before.recorded.generation)
    return shore(device, before.finished, before.taken, keeps_forgotten=before.keeps_forgotten)


def newest_order(before: Shore) -> bytes:
    """The order to publish."""
    device = before.recorded
    return orders.sealed(device.epoch, device.generation, device.desired, device.fallback)


@remembered
def heard(before: Shore, data: bytes) -> Shore:
    """The cloud took a report."""
    report, device, taken = reports.read(data), before.recorded, dict(before.taken)
    after = cloud.ingest(device, report).device
    known = taken.get(report.incarnation, 0)
    if report.seq <= known:
        rules.require(after == device, "S6: the cloud takes a report that is not newer than what it took")
    told = report.generation > device.generation and after.published == after.generation
    taken[report.incarnation] = max(report.seq, known)
    recorded = _record(before, after)
    keeps = told if after.generation != device.generation else recorded.keeps_forgotten
    return shore(recorded.recorded, recorded.finished, tuple(sorted(taken.items())), keeps_forgotten=keeps)


@remembered
def renumbered(before: Shore, ranks: reports.Ranks) -> Shore:
    """The same, with the numbers of reports replaced by their ranks."""
    device, rank = before.recorded, dict(ranks)
    recorded = dataclasses.replace(
        device,
        seq=rank[device.incarnation, device.seq] if device.incarnation else 0,
        former=tuple((incarnation, rank[incarnation, seq]) for incarnation, seq in device.former),
    )
    taken = tuple((incarnation, rank[incarnation, seq]) for incarnation, seq in before.taken)
    return shore(recorded, before.finished, taken, keeps_forgotten=before.keeps_forgotten)


@remembered
def numbers(before: Shore) -> frozenset[tuple[str, int]]:
    """The numbers of reports that the database knows, with their incarnations."""
    device = before.recorded
    own = [(device.incarnation, device.seq)] if device.incarnation else []
    return frozenset([*own, *device.former, *before.taken])


@remembered
def claimed(before: Shore) -> frozenset[str]:
    """The deployments of which the cloud says that they are in force."""
    known = before.recorded.deployments.values()
    return frozenset(entry.id for entry in known if entry.statuses.activity is Activity.DEPLOYED)


def _new(deployment: str, release: str) -> cloud.Deployment:
    return cloud.Deployment(deployment, release, orders.manifest(deployment).digest)


def _record(before: Shore, after: cloud.Device, archived: str | None = None) -> Shore:
    """The store takes a new state, if it keeps the rules. ``archived`` is what the operator withdrew by it."""
    device = before.recorded
    for known in after.deployments.values():
        if known.id in device.deployments:
            rules.check_move(known.id, device.deployments[known.id].statuses, known.statuses)
            if known.id != archived:
                _check_made_before_broken(device.deployments[known.id], known, after)
    _check_drift(device, after)
    lost = device.deployments.keys() - after.deployments.keys()
    rules.require(not lost, f"S11: the cloud lost {sorted(lost)}")
    rules.require(after.generation >= device.generation, "the generation fell")
    changed = (after.desired, after.fallback) != (device.desired, device.fallback)
    words = "what is desired changed without a new generation"
    rules.require(not changed or after.generation > device.generation, words)
    over = {(known.id, known.statuses.error) for known in after.deployments.values() if known.is_finished}
    live = {name: known for name, known in after.deployments.items() if not known.is_finished}
    return shore(
        dataclasses.replace(after, deployments=live),
        before.finished | over,
        before.taken,
        keeps_forgotten=before.keeps_forgotten and after.generation == device.generation,
    )


def _check_drift(device: cloud.Device, after: cloud.Device) -> None:
    """S23: what waits beside something that is newly ordered has drifted."""
    known = device.deployments
    ordered = [
        each.id
        for each in after.deployments.values()
        if each.statuses.target is Target.DEPLOYED
        and (each.id not in known or known[each.id].statuses.target is Target.STAGED)
    ]
    waiting = [each.id for each in after.deployments.values() if each.statuses.activity is Activity.STAGED]
    rules.require(not ordered or not waiting, f"S23: {ordered} was ordered, and {waiting} did not drift")


def _check_made_before_broken(was: cloud.Deployment, now: cloud.Deployment, after: cloud.Device) -> None:
    """What is in force is wanted until it fails, the operator withdraws it, or its successor is in force."""
    wanted = was.statuses.target is Target.DEPLOYED and was.statuses.activity is Activity.DEPLOYED
    if wanted and now.statuses.target is Target.ARCHIVED and now.statuses.error is not Error.FAILED:
        successor = after.deployments[after.desired] if after.desired else None
        made = successor is not None and successor.statuses.activity is Activity.DEPLOYED
        rules.require(made, f"make before break: {now.id} is withdrawn, and its successor is not in force")
