"""What must hold, apart from who does what: the table of statuses, held against a move that was made."""

from __future__ import annotations

import collections
from collections.abc import Iterable

from shallop_protocol.cloud import Deployment
from shallop_protocol.statuses import STEPS, Activity, Error, Statuses, Target, may_become

_RANK = {activity: rank for rank, activity in enumerate(Activity)}


class Violation(AssertionError):
    """An invariant does not hold."""


def require(holds: bool, words: str) -> None:
    """Raises ``Violation`` with these words, unless the rule holds."""
    if not holds:
        raise Violation(words)


def check_move(deployment: str, was: Statuses, then: Statuses) -> None:
    """Holds a change of statuses ashore, where several steps may be seen as one, against the rules for it."""
    if was == then:
        return
    words = f"{deployment} goes from {was} to {then}"
    require(may_become(was, then), f"the table: {words}")
    require(list(Target).index(then.target) >= list(Target).index(was.target), f"S5: {words}")
    restaged = (was.activity, then.activity) == (Activity.DRIFTED, Activity.STAGED)
    require(_RANK[then.activity] >= _RANK[was.activity] or restaged, f"S6: {words}")
    require(was.error is not Error.FAILED or then.error is Error.FAILED, f"S9: {words}")
    reached = then.activity is Activity.DEPLOYED or then.activity is not was.activity
    require((was.error, then.error) != (Error.RETRYING, Error.NONE) or reached, f"S10: {words}")


def check_places(known: Iterable[Deployment]) -> None:
    """Of a device, at most one is on its way, one is in force, and one waits on each release."""
    places = collections.Counter(
        each.release if each.statuses.target is Target.STAGED else each.statuses.activity
        for each in known
        if each.statuses.target is not Target.ARCHIVED
    )
    taken = {place: count for place, count in places.items() if count > 1}
    require(not taken, f"S8: places taken more than once: {taken}")


def check_step(deployment: str, was: Statuses, then: Statuses) -> None:
    """Holds a change of statuses on the robot, which sees every step, against the table."""
    words = f"statuses on the robot: {deployment} goes from {was} to {then}, which is no step"
    require(then in STEPS.get(was, frozenset()), words)


def check_shown(deployment: str, statuses: Statuses) -> None:
    """Holds the one word that people see against the rule for it, and the combination against the table."""
    require(statuses in STEPS, f"the table: {deployment} is {statuses}, which never occurs")
    shown = statuses.activity.value if statuses.error is Error.NONE else statuses.error.value
    require(statuses.merged == shown, f"S7: {statuses} is shown as {statuses.merged}")
