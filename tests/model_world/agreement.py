"""What must hold once faults have stopped and nothing moves any more."""

from __future__ import annotations

from shallop_protocol.statuses import Error, Target

from model_world import robot, rules
from model_world.memo import remembered
from model_world.robot import Robot
from model_world.shore import Shore
from model_world.state import State


def check(state: State) -> None:
    """L1 and L2: the robot is where the newest order wants it, the cloud knows, and nothing is left over.

    Raises:
        rules.Violation: they are not agreed.
    """
    _check(state.shore, state.robot, restored=state.restored)


@remembered
def _check(ashore: Shore, aboard: Robot, *, restored: bool) -> None:
    device, order = ashore.recorded, aboard.memory.order
    if device.generation == 0 and order is None:
        return
    words = f"L1: the newest order is {device.generation}, the robot has {aboard.memory.position}"
    rules.require(order is not None and order.generation == device.generation, words)
    rules.require(device.in_sync, f"L2: the cloud does not know that order {device.generation} was answered")
    rules.require(robot.next_step(aboard) is None, "L1: the robot has not done all that it should")
    if ashore.keeps_forgotten:
        return
    assert order is not None
    named = (order.deployment.id if order.deployment else None, order.fallback)
    words = "L1: the robot has another order under the newest generation"
    rules.require(named == (device.desired, device.fallback), words)
    _check_disk(ashore, aboard)
    if device.desired:
        statuses = device.deployments[device.desired].statuses
        rules.require(statuses.merged == "deployed", f"L2: the cloud knows {statuses} of what is in force")
    rules.require(device.fallback is None, f"L2: {device.fallback} is still kept as fallback")
    leaving = [known for known in device.deployments.values() if known.statuses.target is Target.ARCHIVED]
    rules.require(not leaving, f"L2: still shown as leaving: {[f'{known.id} {known.statuses}' for known in leaving]}")
    if not restored:
        told = {deployment for deployment, error in ashore.finished if error is Error.FAILED}
        missed = aboard.failed - told
        rules.require(not missed, f"L2: the cloud never learned that {sorted(missed)} failed")


def _check_disk(ashore: Shore, aboard: Robot) -> None:
    disk, desired = aboard.disk, ashore.recorded.desired
    rules.require(disk.current == desired, f"L1: in force is {disk.current}, desired is {desired}")
    left = disk.trees - {disk.current}
    words = f"L1: left over on the disk: {sorted(left)}, damaged {sorted(disk.damaged)}, stuck {sorted(disk.stuck)}"
    rules.require(not left and not disk.damaged and not disk.stuck, words)
