"""What the cloud decides. Pure: what is recorded of a device goes in with an act or a report, what is to be
recorded comes out. The store writes the difference, and one history row for each change, in one transaction.

Acts are the operator's: ``stage``, ``deploy``, ``archive``, ``restage``, ``merge``, ``archive_device``,
``restore_device``, ``raise_epoch``. ``ingest`` takes what the device says.

The rules:

* One deployment is desired, with at most one fallback beside it; both have target ``deployed``, nothing else has.
* Make before break: what is in force becomes the fallback of its successor, and is ordered off only when the
  device has confirmed the successor. A successor that fails leaves it where it was.
* A predecessor that the device never confirmed is withdrawn when it is replaced, and its fallback is inherited. If
  it was never even published, it ends at once; otherwise when the device has answered a later order.
* Every change of what is desired is a new generation. The newest wins, on the device as here.
* A report moves statuses only along the table, forward; what it says of unknown or never ordered deployments
  moves nothing. A report that knows a later generation than is recorded here, or another order under the same
  one, comes from a time that this database has forgotten (it was restored from a backup): it moves nothing, and
  the order is issued anew above it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

from shallop_protocol import ids, messages
from shallop_protocol.desired import order_digest
from shallop_protocol.messages import Presence, Reason, Report, Waiting
from shallop_protocol.statuses import CELLS, FIRST, Activity, Error, Impossible, Statuses, Target, may_become

KEPT_FORMER = 8
"""Former incarnations of a device that are remembered, so that their late reports are known to be late."""

MAX_JUMP = messages.MAX_INTEGER // 2
"""The highest generation that a device can make the cloud jump above, so that there are always numbers left."""


class Conflict(Exception):
    """An act that the present state forbids. ``code`` is stable; ``hint`` says what can be done instead."""

    def __init__(self, code: str, message: str, hint: str) -> None:
        super().__init__(f"{message}; {hint}")
        self.code = code
        self.message = message
        self.hint = hint


class AnyCurrent:
    """The type of ``ANY``: whatever is current, the act is wanted."""


ANY: Final = AnyCurrent()


@dataclasses.dataclass(frozen=True, slots=True)
class Deployment:
    """A deployment as recorded.

    Attributes:
        ordered: the generation in which it first became desired; 0 while it never was.
        ended: the generation from which on it is neither desired nor fallback; 0 while it is, or never was.
        waiting: why the device does not bring it on although nothing is wrong; ``integrity`` is what the device found
            changed of its files. Both as last known: a newer report that does not say them takes them away.
    """

    id: str
    release: str
    digest: str
    statuses: Statuses = FIRST
    reason: Reason | None = None
    attempts: int = 0
    ordered: int = 0
    ended: int = 0
    waiting: Waiting | None = None
    integrity: Reason | None = None

    @property
    def is_finished(self) -> bool:
        """Off the device for ever."""
        return self.statuses.activity is Activity.ARCHIVED


@dataclasses.dataclass(frozen=True, slots=True)
class Device:
    """A device as recorded, with the deployments of it that are not finished.

    Attributes:
        generation: of what is desired now; 0 while nothing ever was.
        published: the highest generation that may have left for the broker.
        incarnation, seq: of the newest report taken.
        former: the incarnations before it, each with the newest ``seq`` taken.
        reported: the generation that the newest report answers, 0 if that is of an earlier epoch; what is below
            ``generation`` is not in sync.
        adopted: the digest of an order that this database has forgotten, and lets stand.
        archived: out of service. It keeps what it runs and is still listened to; nothing new is prepared for it.
    """

    id: str
    epoch: int = 1
    generation: int = 0
    desired: str | None = None
    fallback: str | None = None
    published: int = 0
    incarnation: str | None = None
    former: tuple[tuple[str, int], ...] = ()
    seq: int = 0
    reported: int = 0
    adopted: str | None = None
    archived: bool = False
    deployments: Mapping[str, Deployment] = dataclasses.field(default_factory=dict[str, Deployment])

    @property
    def order(self) -> str | None:
        """The digest of the order that stands; None while there never was one."""
        if self.adopted or not self.generation:
            return self.adopted
        named = (self.desired, self.deployments[self.desired].digest) if self.desired else None
        return order_digest(ids.on_wire(self.id), self.epoch, self.generation, named, self.fallback)

    @property
    def in_sync(self) -> bool:
        """Whether the device has answered the newest order."""
        return self.reported == self.generation


@dataclasses.dataclass(frozen=True, slots=True)
class Ingested:
    """What a report makes of a device. ``ignored`` says, for logs and people, what was passed over and why."""

    device: Device
    ignored: tuple[str, ...] = ()


def check_current(device: Device, expected: str | AnyCurrent | None) -> None:
    """Holds an operator's belief of what is desired against what is.

    Raises:
        Conflict: ``current_changed``.
    """
    if not isinstance(expected, AnyCurrent) and expected != device.desired:
        words = f"the device's current deployment is {device.desired or 'none'}, not {expected or 'none'}"
        raise Conflict("current_changed", words, "review what changed since, then state the current one")


def check_drifted(deployment: Deployment) -> None:
    """Passes if a deployment needs review.

    Raises:
        Conflict: ``deployment_not_drifted``.
    """
    if deployment.statuses.activity is not Activity.DRIFTED:
        words = f"{deployment.id} is {deployment.statuses.merged}, not drifted"
        raise Conflict("deployment_not_drifted", words, "only a drifted deployment is restaged or merged")


def stage(device: Device, deployment: Deployment) -> Device:
    """Adds a new deployment, staged. An earlier one that waits on the same release makes room: it is archived.

    Raises:
        Conflict: ``device_archived``.
    """
    _refuse_if_archived(device)
    earlier = [
        _with(other, Target.ARCHIVED, Activity.ARCHIVED)
        for other in device.deployments.values()
        if other.release == deployment.release and other.statuses.target is Target.STAGED
    ]
    return _record(device, *earlier, deployment)


def deploy(device: Device, deployment: str, expected_current: str | AnyCurrent | None = ANY) -> Device:
    """Orders a staged deployment. What is in force becomes its fallback; other staged ones drift.

    Args:
        expected_current: the deployment that the operator believes to be desired now, None for none.

    Raises:
        Conflict: ``deployment_drifted``, ``deployment_archived``, ``deployment_already_deployed``,
            ``device_archived``, or ``current_changed`` when ``expected_current`` is not what is desired.
    """
    _refuse_if_archived(device)
    new = device.deployments[deployment]
    _refuse_unless_staged(new)
    check_current(device, expected_current)
    generation = device.generation + 1
    changed = [
        _with(other, Target.STAGED, Activity.DRIFTED)
        for other in device.deployments.values()
        if other.statuses.activity is Activity.STAGED and other.id != deployment
    ]
    fallback = device.fallback
    if device.desired is not None:
        previous = device.deployments[device.desired]
        if previous.statuses.activity is Activity.DEPLOYED:
            fallback = previous.id
        else:
            changed.append(_withdraw(device, previous, generation))
    ordered = _with(new, Target.DEPLOYED, Activity.QUEUED, ordered=generation)
    return _issue(device, generation, new.id, fallback, *changed, ordered)


def order(device: Device, deployment: Deployment, expected_current: str | AnyCurrent | None = ANY) -> Device:
    """Adds a new deployment and orders it in the same act; what waits beside it drifts. Raises as ``deploy`` does."""
    return deploy(_record(device, deployment), deployment.id, expected_current)


def archive(device: Device, deployment: str) -> Device:
    """Withdraws a deployment. If it is the one desired and was never confirmed, its fallback is desired again;
    if it is in force, it has no fallback any more, and the device is ordered to take everything off.

    Raises:
        Conflict: ``deployment_archived``.
    """
    old = device.deployments[deployment]
    if old.statuses.target is Target.ARCHIVED:
        raise _archived(old)
    if old.statuses.target is Target.STAGED:
        return _record(device, _with(old, Target.ARCHIVED, Activity.ARCHIVED))
    generation = device.generation + 1
    desired = device.desired if deployment != device.desired else device.fallback
    return _issue(device, generation, desired, None, _withdraw(device, old, generation))


def restage(device: Device, deployment: str, expected_current: str | AnyCurrent | None = ANY) -> Device:
    """Declares a drifted deployment reviewed: it is staged again.

    Raises:
        Conflict: ``deployment_not_drifted``, or ``current_changed`` as for ``deploy``.
    """
    old = device.deployments[deployment]
    check_drifted(old)
    check_current(device, expected_current)
    return _record(device, _with(old, Target.STAGED, Activity.STAGED))


def merge(device: Device, drifted: str, merged: Deployment) -> Device:
    """Puts a new deployment, staged, in the place of a drifted one of the same release, which is archived.

    Raises:
        Conflict: ``deployment_not_drifted``.
    """
    old = device.deployments.get(drifted)
    if old is None:
        words = f"{drifted} is archived, not drifted"
        raise Conflict("deployment_not_drifted", words, "only a drifted deployment is restaged or merged")
    check_drifted(old)
    assert merged.release == old.release, "what is merged is for the release of what it takes the place of"
    return stage(device, merged)


def archive_device(device: Device) -> Device:
    """Takes a device out of service: what waits for it is archived, and what it runs stays as it is.

    Raises:
        Conflict: ``device_archived``.
    """
    _refuse_if_archived(device)
    waiting = [
        _with(other, Target.ARCHIVED, Activity.ARCHIVED)
        for other in device.deployments.values()
        if other.statuses.target is Target.STAGED
    ]
    return dataclasses.replace(_record(device, *waiting), archived=True)


def restore_device(device: Device) -> Device:
    """Takes an archived device back into service.

    Raises:
        Conflict: ``device_not_archived``.
    """
    if not device.archived:
        raise Conflict("device_not_archived", "the device is in service", "only an archived device is restored")
    return dataclasses.replace(device, archived=False)


def raise_epoch(device: Device, epoch: int) -> Device:
    """Issues the order again in a later epoch, for which no key that leaked before has signed anything.

    An order that this database has forgotten is not issued anew, because what it orders is not known: the robot keeps
    what it runs until the operator's next order.
    """
    if epoch <= device.epoch:
        return device
    raised = dataclasses.replace(device, epoch=epoch, reported=0)
    if device.adopted:
        return dataclasses.replace(raised, adopted=None, generation=0, published=0)
    if not device.generation:
        return raised
    return _issue(raised, device.generation + 1, device.desired, device.fallback)


def is_current(heard: Presence, incarnation: str | None, connection: int) -> bool:
    """Whether a presence message says something of now, held against the birth message that was taken last.

    A birth must be of a later connection, a will of the very connection that stands: one that comes late is of an
    earlier one. Incarnations have no order; another one is taken to be newer.
    """
    same = heard.incarnation == incarnation
    if heard.status == "offline":
        return same and heard.connection == connection
    return not same or heard.connection > connection


def ingest(device: Device, report: Report) -> Ingested:
    """Takes a report: newer ones move statuses, and what they confirm or fail changes what is desired.

    Incarnations have no order. One that says something newer than it ever did is alive, though another was heard
    since: the old disk was put back, or reports overtook each other.
    """
    former = dict(device.former)
    taken = device.seq if report.incarnation == device.incarnation else former.pop(report.incarnation, 0)
    if report.seq <= taken:
        return Ingested(device)
    if report.epoch > device.epoch:
        return Ingested(device, (f"report of epoch {report.epoch}, recorded is {device.epoch}",))
    if device.incarnation not in (None, report.incarnation):
        former[device.incarnation] = device.seq
    device = dataclasses.replace(
        device,
        incarnation=report.incarnation,
        former=tuple(former.items())[-KEPT_FORMER:],
        seq=report.seq,
        reported=report.generation if report.epoch == device.epoch else 0,
    )
    if _is_of_forgotten_time(device, report):
        return _issue_anew(device, report)
    return _settle(*_move_all(device, report))


def _is_of_forgotten_time(device: Device, report: Report) -> bool:
    """Whether the device obeys an order that this database does not have: a later one, or another of one number."""
    if report.epoch != device.epoch:
        return False
    if report.generation != device.generation:
        return report.generation > device.generation
    return report.order != device.order


def _issue_anew(device: Device, report: Report) -> Ingested:
    """Issues the order again above a generation that this database has forgotten.

    With nothing desired, a robot keeps what the forgotten time ordered until the operator's next order. Unless it
    holds only what is to be gone here too, or has seen this order and refused it for its number: then it is told again.
    """
    ignored = (f"the device knows another generation {report.generation}, recorded is {device.generation}",)
    if report.generation > MAX_JUMP:
        return Ingested(device, ignored)
    held = [device.deployments.get(entry.id) for entry in report.deployments if entry.activity is not Activity.ARCHIVED]
    unwanted = [known for known in held if known and known.statuses.target is Target.ARCHIVED]
    told_later = report.generation > device.generation
    if device.desired is None and told_later and (not held or len(unwanted) < len(held)):
        adopted = _issue(device, report.generation, None, None)
        return Ingested(dataclasses.replace(adopted, published=report.generation, adopted=report.order), ignored)
    return Ingested(_issue(device, report.generation + 1, device.desired, device.fallback), ignored)


def _move_all(device: Device, report: Report) -> tuple[Device, list[str]]:
    ignored: list[str] = []
    changed: list[Deployment] = []
    for entry in report.deployments:
        known = device.deployments.get(entry.id)
        if known is not None:
            moved, words = _move(known, entry)
            changed.append(moved)
            ignored += [words] if words else []
    told = {entry.id for entry in report.deployments}
    for known in device.deployments.values():
        if known.id in told:
            continue
        gone = known.id != report.current and 0 < known.ended <= device.reported
        if gone and known.statuses.target is Target.ARCHIVED:
            changed.append(_finish(known))
        elif known.waiting or known.integrity:
            changed.append(_unsaid(known))
    return _record(device, *changed), ignored


def _move(known: Deployment, entry: messages.DeploymentReport) -> tuple[Deployment, str]:
    now = known.statuses
    # A device that lost its database no longer knows what failed; here it is still known.
    error, reason = (entry.error, entry.reason) if now.error is not Error.FAILED else (now.error, known.reason)
    target = Target.ARCHIVED if error is Error.FAILED else now.target
    then = Statuses(target, entry.activity, error)
    is_over = entry.activity is Activity.ARCHIVED or error is Error.FAILED
    said: dict[str, Any] = {
        "reason": reason,
        "attempts": entry.attempts,
        "waiting": None if is_over else entry.waiting,
        "integrity": None if is_over else entry.integrity,
    }
    if then == now:
        is_news = any(getattr(known, name) != value for name, value in said.items())
        return dataclasses.replace(known, **said) if is_news else known, ""
    if now.target is Target.STAGED:
        return known, f"{known.id} is reported {entry.activity.value} and was never ordered"
    if entry.activity is Activity.DEPLOYED and entry.digest != known.digest:
        return (
            _unsaid(known),
            f"{known.id} is reported in force with digest {entry.digest}, recorded is {known.digest}",
        )
    if isinstance(CELLS[then], Impossible) or not may_become(now, then):
        return _unsaid(known), f"{known.id} is {now} and cannot become {then}"
    return _with(known, target, entry.activity, error, **said), ""


def _unsaid(known: Deployment) -> Deployment:
    """Without what was last known of its waits and its files: the device does not say it any more."""
    return dataclasses.replace(known, waiting=None, integrity=None) if known.waiting or known.integrity else known


def _settle(device: Device, ignored: list[str]) -> Ingested:
    """Draws the consequences: a confirmed deployment ends its fallback, a failed one brings it back."""
    desired = device.deployments[device.desired] if device.desired else None
    fallback = device.deployments[device.fallback] if device.fallback else None
    generation = device.generation + 1
    named = [deployment for deployment in (desired, fallback) if deployment]
    sound = [deployment for deployment in named if deployment.statuses.error is not Error.FAILED]
    ended = [dataclasses.replace(deployment, ended=generation) for deployment in named if deployment not in sound]
    if len(sound) == 2 and sound[0].statuses.activity is Activity.DEPLOYED:
        ended.append(_withdraw(device, sound.pop(), generation))
    if not ended:
        return Ingested(device, tuple(ignored))
    first, second, *_ = [*(deployment.id for deployment in sound), None, None]
    return Ingested(_issue(device, generation, first, second, *ended), tuple(ignored))


def _issue(device: Device, generation: int, desired: str | None, fallback: str | None, *changed: Deployment) -> Device:
    """The device with another order, which changed these deployments."""
    return dataclasses.replace(
        device,
        generation=generation,
        desired=desired,
        fallback=fallback,
        adopted=None,
        deployments=_among(device, *changed),
    )


def _withdraw(device: Device, old: Deployment, generation: int) -> Deployment:
    """Ends the will for a deployment; one that never left for the broker is over at once."""
    if old.statuses.activity is Activity.QUEUED and device.published < old.ordered:
        return _finish(old, ended=generation)
    return _with(old, Target.ARCHIVED, old.statuses.activity, old.statuses.error, ended=generation)


def _finish(old: Deployment, **more: Any) -> Deployment:
    """Off the device: a failure is kept with its reason, a hold-up or a wait is over."""
    old = _unsaid(old)
    if old.statuses.error is Error.FAILED:
        return _with(old, Target.ARCHIVED, Activity.ARCHIVED, Error.FAILED, **more)
    return _with(old, Target.ARCHIVED, Activity.ARCHIVED, reason=None, **more)


def _refuse_if_archived(device: Device) -> None:
    if device.archived:
        raise Conflict("device_archived", "the device is archived", "restore it first")


def _refuse_unless_staged(deployment: Deployment) -> None:
    target, activity, _ = deployment.statuses
    if target is Target.ARCHIVED:
        raise _archived(deployment)
    if target is Target.DEPLOYED:
        words = f"{deployment.id} was deployed already and is {deployment.statuses.merged}"
        raise Conflict("deployment_already_deployed", words, "a deployment is ordered once")
    if activity is Activity.DRIFTED:
        words = f"{deployment.id} drifted: another deployment became current after it was staged"
        hint = f"review it (shallop deployment review {deployment.id}), then restage, merge or archive it"
        raise Conflict("deployment_drifted", words, hint)


def _archived(deployment: Deployment) -> Conflict:
    return Conflict(
        "deployment_archived",
        f"{deployment.id} is archived, and a deployment is used once",
        "make a new deployment with the same content",
    )


def _with(
    deployment: Deployment, target: Target, activity: Activity, error: Error = Error.NONE, **more: Any
) -> Deployment:
    """The deployment in other statuses, which the table must allow, and with other fields."""
    then = Statuses(target, activity, error)
    assert then == deployment.statuses or may_become(deployment.statuses, then), f"{deployment.statuses} to {then}"
    return dataclasses.replace(deployment, statuses=then, **more)


def _record(device: Device, *changed: Deployment) -> Device:
    return dataclasses.replace(device, deployments=_among(device, *changed)) if changed else device


def _among(device: Device, *changed: Deployment) -> Mapping[str, Deployment]:
    return {**device.deployments, **{deployment.id: deployment for deployment in changed}}
