"""Key lists and orders that overtake each other on their way to one robot: every way through a small world.

Four lists follow each other: one key; a second beside it; the first retired; the second revoked, in a new epoch. Each
time the cloud gave an order, and each key is used by a thief as well. All of it may reach the robot at any time, in any
order, as often as it likes, and the robot may start again in between. What is left on the broker in the end is the
newest list and the newest order.
"""

from __future__ import annotations

import collections
import dataclasses
import datetime
import functools
from collections.abc import Iterator, Mapping

from shallop_device import orders
from shallop_protocol import desired, device, dsse, keys, trust

NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
DEVICE = "dev-0123456789abcdef"
ACTIVE, RETIRED, REVOKED = keys.KeyState.ACTIVE, keys.KeyState.RETIRED, keys.KeyState.REVOKED
ROOT = dsse.signer_from_seed(b"r" * 32)
ROOTS = keys.Roots((ROOT.key,))
SIGNERS = {name: dsse.signer_from_seed(name.encode() * 32) for name in "abc"}
_LISTS: Mapping[int, tuple[int, Mapping[str, keys.KeyState]]] = {
    1: (1, {"a": ACTIVE}),
    2: (1, {"a": ACTIVE, "b": ACTIVE}),
    3: (1, {"a": RETIRED, "b": ACTIVE}),
    4: (2, {"a": RETIRED, "b": REVOKED, "c": ACTIVE}),
}
"""Epoch and states of the keys, by version."""
_ORDERS: Mapping[str, tuple[str, int, int]] = {
    "order 1": ("a", 1, 1),
    "order 2": ("b", 1, 2),
    "order 3": ("b", 1, 3),
    "order 4": ("c", 2, 4),
    "a thief's order with a": ("a", 1, 100),
    "a thief's order with b": ("b", 1, 200),
    "a thief's order with b in the new epoch": ("b", 2, 300),
    "a thief's order with a in the new epoch": ("a", 2, 400),
}
"""Who signed, epoch and generation."""
LAST = ("list 4", "order 4")


class Broken(Exception):
    """A rule is broken. The message says which, and on what way."""


@dataclasses.dataclass(frozen=True)
class State:
    """What of a robot tells two states apart: the list that is durable, the newest order, and what it refused last."""

    version: int
    position: tuple[int, int] = (0, 0)
    doubted: str | None = None


def search() -> int:
    """Goes every way; gives how many states there are.

    Raises:
        Broken: a rule is.
    """
    first = State(1)
    ways: dict[State, tuple[str, ...]] = {first: ()}
    waiting = collections.deque([first])
    while waiting:
        state = waiting.popleft()
        for move, then in _moves(state):
            way = (*ways[state], move)
            _check(state, move, then, way)
            if then not in ways:
                ways[then] = way
                waiting.append(then)
    for state, way in ways.items():
        _check_end(state, way)
    return len(ways)


def _moves(state: State) -> Iterator[tuple[str, State]]:
    yield "the robot starts again", dataclasses.replace(state, doubted=None)
    for message in (*(f"list {version}" for version in _LISTS), *_ORDERS):
        yield message, _hears(state, message)


def _hears(state: State, message: str) -> State:
    """What the robot does with a message, as its worker does it."""
    judge = orders.Judge(trust.Trust(DEVICE, ROOTS, _listed(state.version)))
    memory = device.Memory(_order_at(state.position))
    if state.doubted:
        judge.judge(memory, _bytes()[state.doubted], NOW)
    doubted = state.doubted
    if message in _ORDERS:
        return _judged(judge, memory, message, doubted)
    match judge.renewal(_bytes()[message]):
        case orders.Renewal() as renewal:
            again = judge.adopt(renewal)
            if again is None:
                return State(judge.trust.listed.version, memory.position)
            return _judged(judge, memory, next(name for name, data in _bytes().items() if data == again), None)
        case _:
            return state


def _judged(judge: orders.Judge, memory: device.Memory, message: str, doubted: str | None) -> State:
    received = judge.judge(memory, _bytes()[message], NOW)
    refused = received.memory.refused
    if received.outcome == "refused" and refused and refused.code in ("bad_signature", "wrong_epoch"):
        doubted = message
    return State(judge.trust.listed.version, received.memory.position, doubted)


def _check(before: State, move: str, after: State, way: tuple[str, ...]) -> None:
    if after.version < before.version:
        raise Broken(f"the robot goes back to list {after.version}: {way}")
    if after.position < before.position:
        raise Broken(f"the robot goes back to order {after.position}: {way}")
    if after.position != before.position:
        signer, epoch, _ = next(each for each in _ORDERS.values() if each[1:] == after.position)
        now, states = _LISTS[after.version]
        if states.get(signer) is not ACTIVE or epoch != now:
            raise Broken(
                f"after {move}, an order by {signer} of epoch {epoch} counts under list {after.version}: {way}"
            )


def _check_end(state: State, way: tuple[str, ...]) -> None:
    for last in (LAST, LAST[::-1]):
        end = state
        for message in last:
            end = _hears(end, message)
        if (end.version, end.position) != (4, _ORDERS["order 4"][1:]):
            raise Broken(f"the robot ends with list {end.version} and order {end.position}: {(*way, *last)}")


def _listed(version: int) -> keys.KeyList:
    epoch, states = _LISTS[version]
    entries = tuple(keys.SigningKey(key=SIGNERS[name].key.text, state=state) for name, state in states.items())
    return keys.KeyList(version=version, epoch=epoch, issued_at=NOW, signing_keys=entries)


def _order(epoch: int, generation: int) -> desired.Desired:
    return desired.Desired(device=DEVICE, epoch=epoch, generation=generation, issued_at=NOW, deployment=None)


def _order_at(position: tuple[int, int]) -> desired.Desired | None:
    return _order(*position) if position != (0, 0) else None


@functools.cache
def _bytes() -> Mapping[str, bytes]:
    """Each message as it travels."""
    lists = {f"list {version}": keys.seal_key_list(_listed(version), [ROOT]) for version in _LISTS}
    sealed = {
        name: desired.seal_desired(_order(epoch, generation), SIGNERS[signer])
        for name, (signer, epoch, generation) in _ORDERS.items()
    }
    return {**lists, **sealed}
