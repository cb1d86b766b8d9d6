"""The lifecycle of a deployment, as a table.

Everything that affects a change of status lives in this file; nothing here knows which side is asking.

A deployment has three statuses, owned by different parties:

``target``
    The operator's will. Only forward: staged, deployed, archived.
``activity``
    What was last known to be going on. The cloud owns it until ``queued``; from there on the device's reports
    move it. Only forward, but for one: a drifted deployment that was reviewed is staged again.
``error``
    What was last known to be wrong. ``failed`` is final: the bytes can never work on this robot, the
    deployment comes off it and is archived, and keeps saying why.

What people see is the merge of the last two: the error, unless there is none.

``CELLS`` has one entry for each of the 3 x 6 x 3 combinations. A combination that cannot be says why; one that
can be says what it means and where it may go in one step, a step being one act of one party with all that
the act entails. An end is written out as an empty set. Four rules shape the table:

* A deployment that failed, or that the device has begun to remove, is no longer wanted: whoever records either
  moves the target to ``archived`` in the same act.
* What was never ordered (staged, drifted) has no errors and ends at once when it is archived.
* ``retrying`` clears only when what was tried is reached, never on hope.
* Archived is the end. Nothing leaves it, and going back to an earlier content is a new deployment.

The cloud hears of a device's steps through reports, of which some are lost or overtaken. It may therefore see
several steps as one: ``may_become`` is the closure of the table, ``STEPS`` the table itself.
"""

from __future__ import annotations

import dataclasses
import enum
import itertools
from typing import NamedTuple


class Target(str, enum.Enum):
    """The operator's will."""

    STAGED = "staged"
    DEPLOYED = "deployed"
    ARCHIVED = "archived"


class Activity(str, enum.Enum):
    """What was last known to be going on."""

    STAGED = "staged"
    DRIFTED = "drifted"
    QUEUED = "queued"
    DEPLOYED = "deployed"
    REMOVING = "removing"
    ARCHIVED = "archived"


class Error(str, enum.Enum):
    """What was last known to be wrong."""

    NONE = "none"
    RETRYING = "retrying"
    FAILED = "failed"


class Statuses(NamedTuple):
    """One combination of the three."""

    target: Target
    activity: Activity
    error: Error

    @property
    def merged(self) -> str:
        """The one word that people see: the error unless there is none, else the activity."""
        return merge(self.activity, self.error)

    def __str__(self) -> str:
        return f"{self.target.value}/{self.activity.value}/{self.error.value}"


def merge(activity: Activity, error: Error) -> str:
    """``status``: the error unless it is ``none``, else the activity."""
    return activity.value if error is Error.NONE else error.value


@dataclasses.dataclass(frozen=True, slots=True)
class Possible:
    """A combination that occurs: what it means, and where one step may lead."""

    meaning: str
    next: frozenset[Statuses]


@dataclasses.dataclass(frozen=True, slots=True)
class Impossible:
    """A combination that never occurs, and why."""

    why: str


Cell = Possible | Impossible


def _possible(meaning: str, *steps: str) -> Possible:
    return Possible(meaning, frozenset(_parse(step) for step in steps))


def _parse(text: str) -> Statuses:
    target, activity, error = text.split("/")
    return Statuses(Target(target), Activity(activity), Error(error))


_NOT_ORDERED = Impossible("a deployment that was never ordered has not reached the device")
_NO_ERRORS_YET = Impossible("nothing was tried yet, so nothing can have gone wrong")
_ORDERED = Impossible("ordering a deployment queues it in the same act")
_FAILED_ENDS_WILL = Impossible("recording a failure moves the target to archived in the same act")
_LEAVING_ENDS_WILL = Impossible("a deployment leaves the device only when its target is archived")
_ENDS_AT_ONCE = Impossible("archiving what was never ordered ends it at once")
_REMOVED_IS_REACHED = Impossible("the target was reached, so nothing is being retried")

# fmt: off
_TABLE: dict[str, Cell] = {
    # The operator prepared it and has not ordered it.
    "staged/staged/none": _possible("prepared, waiting for the operator",
        "staged/drifted/none", "deployed/queued/none", "archived/archived/none"),
    "staged/staged/retrying": _NO_ERRORS_YET,
    "staged/staged/failed": _NO_ERRORS_YET,
    "staged/drifted/none": _possible("another deployment became current since it was prepared; needs review",
        "staged/staged/none", "archived/archived/none"),
    "staged/drifted/retrying": _NO_ERRORS_YET,
    "staged/drifted/failed": _NO_ERRORS_YET,
    "staged/queued/none": _NOT_ORDERED,
    "staged/queued/retrying": _NOT_ORDERED,
    "staged/queued/failed": _NOT_ORDERED,
    "staged/deployed/none": _NOT_ORDERED,
    "staged/deployed/retrying": _NOT_ORDERED,
    "staged/deployed/failed": _NOT_ORDERED,
    "staged/removing/none": _NOT_ORDERED,
    "staged/removing/retrying": _NOT_ORDERED,
    "staged/removing/failed": _NOT_ORDERED,
    "staged/archived/none": _NOT_ORDERED,
    "staged/archived/retrying": _NOT_ORDERED,
    "staged/archived/failed": _NOT_ORDERED,

    # The operator ordered it.
    "deployed/staged/none": _ORDERED,
    "deployed/staged/retrying": _ORDERED,
    "deployed/staged/failed": _ORDERED,
    "deployed/drifted/none": _ORDERED,
    "deployed/drifted/retrying": _ORDERED,
    "deployed/drifted/failed": _ORDERED,
    "deployed/queued/none": _possible("ordered; the device has not confirmed it",
        "deployed/queued/retrying", "deployed/deployed/none",
        "archived/queued/none", "archived/queued/failed", "archived/archived/none"),
    "deployed/queued/retrying": _possible("the device could not apply it yet and tries again",
        "deployed/deployed/none", "archived/queued/retrying", "archived/queued/failed"),
    "deployed/queued/failed": _FAILED_ENDS_WILL,
    "deployed/deployed/none": _possible("in force",
        "deployed/deployed/retrying", "archived/deployed/none", "archived/deployed/failed"),
    "deployed/deployed/retrying": _possible("was in force; the device has trouble keeping it so and tries again",
        "deployed/deployed/none", "archived/deployed/retrying", "archived/deployed/failed"),
    "deployed/deployed/failed": _FAILED_ENDS_WILL,
    "deployed/removing/none": _LEAVING_ENDS_WILL,
    "deployed/removing/retrying": _LEAVING_ENDS_WILL,
    "deployed/removing/failed": _LEAVING_ENDS_WILL,
    "deployed/archived/none": _LEAVING_ENDS_WILL,
    "deployed/archived/retrying": _LEAVING_ENDS_WILL,
    "deployed/archived/failed": _LEAVING_ENDS_WILL,

    # The operator wants it gone, or it was replaced, or it failed.
    "archived/staged/none": _ENDS_AT_ONCE,
    "archived/staged/retrying": _ENDS_AT_ONCE,
    "archived/staged/failed": _ENDS_AT_ONCE,
    "archived/drifted/none": _ENDS_AT_ONCE,
    "archived/drifted/retrying": _ENDS_AT_ONCE,
    "archived/drifted/failed": _ENDS_AT_ONCE,
    "archived/queued/none": _possible("no longer wanted; the device may have received it and has not answered",
        "archived/queued/retrying", "archived/queued/failed", "archived/deployed/none", "archived/archived/none"),
    "archived/queued/retrying": _possible("no longer wanted; the device last said that it was trying",
        "archived/queued/failed", "archived/deployed/none", "archived/archived/none"),
    "archived/queued/failed": _possible("can never work; the device is clearing it away",
        "archived/archived/failed"),
    "archived/deployed/none": _possible("no longer wanted; the device last said that it was in force",
        "archived/deployed/retrying", "archived/deployed/failed", "archived/removing/none"),
    "archived/deployed/retrying": _possible("no longer wanted; in force, with trouble",
        "archived/deployed/none", "archived/deployed/failed", "archived/removing/retrying"),
    "archived/deployed/failed": _possible("can never work; the device is about to take it off",
        "archived/removing/failed"),
    "archived/removing/none": _possible("being taken off the device",
        "archived/removing/retrying", "archived/archived/none"),
    "archived/removing/retrying": _possible("being taken off the device, with trouble",
        "archived/archived/none"),
    "archived/removing/failed": _possible("can never work; being taken off the device",
        "archived/archived/failed"),
    "archived/archived/none": _possible("off the device, for ever"),
    "archived/archived/retrying": _REMOVED_IS_REACHED,
    "archived/archived/failed": _possible("failed, off the device, for ever"),
}
# fmt: on

CELLS: dict[Statuses, Cell] = {_parse(text): cell for text, cell in _TABLE.items()}
"""All 54 combinations, total."""

STEPS: dict[Statuses, frozenset[Statuses]] = {
    statuses: cell.next for statuses, cell in CELLS.items() if isinstance(cell, Possible)
}
"""The combinations that occur, each with those that one step may lead to."""


def _closure() -> dict[Statuses, frozenset[Statuses]]:
    reached: dict[Statuses, frozenset[Statuses]] = {}
    for start in STEPS:
        seen: set[Statuses] = set()
        todo = list(STEPS[start])
        while todo:
            statuses = todo.pop()
            if statuses not in seen:
                seen.add(statuses)
                todo.extend(STEPS[statuses])
        reached[start] = frozenset(seen)
    return reached


_REACHED = _closure()

FIRST = _parse("staged/staged/none")
"""Where every deployment begins."""


def all_combinations() -> tuple[Statuses, ...]:
    """The 54 combinations, in the order of the enumerations."""
    return tuple(Statuses(*combination) for combination in itertools.product(Target, Activity, Error))


def may_become(now: Statuses, then: Statuses) -> bool:
    """Whether one or more steps lead from ``now`` to ``then``; staying is no step.

    Raises:
        KeyError: ``now`` is a combination that never occurs.
    """
    return then in _REACHED[now]
