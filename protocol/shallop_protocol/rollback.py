"""What a rollback goes back to. Pure: a device's earlier deployments go in, the one whose content returns comes out.

The rules:

* Only what the device once confirmed in force is gone back to, and nothing that failed.
* One rollback goes one further back. What a rollback made stands where the deployment stands whose content it brought
  back, so the next rollback goes behind that one, and never forward to what was just left.
* With nothing desired, the newest that was in force returns.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from shallop_protocol.cloud import Conflict


@dataclasses.dataclass(frozen=True, slots=True)
class Former:
    """A deployment of a device that was ordered once.

    Attributes:
        ordered: the generation in which it first became desired.
        was_in_force: the device confirmed it at some time.
        failed: it is known that it can never work.
        restores: the deployment whose content it brought back; None if it was no rollback.
    """

    id: str
    ordered: int
    was_in_force: bool
    failed: bool = False
    restores: str | None = None


def origin(former: Mapping[str, Former], deployment: str) -> Former:
    """The deployment with whose content this one began, through all rollbacks."""
    found = former[deployment]
    while found.restores is not None:
        found = former[found.restores]
    return found


def candidate(former: Mapping[str, Former], current: str | None) -> Former:
    """The deployment that is one further back than ``current``, which is what is desired; None for nothing.

    Args:
        former: all deployments of the device that were ever ordered, by id.

    Raises:
        Conflict: ``nothing_to_roll_back_to``.
    """
    before = origin(former, current).ordered if current is not None else None
    sound = [each for each in former.values() if each.was_in_force and not each.failed]
    found = [each for each in sound if before is None or each.ordered < before]
    if not found:
        words = "no deployment was in force before this one" if current else "no deployment was ever in force"
        raise Conflict("nothing_to_roll_back_to", words, "make a new deployment")
    return max(found, key=lambda each: each.ordered)


def chosen(former: Mapping[str, Former], current: str | None, deployment: str) -> Former:
    """The deployment that an operator names to go back to, if that can be.

    Raises:
        Conflict: ``deployment_not_former``, ``deployment_failed``, ``deployment_is_current``.
    """
    found = former.get(deployment)
    if found is None or not found.was_in_force:
        words = f"{deployment} was never in force on this device"
        raise Conflict("deployment_not_former", words, "name one that was, or patch it to make a new deployment")
    if found.failed:
        words = f"{deployment} failed on this device, and the same bytes fail again"
        raise Conflict("deployment_failed", words, "name another one, or patch it")
    if deployment == current:
        raise Conflict("deployment_is_current", f"{deployment} is desired now", "name an earlier one")
    return found
