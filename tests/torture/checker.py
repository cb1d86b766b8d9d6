"""What must be true of a history. Pure: lines in, violations out, each with the lines that prove it.

A rule is a function of the whole history. Rules know the moments of what they compare: something counts as earlier only
if it was over before the other began.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping

from torture import rules_of_acts, rules_of_disks, rules_of_ends, rules_of_service, rules_of_statuses, rules_of_wires
from torture.history import History, Line
from torture.violation import Found

Rule = Callable[[History], Iterator[Found]]

RULES: Mapping[str, Rule] = {
    "acknowledged is there": rules_of_acts.acknowledged,
    "refused had no effect": rules_of_acts.refused,
    "one order of acts": rules_of_acts.in_order,
    "expected is honoured": rules_of_acts.expected,
    "acts are seen": rules_of_acts.seen,
    "rollbacks restore": rules_of_service.rolled_back,
    "patches say of what": rules_of_service.patched,
    "out of service, nothing new": rules_of_service.out_of_service,
    "the record is whole": rules_of_service.chained,
    "never back": rules_of_statuses.never_back,
    "merged": rules_of_statuses.merged,
    "deployed is proof": rules_of_disks.proof,
    "never torn": rules_of_disks.whole,
    "gone stays gone": rules_of_disks.gone,
    "absence is no command": rules_of_disks.kept,
    "one order per generation": rules_of_wires.orders,
    "orders are sealed by the list": rules_of_wires.seals,
    "robots follow the list": rules_of_wires.lists,
    "reports answer orders": rules_of_wires.reports,
    "everything agrees": rules_of_ends.agreement,
    "nobody gives up": rules_of_ends.alive,
    "the traffic stops": rules_of_ends.quiet,
}


@dataclasses.dataclass(frozen=True, slots=True)
class Violation:
    """A rule that does not hold, in words, and the lines that prove it."""

    rule: str
    words: str
    lines: tuple[Line, ...]

    def __str__(self) -> str:
        return "\n".join([f"{self.rule}: {self.words}", *(f"    {line}" for line in self.lines)])


def check(history: History) -> list[Violation]:
    """What is wrong with a history."""
    return [
        Violation(name, found.words, tuple(dict.fromkeys(found.lines)))
        for name, rule in RULES.items()
        for found in rule(history)
    ]
