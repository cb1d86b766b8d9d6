"""One moment of the world: both sides, what is on its way between them, and what the broker keeps."""

from __future__ import annotations

from typing import NamedTuple

from shallop_protocol import device
from shallop_protocol.cloud import Device

from model_world import orders, reports, robot, rules, shore
from model_world.memo import remembered
from model_world.orders import Fates
from model_world.robot import Robot
from model_world.shore import Shore


class State(NamedTuple):
    """All that decides what can happen next, and what the rules must know of the past.

    Attributes:
        shore: the cloud's database; ``backup`` is a copy of it, if one was taken and not used yet.
        robot: the robot's database and disk; ``seq`` is the number of its newest report.
        to_robot, to_shore: bytes on their way, in the order in which they were sent.
        kept_order, kept_report: the broker's retained messages, empty if there are none.
        signed: the deployments that an order for the robot ever named.
        restored: whether the cloud ever forgot what it did.
        fates: of every deployment that was ever made.
        room: how many messages fit on the way in each direction. One more pushes out the oldest, which is lost.
    """

    shore: Shore
    robot: Robot
    seq: int
    to_robot: tuple[bytes, ...]
    to_shore: tuple[bytes, ...]
    kept_order: bytes
    kept_report: bytes
    signed: frozenset[str]
    backup: Shore | None
    restored: bool
    fates: Fates
    room: int


def first(room: int) -> State:
    """Nothing was ever made or ordered. A backup of that is as good as none."""
    empty = shore.shore(Device(orders.ROBOT))
    return State(empty, robot.new(), 0, (), (), b"", b"", frozenset(), empty, restored=False, fates=(), room=room)


def ordered(before: State, data: bytes) -> State:
    """An order leaves for the robot. What is on its way already is not sent beside itself."""
    if data in before.to_robot:
        return before
    return before._replace(to_robot=(*before.to_robot, data)[-before.room :])


def reported(before: State, data: bytes) -> State:
    """A report leaves for the cloud."""
    if data in before.to_shore:
        return before
    return before._replace(to_shore=(*before.to_shore, data)[-before.room :])


def say(before: State) -> State:
    """The robot publishes a report, retained, under a new number."""
    seq = before.seq + 1
    data = _report(before.robot, seq)
    return reported(before._replace(seq=seq, kept_report=data), data)


def is_said(before: State) -> bool:
    """Whether the newest report is on its way and says all that there is to say."""
    if not before.to_shore:
        return False
    return before.to_shore[-1] == _report(before.robot, before.seq)


@remembered
def _report(aboard: Robot, seq: int) -> bytes:
    return device.report(
        aboard.memory,
        aboard.disk,
        device=orders.ROBOT,
        incarnation=aboard.name,
        seq=seq,
        now=orders.NOW,
        clock_synced=True,
        agent=orders.AGENT,
        next_attempts={},
    ).to_bytes()


def canonical(state: State) -> State:
    """The same world for all that can happen in it. The numbers of reports are only ever held against each other,
    within an incarnation, and the next one is always the highest: so nothing but their order counts.

    Generations stay as they are. The cloud may give one twice after it was restored, so gaps between them count.
    """
    said = [reports.number(data) for data in state.to_shore]
    if state.kept_report:
        said.append(reports.number(state.kept_report))
    known = shore.numbers(state.shore) | (shore.numbers(state.backup) if state.backup else frozenset())
    ranks = reports.ranks(known.union([(state.robot.name, state.seq)], said))
    if not ranks:
        return state
    rank = dict(ranks)

    def renumbered(data: bytes) -> bytes:
        return reports.renumbered(data, rank[reports.number(data)])

    return state._replace(
        shore=shore.renumbered(state.shore, ranks),
        seq=rank[state.robot.name, state.seq],
        to_shore=tuple(renumbered(data) for data in state.to_shore),
        kept_report=renumbered(state.kept_report) if state.kept_report else b"",
        backup=shore.renumbered(state.backup, ranks) if state.backup else None,
    )


def check(state: State) -> None:
    """What must hold between the two sides at any time, besides what each side checks of its own.

    Raises:
        rules.Violation: it does not.
    """
    _check(state.shore, state.robot, state.signed, restored=state.restored)


@remembered
def _check(ashore: Shore, aboard: Robot, signed: frozenset[str], *, restored: bool) -> None:
    current, order = aboard.disk.current, aboard.memory.order
    rules.require(current is None or current in signed, f"S3: {current} is in sight and was never signed for it")
    early = shore.claimed(ashore) - aboard.proven
    rules.require(not early, f"S13: the cloud shows {sorted(early)} in force, which never was")
    if restored:
        return
    known = order.generation if order else 0
    words = f"S1: the robot obeys {known}, and {ashore.recorded.published} is recorded as the newest that may be out"
    rules.require(known <= ashore.recorded.published, words)
    gone = current in ashore.over and aboard.incarnation == 1
    rules.require(not gone, f"S13: the cloud says {current} is archived, and the robot runs it")
