"""From a run that failed to the shortest one found that fails in the same way: act after act is left out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from shallop_cloud.bench.simulation.run import Options, Outcome, plan, run

MOST_RUNS = 200


def shrink(
    outcome: Outcome, options: Options, again: Callable[[int, Options], Outcome] = run
) -> tuple[Outcome, Options]:
    """A run of as few acts as were found to violate the same invariant, and its options.

    Takes at most ``MOST_RUNS`` runs: half of the acts are left out, then quarters, and so on down to single ones, until
    none can be left out any more.
    """
    assert outcome.violation is not None
    kept = [number for number, _ in plan(outcome.seed, options)]
    best, best_options = outcome, options
    runs, size = 0, max(1, len(kept) // 2)
    while runs < MOST_RUNS:
        shorter = False
        start = 0
        while start < len(kept) and runs < MOST_RUNS:
            rest = kept[:start] + kept[start + size :]
            tried = dataclasses.replace(options, only=frozenset(rest))
            found = again(outcome.seed, tried)
            runs += 1
            if found.violation is not None and found.violation[0] == outcome.violation[0]:
                kept, best, best_options, shorter = rest, found, tried, True
            else:
                start += size
        if size > 1:
            size //= 2
        elif not shorter:
            break
    return best, best_options
