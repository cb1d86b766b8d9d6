"""What an operator asks of the cloud, and what must be true of the answer, by the number among the invariants.

As in ``checks``, nothing here asks the code under test for its opinion.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from shallop_protocol import cloud
from shallop_protocol.statuses import Activity, Target

from shallop_cloud.bench.simulation.cargo import Load
from shallop_cloud.bench.simulation.violation import Violation


@dataclasses.dataclass(frozen=True, slots=True)
class Wish:
    """One act of an operator.

    Attributes:
        decide: what the cloud makes of it.
        named: the deployment that it is about; ``withdraws`` whether the operator gives that up.
        believed: what the operator saw as desired, and holds on to; ``cloud.ANY`` for no matter what.
        made: the deployment that is new by it.
    """

    decide: Callable[[cloud.Device], cloud.Device]
    named: str | None = None
    withdraws: bool = False
    believed: str | cloud.AnyCurrent | None = cloud.ANY
    made: Load | None = None


def check(before: cloud.Device, after: cloud.Device, wish: Wish | None) -> None:
    """Holds a change of what is recorded against what was asked; ``wish`` is None if nobody asked for anything.

    Raises:
        Violation: S23, S24 or S25.
    """
    _check_drift(before, after)
    if wish is not None and not isinstance(wish.believed, cloud.AnyCurrent) and wish.believed != before.desired:
        raise Violation("S24", f"granted for {wish.believed} as the current one, and {before.desired} was")
    if after.archived:
        _check_archived(before, after)


def _check_drift(before: cloud.Device, after: cloud.Device) -> None:
    """S23: what drifted is not ordered, and what waits beside a new order has drifted."""
    ordered = _wanted(after) - _wanted(before)
    drifted = [name for name in ordered & before.deployments.keys() if _activity(before, name) is Activity.DRIFTED]
    if drifted:
        raise Violation("S23", f"{drifted} had drifted, and was ordered without a review")
    waiting = [name for name in after.deployments if _activity(after, name) is Activity.STAGED]
    if ordered and waiting:
        raise Violation("S23", f"{sorted(ordered)} was ordered, and {waiting} beside it did not drift")


def _check_archived(before: cloud.Device, after: cloud.Device) -> None:
    """S25: an archived device gets nothing new, and loses nothing by it."""
    if new := sorted(after.deployments.keys() - before.deployments.keys()):
        raise Violation("S25", f"{new} is new for an archived device")
    if ordered := sorted(_wanted(after) - _wanted(before)):
        raise Violation("S25", f"{ordered} was ordered for an archived device")
    if before.archived:
        return
    orders = [(device.generation, device.desired, device.fallback) for device in (before, after)]
    if orders[0] != orders[1]:
        raise Violation("S25", f"the device was archived, and its order {orders[0]} became {orders[1]}")
    for name, known in after.deployments.items():
        if known.statuses.target is Target.STAGED:
            raise Violation("S25", f"{name} waits for an archived device")
        if known != before.deployments[name] and before.deployments[name].statuses.target is not Target.STAGED:
            raise Violation("S25", f"the device was archived, and {name} became {known.statuses}")


def check_rolled_back(
    current: str | None, made: Load, loads: Mapping[str, Load], ordered: Sequence[str], sound: Sequence[str]
) -> None:
    """S26: a rollback has the content of the newest that was in force before what was desired.

    Args:
        current: what was desired; what it was rolled back to counts in its place.
        ordered: all deployments that were ordered, in this order.
        sound: those of them that were in force, and never failed.

    Raises:
        Violation: it has not.
    """
    assert made.restores is not None
    if made.manifest.digest != loads[made.restores].manifest.digest:
        raise Violation("S26", f"{made.id} is to restore {made.restores}, and has another content")
    origin = current
    while origin is not None and (earlier := loads[origin].restores) is not None:
        origin = earlier
    before = [name for name in sound if origin is None or ordered.index(name) < ordered.index(origin)]
    newest = before[-1] if before else None
    if made.restores != newest:
        raise Violation("S26", f"{current} was rolled back to {made.restores}; in force before it was {newest}")


def _wanted(device: cloud.Device) -> set[str]:
    return {name for name, known in device.deployments.items() if known.statuses.target is Target.DEPLOYED}


def _activity(device: cloud.Device, deployment: str) -> Activity:
    return device.deployments[deployment].statuses.activity
