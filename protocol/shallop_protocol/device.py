"""What a device decides. Pure: the clock is an argument, the disk is a value, and nothing is done here.

Data takes one way. A verified order goes through ``receive`` into the ``Memory`` that the device keeps in its
database. ``plan`` compares that memory with what the disk holds and names the one next step. The agent
does the step and tells the outcome (``begun``, ``applied``, ``held_up``, ``rejected``, ``removed``), which gives
the next memory. When ``plan`` returns None, the device is where it should be. ``report`` says all of it to the cloud.

The rules:

* Only a signed order changes what runs. No order, no step: absence is not a command.
* The newest ``(epoch, generation)`` wins; anything older, or another order under the same number, is refused.
* What runs stays in force until its successor is confirmed. A deployment comes off when the order in force no
  longer names it and the named one is confirmed, when the order says so with ``deployment: null``, or when it failed.
* What is in sight without ever having been confirmed goes as soon as the order no longer names it: it may be what keeps
  the robot from its successor.
* A failed deployment is never tried again and never visible; the fallback that the order names takes its place.
* Every step can be cut off at any point and planned again from memory and disk alone.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping
from typing import Literal, TypeVar

from shallop_protocol import errors, messages
from shallop_protocol.desired import Desired, Manifest
from shallop_protocol.messages import Reason, Refusal
from shallop_protocol.statuses import Activity, Error

KEPT_FINISHED = 8
"""Finished deployments that stay in the report, so that an outcome survives a cloud that was away."""
BRIEF = 200
"""Characters of each reason in a report that would be too large otherwise. JSON writes one in at most 6 bytes."""

_WORDS = ("reason", "waiting", "integrity")

R = TypeVar("R", Reason, Refusal, messages.Waiting)


@dataclasses.dataclass(frozen=True, slots=True)
class Holding:
    """One deployment as the device knows it."""

    id: str
    digest: str
    activity: Activity
    error: Error
    attempts: int
    reason: Reason | None
    since: datetime.datetime

    @property
    def is_finished(self) -> bool:
        """Off the device for ever."""
        return self.activity is Activity.ARCHIVED

    @property
    def is_leaving(self) -> bool:
        """Off the device, or on its way."""
        return self.activity in (Activity.REMOVING, Activity.ARCHIVED)


@dataclasses.dataclass(frozen=True, slots=True)
class Memory:
    """All that the device must not forget. Holdings are in the order in which they came."""

    order: Desired | None = None
    holdings: tuple[Holding, ...] = ()
    refused: Refusal | None = None

    @property
    def position(self) -> tuple[int, int]:
        """Epoch and generation of the newest order accepted; zeros if there was none."""
        return (self.order.epoch, self.order.generation) if self.order else (0, 0)

    def holding(self, deployment: str) -> Holding | None:
        """The holding of a deployment, live or finished."""
        return next((holding for holding in self.holdings if holding.id == deployment), None)

    @property
    def wanted(self) -> Holding | None:
        """The holding of the deployment that the order names, if it names one."""
        return self.holding(self.order.deployment.id) if self.order and self.order.deployment else None

    @property
    def fallback(self) -> str | None:
        """The deployment that the order keeps beside the one that it names. An order for nothing keeps nothing."""
        return self.order.fallback if self.order and self.order.deployment else None


@dataclasses.dataclass(frozen=True, slots=True)
class Disk:
    """What was found on the disk.

    Attributes:
        current: the deployment that robot software reads now.
        trees: the deployments whose complete trees are there, ``current`` among them, and leftovers of any kind.
        damaged: those of ``trees`` that were read back and found different from their digest.
        stuck: those of ``trees`` that could not be deleted and are not due to be tried again. Nothing waits for them.
    """

    current: str | None = None
    trees: frozenset[str] = frozenset()
    damaged: frozenset[str] = frozenset()
    stuck: frozenset[str] = frozenset()


@dataclasses.dataclass(frozen=True, slots=True)
class Remember:
    """Make this memory durable; nothing on the disk changes."""

    memory: Memory


@dataclasses.dataclass(frozen=True, slots=True)
class Apply:
    """Write the tree, make it current, read it back."""

    manifest: Manifest


@dataclasses.dataclass(frozen=True, slots=True)
class Point:
    """Make another complete tree current again, or with None take everything out of sight. ``leaving`` is why."""

    deployment: str | None
    leaving: str


@dataclasses.dataclass(frozen=True, slots=True)
class Remove:
    """Delete a tree that is not current."""

    deployment: str


Step = Remember | Apply | Point | Remove


@dataclasses.dataclass(frozen=True, slots=True)
class Received:
    """What became of a message: the memory to keep from now on, and whether the order in it is new."""

    memory: Memory
    outcome: Literal["accepted", "unchanged", "refused"]


def receive(memory: Memory, desired: Desired, now: datetime.datetime) -> Received:
    """Takes or refuses a verified order.

    A deployment that is new here is queued. One that was taken off earlier and is ordered again is queued
    afresh (only a cloud restored from a backup does that); one that failed stays failed.
    """
    position = (desired.epoch, desired.generation)
    if memory.order and position <= memory.position:
        if position == memory.position and desired.digest == memory.order.digest:
            return Received(memory, "unchanged")
        return refuse(memory, _why_refused(memory, desired), desired.generation)
    ordered = desired.deployment
    known = memory.holding(ordered.id) if ordered else None
    if ordered and known and known.digest != ordered.digest:
        words = f"{ordered.id} was ordered before with other content; a deployment never changes"
        return refuse(memory, Reason.of("conflicting_deployment", words), desired.generation)
    holdings = tuple(_fresh_start(holding) for holding in memory.holdings)
    if ordered and (known is None or (known.is_leaving and known.error is not Error.FAILED)):
        queued = Holding(ordered.id, ordered.digest, Activity.QUEUED, Error.NONE, 0, None, messages.utc(now))
        holdings = (*(holding for holding in holdings if holding.id != ordered.id), queued)
    return Received(_trim(Memory(order=desired, holdings=holdings)), "accepted")


def refuse(memory: Memory, reason: Reason, generation: int | None = None) -> Received:
    """Remembers why a message was not accepted. The order in force stays in force."""
    refused = Refusal(code=reason.code, message=reason.message, generation=generation)
    return Received(dataclasses.replace(memory, refused=refused), "refused")


def refuse_error(memory: Memory, error: errors.ProtocolError) -> Received:
    """Remembers that a message could not even be read as an order."""
    return refuse(memory, Reason.of(error.code, error.message))


def plan(memory: Memory, disk: Disk, now: datetime.datetime) -> Step | None:
    """The one next step towards the order, or None when there is nothing left to do.

    Clearing away comes before applying, because a full disk may be why applying does not succeed.
    """
    if memory.order is None:
        return None
    waiting = disk.stuck - {disk.current}
    for holding in memory.holdings:
        if not holding.is_finished and holding.id not in waiting and _comes_off(memory, disk, holding):
            return _take_off(memory, disk, holding, now)
    for tree in sorted(disk.trees - _accounted_for(memory) - waiting):
        if tree != disk.current:
            return Remove(tree)
        if _may_leave_sight(memory, disk):
            return Point(_goal(memory, disk), leaving=tree)
    return _bring_on(memory, disk)


def _comes_off(memory: Memory, disk: Disk, holding: Holding) -> bool:
    if holding.error is Error.FAILED:
        return True
    if holding.activity is not Activity.REMOVING and (holding is memory.wanted or holding.id == memory.fallback):
        return False
    if holding.id != disk.current or _may_leave_sight(memory, disk):
        return True
    if holding.activity is Activity.QUEUED:
        return True  # never confirmed: it may be what keeps its successor from coming, so it does not wait for that
    return holding.activity is Activity.REMOVING and _goal(memory, disk) is not None


def _may_leave_sight(memory: Memory, disk: Disk) -> bool:
    """Whether what robot software reads now may go although it did not fail: the robot loses nothing by it."""
    assert memory.order is not None
    if memory.order.deployment is None:
        return True
    return _confirmed(memory, disk) is not None


def _accounted_for(memory: Memory) -> set[str]:
    """The trees that belong to something. The fallback's may be all that is left after the database was lost."""
    live = {holding.id for holding in memory.holdings if not holding.is_finished}
    return live | {memory.fallback} if memory.fallback else live


def _take_off(memory: Memory, disk: Disk, holding: Holding, now: datetime.datetime) -> Step:
    if holding.activity is Activity.DEPLOYED:
        return Remember(_change(memory, holding, now, activity=Activity.REMOVING))
    if holding.id == disk.current:
        return Point(_goal(memory, disk), leaving=holding.id)
    if holding.id in disk.trees:
        return Remove(holding.id)
    return Remember(removed(memory, holding.id, now))


def _goal(memory: Memory, disk: Disk) -> str | None:
    """What should be visible once the current deployment is not: the wanted one, else the fallback, else nothing.

    A device that lost its database may have no holding of the fallback, or a queued one; the cloud saw it confirmed.
    """
    confirmed = _confirmed(memory, disk)
    if confirmed is not None or memory.fallback is None:
        return confirmed
    known = memory.holding(memory.fallback)
    lost = known is not None and (known.is_leaving or known.error is Error.FAILED)
    return None if lost or memory.fallback not in disk.trees - disk.damaged else memory.fallback


def _confirmed(memory: Memory, disk: Disk) -> str | None:
    """The wanted deployment if it was confirmed and is still whole on the disk."""
    wanted = memory.wanted
    sound = wanted is not None and wanted.activity is Activity.DEPLOYED and wanted.error is not Error.FAILED
    return wanted.id if wanted and sound and wanted.id in disk.trees - disk.damaged else None


def _bring_on(memory: Memory, disk: Disk) -> Step | None:
    assert memory.order is not None
    wanted = memory.wanted
    if wanted is None or memory.order.deployment is None or wanted.error is Error.FAILED:
        return None
    in_force = wanted.activity is Activity.DEPLOYED and disk.current == wanted.id and wanted.id not in disk.damaged
    return None if in_force and wanted.error is Error.NONE else Apply(memory.order.deployment)


def begun(memory: Memory, deployment: str) -> Memory:
    """Counts an attempt. Durable before the attempt, so that a device that dies of it knows how often."""
    holding = memory.holding(deployment)
    return memory if holding is None else _replace(memory, dataclasses.replace(holding, attempts=holding.attempts + 1))


def applied(memory: Memory, deployment: str, now: datetime.datetime) -> Memory:
    """The deployment is on the disk, whole, in sight, and was read back."""
    holding = memory.holding(deployment)
    assert holding is not None
    return _change(memory, holding, now, activity=Activity.DEPLOYED, error=Error.NONE, attempts=0, reason=None)


def held_up(memory: Memory, deployment: str, reason: Reason, now: datetime.datetime) -> Memory:
    """A step did not succeed, and the world may heal. Attempts to apply were counted when they began.

    What failed stays failed, with its reason, however long it takes to clear it away.
    """
    holding = memory.holding(deployment)
    if holding is None or holding.is_finished:
        return memory
    if holding.error is Error.FAILED:
        return _change(memory, holding, now, attempts=holding.attempts + 1)
    attempts = holding.attempts if holding is memory.wanted else holding.attempts + 1
    return _change(memory, holding, now, error=Error.RETRYING, reason=reason, attempts=attempts)


def rejected(memory: Memory, deployment: str, reason: Reason, now: datetime.datetime) -> Memory:
    """The same bytes can never work here."""
    holding = memory.holding(deployment)
    assert holding is not None
    return _change(memory, holding, now, error=Error.FAILED, reason=reason)


def removed(memory: Memory, deployment: str, now: datetime.datetime) -> Memory:
    """The deployment is off the device; a failure is kept, a hold-up is over."""
    holding = memory.holding(deployment)
    if holding is None or holding.is_finished:
        return memory
    failed = holding.error is Error.FAILED
    return _trim(
        _change(
            memory,
            holding,
            now,
            activity=Activity.ARCHIVED,
            error=Error.FAILED if failed else Error.NONE,
            reason=holding.reason if failed else None,
        )
    )


def report(
    memory: Memory,
    disk: Disk,
    *,
    device: str,
    incarnation: str,
    seq: int,
    now: datetime.datetime,
    clock_synced: bool,
    agent: messages.Agent,
    next_attempts: Mapping[str, datetime.datetime],
    waiting: Mapping[str, messages.Waiting] | None = None,
    integrity: Mapping[str, Reason] | None = None,
    nonce: str | None = None,
    keys: int = 0,
    stale: bool = False,
) -> messages.Report:
    """What the device tells the cloud.

    Args:
        next_attempts: when, by the device's clock, a deployment that is held up is tried again.
        waiting: why a deployment is not brought on although nothing is wrong.
        integrity: what was found of a deployment's files that are not what was written, and are left so.
        nonce: to be echoed by the cloud.
        keys: the version of the key list that the device goes by.
        stale: nothing has proven for too long that the device has the newest order.
    """
    epoch, generation = memory.position
    whole = messages.Report(
        device=device,
        incarnation=incarnation,
        seq=seq,
        at=messages.utc(now),
        clock_synced=clock_synced,
        epoch=epoch,
        generation=generation,
        order=memory.order.digest if memory.order else None,
        current=disk.current,
        nonce=nonce,
        keys=keys,
        stale=stale,
        refused=memory.refused,
        deployments=tuple(
            messages.DeploymentReport(
                id=holding.id,
                activity=holding.activity,  # type: ignore[arg-type]
                error=holding.error,
                attempts=holding.attempts,
                next_attempt_at=next_attempts.get(holding.id),
                reason=holding.reason,
                waiting=(waiting or {}).get(holding.id),
                integrity=(integrity or {}).get(holding.id),
                digest=holding.digest if holding.activity is Activity.DEPLOYED else None,
                since=holding.since,
            )
            for holding in _reported(memory)
        ),
        agent=agent,
    )
    has_words = whole.refused is not None or any(
        entry.reason or entry.waiting or entry.integrity for entry in whole.deployments
    )
    if has_words and len(whole.to_bytes()) > messages.MAX_REPORT_BYTES:  # without words it is far below
        return _in_brief(whole)
    return whole


def _reported(memory: Memory) -> tuple[Holding, ...]:
    """As many as fit in a report: the finished ones give way first, what the order names never does."""
    named = (memory.wanted, memory.holding(memory.fallback) if memory.fallback else None)
    others = sorted((h for h in memory.holdings if h not in named), key=lambda holding: not holding.is_finished)
    left_out = others[: max(0, len(memory.holdings) - messages.MAX_DEPLOYMENTS)]
    return tuple(holding for holding in memory.holdings if holding not in left_out)


def _in_brief(report: messages.Report) -> messages.Report:
    """The same, with words so short that the cloud takes it however many reasons there are."""
    deployments = tuple(
        entry.model_copy(update={name: _short(said) for name in _WORDS if (said := getattr(entry, name)) is not None})
        for entry in report.deployments
    )
    refused = _short(report.refused) if report.refused else None
    return report.model_copy(update={"deployments": deployments, "refused": refused})


def _short(said: R) -> R:
    return said.model_copy(update={"message": said.message[:BRIEF]})


def _why_refused(memory: Memory, desired: Desired) -> Reason:
    assert memory.order is not None
    epoch, generation = memory.position
    if (desired.epoch, desired.generation) == memory.position:
        return Reason.of("conflicting_generation", f"another order with the same generation {generation} is in force")
    return Reason.of(
        "older_generation",
        f"epoch {desired.epoch} generation {desired.generation} is older than {epoch}/{generation}, which is in force",
    )


def _fresh_start(holding: Holding) -> Holding:
    """A new order begins the back-off anew."""
    return dataclasses.replace(holding, attempts=0) if holding.error is Error.RETRYING else holding


def _change(
    memory: Memory,
    holding: Holding,
    now: datetime.datetime,
    *,
    activity: Activity | None = None,
    error: Error | None = None,
    attempts: int | None = None,
    reason: Reason | None = None,
) -> Memory:
    statuses = (activity or holding.activity, error or holding.error)
    is_same = statuses == (holding.activity, holding.error)
    changed = Holding(
        id=holding.id,
        digest=holding.digest,
        activity=statuses[0],
        error=statuses[1],
        attempts=holding.attempts if attempts is None else attempts,
        reason=reason if error else holding.reason,
        since=holding.since if is_same else messages.utc(now),
    )
    return _replace(memory, changed)


def _replace(memory: Memory, holding: Holding) -> Memory:
    holdings = tuple(holding if old.id == holding.id else old for old in memory.holdings)
    return Memory(memory.order, holdings, memory.refused)


def _trim(memory: Memory) -> Memory:
    """Forgets the oldest finished deployments, but never the one that is ordered: that it failed must be known."""
    finished = [holding.id for holding in memory.holdings if holding.is_finished and holding is not memory.wanted]
    forgotten = set(finished[:-KEPT_FINISHED])
    return dataclasses.replace(memory, holdings=tuple(h for h in memory.holdings if h.id not in forgotten))
