"""Every way through a small world, breadth first, and what it looks like once faults have stopped.

States are taken in the order of the faults that led to them: first all that can be reached without any, then those
that one more fault leads to, and so on. A state is kept once, with the fewest faults, since whatever can follow after
more of them can follow after fewer. So the way to a violation has the fewest faults, and the fewest events with those.
"""

from __future__ import annotations

import array
import collections
import dataclasses
import gc
from collections.abc import Iterator
from typing import NamedTuple

from model_world import agreement, moves, rules
from model_world import state as moment
from model_world.moves import Move
from model_world.orders import Fate
from model_world.state import State
from model_world.world import World


@dataclasses.dataclass(frozen=True)
class Small:
    """A world to search.

    Attributes:
        name: for people.
        fates: of its deployments, which are staged at the beginning, each for a release of its own.
        faults: how many there may be, of all ``kinds`` together.
        room: how many messages fit on the way in each direction; with more than one, they overtake each other.
        archives: whether the operator may withdraw deployments.
        again: of deployments that are staged when the operator likes, for the release of the first one.
        retires: whether the device may be taken out of service, and back.
    """

    name: str
    fates: tuple[Fate, ...]
    faults: int
    kinds: tuple[str, ...] = moves.FAULTS
    room: int = 1
    archives: bool = True
    again: tuple[Fate, ...] = ()
    retires: bool = False

    def first(self) -> State:
        """All is staged, and nothing is ordered."""
        world = World(self.room)
        for number, fate in enumerate(self.fates, start=1):
            world.stage(fate, f"{number}.0.0")
        return world.state._replace(backup=None)

    def free(self, state: State) -> Iterator[Move]:
        """What may happen without a fault."""
        yield from moves.quiet(state)
        yield from (move for move in moves.operator(state) if self.archives or move.kind != "archive")
        yield from moves.staging(state, (*self.fates, *self.again), "1.0.0")
        yield from moves.service(state) if self.retires else ()
        yield from moves.restores(state)

    def faulty(self, state: State) -> Iterator[Move]:
        """What may go wrong."""
        yield from (move for move in moves.faults(state) if move.kind in self.kinds)
        if "back up" in self.kinds:
            yield from moves.backups(state)

    def possible(self, state: State) -> list[Move]:
        """All that may happen, in an order that is always the same."""
        return [*self.free(state), *self.faulty(state)]


class Broken(Exception):
    """A way that breaks a rule: the numbers of its moves among the possible ones."""

    def __init__(self, way: list[int], words: str) -> None:
        super().__init__(words)
        self.way = way
        self.words = words


@dataclasses.dataclass
class Found:
    """What a search found: a graph. States are numbered in the order in which they were found.

    Attributes:
        states: all of them.
        parents, chosen: from which state each was first reached, and by which of its possible moves.
        starts, kinds, targets: the quiet moves of state n are those from ``starts[n]`` to ``starts[n + 1]``, each with
            its kind, as an index of ``moves.QUIET``, and the state that it leads to.
        levels: the number of states that were known when no more could be reached with so many faults.
        transitions: moves that were tried. ``depth``: of the longest among the ways by which states were found.
    """

    states: list[State]
    parents: array.array[int]
    chosen: array.array[int]
    starts: array.array[int]
    kinds: array.array[int]
    targets: array.array[int]
    levels: list[int]
    transitions: int = 0
    depth: int = 0

    def way(self, number: int) -> list[int]:
        """The moves that lead to a state."""
        way: list[int] = []
        while self.parents[number] >= 0:
            way.append(self.chosen[number])
            number = self.parents[number]
        return way[::-1]


def search(world: Small) -> Found:
    """Takes every way through a world.

    Raises:
        Broken: a rule does not hold on one of them.
    """
    collects = gc.isenabled()
    gc.disable()  # nothing here is cyclic, and the collector would look at all states again and again
    try:
        return _Search(world).run()
    finally:
        if collects:
            gc.enable()


class _Reached(NamedTuple):
    """What a move led to: a state, or the words for the rule that it broke."""

    state: State | str
    parent: int
    chosen: int


class _Search:
    def __init__(self, world: Small) -> None:
        self.world = world
        self.numbers: dict[State, int] = {}
        self.depths = array.array("i")
        empty = [array.array("i") for _ in range(5)]
        self.found = Found([], *empty, levels=[])

    def run(self) -> Found:
        found = self.found
        waiting = [_Reached(moment.canonical(self.world.first()), -1, -1)]
        for fault in range(self.world.faults + 1):
            waiting = self._level(collections.deque(waiting), may_fail=fault < self.world.faults)
            found.levels.append(len(found.states))
        found.starts.append(len(found.targets))
        found.depth = max(self.depths)
        return found

    def _level(self, waiting: collections.deque[_Reached], *, may_fail: bool) -> list[_Reached]:
        """Takes all that follows without another fault, and gives what one more fault leads to.

        What waits is in the order of its depth. It has its turn when that depth is reached.
        """
        failed: list[_Reached] = []
        at = len(self.found.states)
        while waiting or at < len(self.found.states):
            depth = self.depths[at] if at < len(self.found.states) else self._depth(waiting[0].parent)
            while waiting and self._depth(waiting[0].parent) <= depth:
                self._number(waiting.popleft())
            if at < len(self.found.states):
                failed += self._expand(at, may_fail=may_fail)
                at += 1
        return failed

    def _expand(self, at: int, *, may_fail: bool) -> list[_Reached]:
        found, before, chosen = self.found, self.found.states[at], -1
        found.starts.append(len(found.targets))
        for chosen, move in enumerate(self.world.free(before)):
            number = self._number(self._take(at, chosen, move))
            if move.kind in _QUIET:
                found.kinds.append(_QUIET[move.kind])
                found.targets.append(number)
        found.transitions += chosen + 1
        if not may_fail:
            return []
        failed = [self._take(at, wrong, move) for wrong, move in enumerate(self.world.faulty(before), start=chosen + 1)]
        found.transitions += len(failed)
        return [reached for reached in failed if reached.state not in self.numbers]

    def _take(self, at: int, chosen: int, move: Move) -> _Reached:
        try:
            after = moment.canonical(move(self.found.states[at]))
            moment.check(after)
        except (AssertionError, LookupError, ValueError) as error:
            return _Reached(_words(error), at, chosen)
        return _Reached(after, at, chosen)

    def _number(self, reached: _Reached) -> int:
        found, (state, parent, chosen) = self.found, reached
        if isinstance(state, str):
            raise Broken([*found.way(parent), chosen], state)
        number = self.numbers.setdefault(state, len(found.states))
        if number == len(found.states):
            found.states.append(state)
            found.parents.append(parent)
            found.chosen.append(chosen)
            self.depths.append(self._depth(parent))
        return number

    def _depth(self, parent: int) -> int:
        """The depth of what is reached from a state."""
        return self.depths[parent] + 1 if parent >= 0 else 0


def _words(error: Exception) -> str:
    return str(error) if isinstance(error, rules.Violation) else f"{type(error).__name__}: {error}"


BREAKS = "-> "
"""How the words for a broken rule begin, at the end of a way."""

_QUIET = {kind: index for index, kind in enumerate(moves.QUIET)}


def retrace(world: Small, way: list[int]) -> Iterator[str]:
    """The events of a way in words, and then what it breaks; or, at its end, whether the two sides are agreed there.

    Raises:
        ValueError: a number that is none of a possible move.
    """
    state = moment.canonical(world.first())
    for chosen in way:
        possible = world.possible(state)
        if not 0 <= chosen < len(possible):
            raise ValueError(f"there is no move {chosen}; {len(possible)} moves are possible here, from 0 on")
        yield moves.in_words(state, possible[chosen])
        try:
            state = moment.canonical(possible[chosen](state))
            moment.check(state)
        except (AssertionError, LookupError, ValueError) as error:
            yield f"{BREAKS}{_words(error)}"
            return
    try:
        agreement.check(state)
    except rules.Violation as found:
        yield f"not agreed here, which matters at rest: {found}"
    else:
        yield "agreed here"
