"""New key lists from the cloud's side: every way through a small world of one cloud, one broker and one robot.

The root holder publishes lists, the operator orders a deployment and withdraws it, the publisher works, either side
starts again, the broker loses what it kept, and what was sent at any time arrives at any later one, as often as it
likes. The decisions of both sides are the real ones, and so are signatures, orders, lists and reports. The publisher is
a model of ``shallop_cloud.link.publisher``: the same steps in the same order, each of which happens whole; between any
two of them anything else may happen, the death of the process among it. What that class keeps in memory only to ask the
database less is left out. There is one server, which knows a list as soon as the database has it.

The robot takes orders and says which it obeys; it brings no deployment on. A report that is late is no move of its own:
the cloud learns of the robot only by reports, so it is as if the robot had heard later what came after that report.
"""

from __future__ import annotations

import collections
import enum
import json
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from shallop_device import orders as judgement
from shallop_protocol import cloud, desired, device, dsse, keys, trust

from model_world import key_lists, orders, rules, shore
from model_world.key_lists import ACTIVE, RETIRED, REVOKED, ROOT, ROOTS, SIGNERS
from model_world.memo import remembered

DEPLOYMENT = orders.deployment_id(1)
_LISTS: Mapping[int, tuple[int, Mapping[str, keys.KeyState]]] = {
    1: (1, {"a": ACTIVE}),
    2: (2, {"a": REVOKED, "b": ACTIVE}),
    3: (2, {"a": REVOKED, "b": ACTIVE, "c": ACTIVE}),
    4: (2, {"a": REVOKED, "b": RETIRED, "c": ACTIVE}),
}
"""Epoch and states of the keys, by version."""


class Order(NamedTuple):
    """An order, by its number and what it orders."""

    epoch: int
    generation: int
    deployment: str | None


class Sealed(NamedTuple):
    """An order as it travels: ``version`` is the list by whose keys it is signed."""

    order: Order
    version: int


class At(str, enum.Enum):
    """The step of its round that the publisher does next."""

    TELL = "tells the list, if it did not"
    RAISE = "raises the epoch, if it is an earlier one"
    NEW = "looks for what is new"
    ANEW = "looks for what was sealed under an earlier list"
    REASSERT = "looks for what is not answered"


class Hand(NamedTuple):
    """What the publisher read and is about to send: nothing, if the order was none of now.

    Attributes:
        read: the version of the list under which it was read.
        is_out: it was sent, and that is to be recorded.
    """

    order: Order | None
    read: int
    is_out: bool = False

    @property
    def step(self) -> str:
        """What it does next with it."""
        return "records that it is sealed anew" if self.is_out else "sends what it read"


class Robot(NamedTuple):
    """The list and the order that are durable, and what was refused last and a newer list may make a good one."""

    version: int = 1
    order: Order | None = None
    doubted: Sealed | None = None

    @property
    def position(self) -> tuple[int, int]:
        """Epoch and generation of the order; zeros if there was none."""
        return self.order[:2] if self.order else (0, 0)


class State(NamedTuple):
    """All that tells two states apart.

    Attributes:
        version, shore, sealed, followed: the cloud's database: its list, the device, the list under which what lies on
            the broker was signed, and the list that the robot last said to go by.
        is_told, at, hand: the publisher's memory: whether it told this list since the connection stands, and what it is
            about to do.
        kept_list, kept_order: what the broker retains.
        sent: everything that ever left the cloud, which may arrive at any time. Lists are no secret: each that was
            published may arrive.
        wipes: how often the broker may still lose what it keeps.
    """

    shore: shore.Shore
    version: int = 1
    sealed: int = 1
    followed: int = 0
    is_told: bool = False
    at: At = At.TELL
    hand: Hand | None = None
    kept_list: int | None = None
    kept_order: Sealed | None = None
    sent: frozenset[Sealed] = frozenset()
    robot: Robot = Robot()
    wipes: int = 1


def search(lists: int, acts: int, wipes: int) -> int:
    """Goes every way; gives how many states there are.

    Args:
        lists: how many of the key lists are published.
        acts: how many of its two orders the operator gives.
        wipes: how often the broker may lose what it keeps.

    Raises:
        key_lists.Broken: a rule is.
    """
    first = State(shore.shore(cloud.Device(orders.ROBOT)), wipes=wipes)
    ways: dict[State, tuple[State, str] | None] = {first: None}
    waiting = collections.deque([first])
    while waiting:
        state = waiting.popleft()
        move = "nothing more"
        try:
            for move, then in _moves(state, lists, acts):
                _check(state, then)
                if then not in ways:
                    ways[then] = (state, move)
                    waiting.append(then)
            move = "nothing more"
            _check_end(state)
        except rules.Violation as violation:
            raise key_lists.Broken(f"{violation}: {(*_way(ways, state), move)}") from violation
    return len(ways)


def _way(ways: Mapping[State, tuple[State, str] | None], state: State) -> tuple[str, ...]:
    step = ways[state]
    return (*_way(ways, step[0]), step[1]) if step else ()


def _moves(state: State, lists: int, acts: int) -> Iterator[tuple[str, State]]:
    """What may happen next."""
    if state.version < lists:
        yield f"list {state.version + 1} is published", state._replace(version=state.version + 1, is_told=False)
    device = state.shore.recorded
    if not device.generation:
        yield "the operator orders", state._replace(shore=shore.order(state.shore, DEPLOYMENT, "1.0.0"))
    elif device.desired and acts > 1:
        yield "the operator withdraws", state._replace(shore=shore.archive(state.shore, DEPLOYMENT))
    yield "the cloud starts again", _came_up(state._replace(at=At.TELL, hand=None))
    if state.wipes and (state.kept_list or state.kept_order):
        yield "the broker is wiped", _came_up(state._replace(kept_list=None, kept_order=None, wipes=state.wipes - 1))
    for then in _works(state):
        yield f"the publisher {state.hand.step if state.hand else state.at.value}", then
    yield "the robot starts again", state._replace(robot=state.robot._replace(doubted=None))
    for message in (*range(1, state.version + 1), *state.sent):
        yield f"the robot hears {message}", state._replace(robot=_hears(state.robot, message))
    yield "the cloud hears the robot", _heard(state)


# The publisher.


def _came_up(state: State) -> State:
    """The connection stands, again: nothing counts as told."""
    return state._replace(is_told=False)


def _works(state: State) -> tuple[State, ...]:
    """The publisher's next step; two, where it depends on the time whether the round ends or its timer is due."""
    if state.hand is not None:
        return _sends(state, state.hand)
    device = state.shore.recorded
    match state.at:
        case At.TELL:
            return ((state if state.is_told else _tells(state))._replace(at=At.RAISE),)
        case At.RAISE:
            return (_raises(state)._replace(at=At.NEW),)
        case At.NEW:
            return (_takes(state) if device.published < device.generation else state._replace(at=At.ANEW),)
        case At.ANEW:
            return (_takes(state),) if state.sealed < state.version and device.generation else _ends(state)
        case At.REASSERT:
            return (state._replace(at=At.TELL) if device.in_sync else _takes(state),)


def _ends(state: State) -> tuple[State, State]:
    """A round is over, or its timer is due: the list is told again where it is missed."""
    told_again = _tells(state) if state.followed < state.version else state
    return state._replace(at=At.TELL), told_again._replace(at=At.REASSERT)


def _tells(state: State) -> State:
    return state._replace(kept_list=state.version, is_told=True)


def _raises(state: State) -> State:
    """The order anew in the epoch of the list, and with it, that nothing of an earlier list is to be sealed anew."""
    epoch = _LISTS[state.version][0]
    if state.shore.recorded.epoch >= epoch:
        return state
    return state._replace(shore=shore.raise_epoch(state.shore, epoch), sealed=state.version)


def _takes(state: State) -> State:
    """Records that the newest order may be out, and takes it in hand; one of another epoch is none of now."""
    device = state.shore.recorded
    order = Order(device.epoch, device.generation, device.desired)
    hand = Hand(order if _is_of_now(order, state.version) else None, state.version)
    return state._replace(shore=shore.published(state.shore), hand=hand)


def _is_of_now(order: Order, version: int) -> bool:
    return order.epoch == _LISTS[version][0]


def _sends(state: State, hand: Hand) -> tuple[State, ...]:
    """Sends what is in hand, signed by the keys of now. That it was sealed anew is recorded after that, for the
    list under which it was read.
    """
    if hand.is_out:
        return _ends(state._replace(sealed=hand.read, hand=None))
    message = Sealed(hand.order, state.version) if hand.order else None
    if message:
        state = state._replace(kept_order=message, sent=state.sent | {message})
    if state.at is At.ANEW:
        return (state._replace(hand=hand._replace(is_out=True)),)
    return (state._replace(hand=None, at=At.TELL if state.at is At.REASSERT else state.at),)


def _heard(state: State) -> State:
    """The cloud takes the robot's report, of which the number is higher the more the robot has taken."""
    robot = state.robot
    return state._replace(shore=shore.heard(state.shore, _report(robot)), followed=robot.version)


# The robot.


@remembered
def _hears(robot: Robot, message: int | Sealed) -> Robot:
    """What the robot does with a list or an order, as its worker does it."""
    judge = judgement.Judge(trust.Trust(orders.ROBOT, ROOTS, _listed(robot.version)))
    if robot.doubted:
        judge.judge(_memory(robot), _envelope(robot.doubted), orders.NOW)
    if isinstance(message, Sealed):
        return _judged(judge, robot, message)
    match judge.renewal(_list_envelope(message)):
        case judgement.Renewal() as renewal:
            again = judge.adopt(renewal)
            renewed = Robot(judge.trust.listed.version, robot.order)
            return _judged(judge, renewed, robot.doubted) if again and robot.doubted else renewed
        case _:
            return robot


def _judged(judge: judgement.Judge, robot: Robot, message: Sealed) -> Robot:
    received = judge.judge(_memory(robot), _envelope(message), orders.NOW)
    refused = received.memory.refused
    if received.outcome == "accepted":
        robot = robot._replace(order=message.order)
    elif received.outcome == "refused" and refused and refused.code in ("bad_signature", "wrong_epoch"):
        robot = robot._replace(doubted=message)
    is_of_use = robot.doubted and _may_count(robot, robot.doubted)
    return robot if is_of_use else robot._replace(doubted=None)


def _may_count(robot: Robot, message: Sealed) -> bool:
    """Whether a later list may make a message a good one. To remember any other is as to remember none."""
    later = [version for version in _LISTS if version > robot.version and _LISTS[version][0] == message.order.epoch]
    return message.order[:2] > robot.position and any(_active(each) & _active(message.version) for each in later)


def _memory(robot: Robot) -> device.Memory:
    return device.Memory(_desired(robot.order) if robot.order else None)


@remembered
def _report(robot: Robot) -> bytes:
    epoch, generation = robot.position
    return device.report(
        _memory(robot),
        device.Disk(),
        device=orders.ROBOT,
        incarnation="1" * 16,
        seq=1 + epoch * 1_000 + generation * 10 + robot.version,
        now=orders.NOW,
        clock_synced=True,
        agent=orders.AGENT,
        next_attempts={},
        keys=robot.version,
    ).to_bytes()


# What must hold.


def _check(before: State, after: State) -> None:
    """What must hold of each move."""
    for message in after.sent - before.sent:
        _check_sent(before, message)
    if after.robot != before.robot:
        _check_robot(before.robot, after.robot, after.sent)


def _check_sent(before: State, message: Sealed) -> None:
    """What leaves is signed by keys of now, in the epoch of the list under which it was read.

    A list may be published in between: then the order goes out in an earlier epoch than that of its signers, and no
    robot obeys it.
    """
    order, hand = message.order, before.hand
    assert hand, "what is sent was in hand"
    active = _listed(before.version).active
    signers = {each["keyid"] for each in json.loads(_envelope(message))["signatures"]}
    words = f"{message} leaves under list {before.version}"
    rules.require(signers <= active.keys(), f"{words}, by a key that does not count there")
    rules.require(order.epoch == _LISTS[hand.read][0], f"{words}, and was of another epoch when it was read")
    published = before.shore.recorded.published
    rules.require(order.generation <= published, f"{words}, and recorded as out is {published}")
    for earlier in before.sent:
        same = earlier.order[:2] == order[:2]
        rules.require(not same or earlier.order == order, f"{words}, and that number was another order's: {earlier}")


def _check_robot(before: Robot, after: Robot, sent: frozenset[Sealed]) -> None:
    rules.require(after.version >= before.version, f"the robot goes back to list {after.version}")
    rules.require(after.position >= before.position, f"the robot goes back to order {after.position}")
    if after.order != before.order:
        signed = [_active(message.version) for message in sent if message.order == after.order]
        counts = any(names & _active(after.version) for names in signed)
        words = f"{after.order} counts under list {after.version}"
        rules.require(after.position[0] == _LISTS[after.version][0], f"{words}, which is of another epoch")
        rules.require(counts, f"{words}, and was never signed by a key of it")


def _check_end(state: State) -> None:
    """What must hold after the round in hand and a whole one, when there are no more faults and acts, whichever of list
    and order the robot hears first.
    """
    state = state._replace(sent=frozenset(), wipes=0)
    while state.at is not At.TELL:
        state = _works(state)[-1]
    for is_list_first in (True, False):
        _check_rest(state, is_list_first)


@remembered
def _check_rest(state: State, is_list_first: bool) -> None:
    end = _calm(state, is_list_first=is_list_first)
    device, robot = end.shore.recorded, end.robot
    newest = Order(device.epoch, device.generation, device.desired) if device.generation else None
    words = f"at rest, with list {end.version} and {newest}"
    rules.require(robot.version == end.version, f"{words}: the robot has list {robot.version}")
    rules.require(robot.order == newest, f"{words}: the robot has {robot.order}")
    rules.require(device.in_sync, f"{words}: the cloud does not know that the robot has it")
    rules.require(end.kept_list == end.version, f"{words}: the broker retains list {end.kept_list}")
    kept = end.kept_order
    rules.require(kept in (None, Sealed(newest, end.version)) if newest else not kept, f"{words}: there lies {kept}")


def _calm(state: State, *, is_list_first: bool) -> State:
    """The publisher does a round, timer and all; the robot hears what is retained, and says what it has."""
    state = _works(state)[-1]
    while state.at is not At.TELL:
        state = _works(state)[-1]
    kept = [message for message in (state.kept_list, state.kept_order) if message]
    robot = state.robot
    for message in kept if is_list_first else reversed(kept):
        robot = _hears(robot, message)
    return _heard(state._replace(robot=robot))


# What travels.


def _active(version: int) -> frozenset[str]:
    return frozenset(name for name, state in _LISTS[version][1].items() if state is ACTIVE)


@remembered
def _listed(version: int) -> keys.KeyList:
    epoch, states = _LISTS[version]
    entries = tuple(keys.SigningKey(key=SIGNERS[name].key.text, state=state) for name, state in states.items())
    return keys.KeyList(version=version, epoch=epoch, issued_at=orders.NOW, signing_keys=entries)


@remembered
def _list_envelope(version: int) -> bytes:
    return keys.seal_key_list(_listed(version), [ROOT])


@remembered
def _desired(order: Order) -> desired.Desired:
    return desired.Desired(
        device=orders.ROBOT,
        epoch=order.epoch,
        generation=order.generation,
        issued_at=orders.NOW,
        deployment=orders.manifest(order.deployment) if order.deployment else None,
    )


@remembered
def _envelope(message: Sealed) -> bytes:
    return desired.seal_desired(_desired(message.order), *_signers(message.version))


def _signers(version: int) -> list[dsse.Signer]:
    """The keys of the cloud that count by a list."""
    return [SIGNERS[name] for name in sorted(_active(version))]
