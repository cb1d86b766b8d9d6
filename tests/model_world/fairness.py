"""Eventually: what becomes of a world when faults stop, the operator is silent, and nothing is put off for ever.

The quiet moves of a search are a graph. A run of them that never ends stays, from some moment on, within one strongly
connected component of it. It is *fair* if no kind of move that is possible all the time is never made (weak fairness).
So a component can hold a fair run for ever only if each kind of move is impossible in one of its states or made within
it: such a component is a *rest*. A run that ends, ends in a state without moves, which is a rest, too.

What is proved: without timers no run goes on for ever, in whatever order things happen. With timers that fire at any
moment, in every rest both sides agree, and nothing goes on there but heartbeats and their being heard. Every
fair run from every state that was found, whatever happened before, therefore ends in agreement, and in silence.
"""

from __future__ import annotations

import dataclasses

from model_world import agreement, moves, rules
from model_world.search import Broken, Found

HARMLESS = frozenset({"heartbeat", "hear"})
"""The kinds of moves that may go on for ever at rest."""

_UNSEEN, _ON_THE_PATH = -2, -1


@dataclasses.dataclass(frozen=True)
class Rests:
    """What was found at rest.

    Attributes:
        rests: how many components a fair run can stay in.
        resting: how many states these have.
        passed: how many components with a cycle a fair run can go through, and must leave.
        longest: the most moves that can follow each other in any order, while no timer fires.
    """

    rests: int
    resting: int
    passed: int
    longest: int


def check(found: Found) -> Rests:
    """Holds every rest of a search against what must be so at rest.

    Raises:
        Broken: it is not so; the way leads to the rest, and is the shortest to one of that kind.
    """
    component, members = _components(found)
    inside, possible = _moves_of(found, component, len(members))
    rests = resting = passed = 0
    for number, states in sorted(enumerate(members), key=lambda pair: min(pair[1])):
        if possible[number] & ~inside[number]:
            passed += len(states) > 1
            continue
        rests += 1
        resting += len(states)
        _check_rest(found, states, inside[number])
    return Rests(rests, resting, passed, _longest_run(found))


def _check_rest(found: Found, states: list[int], inside: int) -> None:
    first = min(states)
    endless = {kind for index, kind in enumerate(moves.QUIET) if inside >> index & 1} - HARMLESS
    if endless:
        words = f"L2: there is no end to {', '.join(sorted(endless))}"
        raise Broken(found.way(first), words)
    for number in states:
        try:
            agreement.check(found.states[number])
        except rules.Violation as error:
            raise Broken(found.way(number), f"at rest: {error}") from None


def _longest_run(found: Found) -> int:
    """The longest run without a timer; depth first, and none may come back to where it was."""
    spontaneous = [kind not in moves.TIMERS for kind in moves.QUIET]
    length = [_UNSEEN] * len(found.states)
    for root in range(len(length)):
        path = [root] if length[root] == _UNSEEN else []
        while path:
            state = path[-1]
            edges = range(found.starts[state], found.starts[state + 1])
            after = [found.targets[edge] for edge in edges if spontaneous[found.kinds[edge]]]
            if length[state] == _UNSEEN:
                length[state] = _ON_THE_PATH
                if any(length[target] == _ON_THE_PATH for target in after):
                    raise Broken(found.way(state), "L2: what goes on by itself comes back to this state")
                path += [target for target in after if length[target] == _UNSEEN]
                continue
            path.pop()
            if length[state] == _ON_THE_PATH:
                length[state] = max((length[target] + 1 for target in after), default=0)
    return max(length)


def _moves_of(found: Found, component: list[int], count: int) -> tuple[list[int], list[int]]:
    """For each component, as bits: the kinds of moves made within it, and those that are possible in all its states."""
    inside, possible = [0] * count, [-1] * count
    for state, own in enumerate(component):
        here = 0
        for edge in range(found.starts[state], found.starts[state + 1]):
            bit = 1 << found.kinds[edge]
            here |= bit
            if component[found.targets[edge]] == own:
                inside[own] |= bit
        possible[own] &= here
    return inside, possible


def _components(found: Found) -> tuple[list[int], list[list[int]]]:
    """The number of each state's strongly connected component, and the states of each (Tarjan 1972, by a loop)."""
    count = len(found.states)
    component, order, low = [-1] * count, [-1] * count, [0] * count
    members: list[list[int]] = []
    stack: list[int] = []
    starts, targets = found.starts, found.targets
    edge = list(starts[:count])
    seen = 0
    for root in range(count):
        if order[root] >= 0:
            continue
        path = [root]
        while path:
            state = path[-1]
            if order[state] < 0:
                order[state] = low[state] = seen
                seen += 1
                stack.append(state)
            if edge[state] < starts[state + 1]:
                target = targets[edge[state]]
                edge[state] += 1
                if order[target] < 0:
                    path.append(target)
                elif component[target] < 0:
                    low[state] = min(low[state], order[target])
                continue
            path.pop()
            if path:
                low[path[-1]] = min(low[path[-1]], low[state])
            if low[state] == order[state]:
                members.append([])
                while component[state] < 0:
                    component[stack[-1]] = len(members) - 1
                    members[-1].append(stack.pop())
    return component, members
