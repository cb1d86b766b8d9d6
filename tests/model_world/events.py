"""What can happen: each function takes a state to the next. What the sides check, they check as it happens."""

from __future__ import annotations

from shallop_protocol.statuses import Activity, Target

from model_world import orders, robot, shore
from model_world import state as moment
from model_world.orders import Fate, Weather
from model_world.state import State

# The operator.


def stage(before: State, fate: Fate, release: str) -> State:
    """Prepares a new deployment."""
    deployment = orders.deployment_id(len(before.fates) + 1)
    fates = (*before.fates, (deployment, fate))
    return before._replace(fates=fates, shore=shore.stage(before.shore, deployment, release))


def order(before: State, fate: Fate, release: str) -> State:
    """Makes a new deployment and orders it in one act."""
    deployment = orders.deployment_id(len(before.fates) + 1)
    fates = (*before.fates, (deployment, fate))
    return before._replace(fates=fates, shore=shore.order(before.shore, deployment, release))


def deploy(before: State, deployment: str) -> State:
    """Orders a staged deployment."""
    return before._replace(shore=shore.deploy(before.shore, deployment))


def archive(before: State, deployment: str) -> State:
    """Withdraws a deployment."""
    return before._replace(shore=shore.archive(before.shore, deployment))


def restage(before: State, deployment: str) -> State:
    """Declares a drifted deployment reviewed."""
    return before._replace(shore=shore.restage(before.shore, deployment))


def archive_device(before: State) -> State:
    """The device is taken out of service."""
    return before._replace(shore=shore.archive_device(before.shore))


def restore_device(before: State) -> State:
    """The device is taken back into service."""
    return before._replace(shore=shore.restore_device(before.shore))


def waiting(state: State, activity: Activity) -> list[str]:
    """The deployments that wait ashore."""
    known = state.shore.recorded.deployments.values()
    return [deployment.id for deployment in known if deployment.statuses.activity is activity]


def archivable(state: State) -> list[str]:
    """The deployments that are still wanted, or may be."""
    known = state.shore.recorded.deployments.values()
    return [deployment.id for deployment in known if deployment.statuses.target is not Target.ARCHIVED]


# The cloud and its link.


def publish(before: State) -> State:
    """Sends the newest order, recording first that it may be out; also when it is asserted again."""
    after = die_before_sending(before)
    data, desired = shore.newest_order(after.shore), after.shore.recorded.desired
    signed = after.signed | {desired} if desired else after.signed
    return moment.ordered(after._replace(kept_order=data, signed=signed), data)


def die_before_sending(before: State) -> State:
    """The cloud records that the newest order may be out, and dies before it is."""
    return before._replace(shore=shore.published(before.shore))


def hear(before: State, index: int = 0, *, again: bool = False) -> State:
    """The cloud takes one of the reports on their way, which may come once more."""
    ashore = shore.heard(before.shore, before.to_shore[index])
    return before._replace(shore=ashore, to_shore=before.to_shore if again else _without(before.to_shore, index))


def connect_ashore(before: State) -> State:
    """The cloud's link connects: it gets the retained report."""
    return moment.reported(before, before.kept_report) if before.kept_report else before


def restart_ashore(before: State) -> State:
    """The cloud dies and starts again: what was on its way to it is lost, and it gets the retained report."""
    return connect_ashore(before._replace(to_shore=()))


def back_up(before: State) -> State:
    """Takes a copy of the cloud's database."""
    return before._replace(backup=before.shore)


def restore(before: State) -> State:
    """Puts the copy in the place of the cloud's database: what was done since is forgotten."""
    assert before.backup is not None
    return before._replace(shore=before.backup, restored=True)


def restore_once(before: State) -> State:
    """The same; the copy is used up by it."""
    return restore(before)._replace(backup=None)


# The network.


def lose_order(before: State, index: int = 0) -> State:
    """An order never arrives."""
    return before._replace(to_robot=_without(before.to_robot, index))


def lose_report(before: State, index: int = 0) -> State:
    """A report never arrives."""
    return before._replace(to_shore=_without(before.to_shore, index))


def wipe_broker(before: State) -> State:
    """The broker loses what it kept."""
    return before._replace(kept_order=b"", kept_report=b"")


# The robot.


def receive(before: State, index: int = 0, *, again: bool = False) -> State:
    """The robot takes one of the orders on their way, which may come once more."""
    got = robot.received(before.robot, before.to_robot[index], restored=before.restored)
    after = before._replace(robot=got.robot, to_robot=before.to_robot if again else _without(before.to_robot, index))
    return moment.say(after) if got.says else after


def connect(before: State) -> State:
    """The robot starts and connects: it gets the retained order, and says again how it is."""
    after = before._replace(robot=robot.unstuck(before.robot))
    return moment.say(moment.ordered(after, after.kept_order) if after.kept_order else after)


def lose_database(before: State, *, keep_disk: bool) -> State:
    """The robot's database is gone, and perhaps its disk; it starts as a new incarnation."""
    return connect(before._replace(robot=robot.without_database(before.robot, keep_disk=keep_disk), seq=0))


def damage(before: State, tree: str) -> State:
    """Somebody writes into a tree."""
    return before._replace(robot=robot.damaged(before.robot, tree))


def try_again(before: State) -> State:
    """What could not be deleted is due to be tried again."""
    return before._replace(robot=robot.unstuck(before.robot))


def step(before: State, weather: Weather = Weather.FAIR, power_cut_after: int | None = None) -> State:
    """The robot does its next step; the power may be cut after so many changes of disk or database."""
    after = before
    for change in robot.changes(before.robot, weather, before.fates)[:power_cut_after]:
        after = after._replace(robot=change.robot)
        after = moment.say(after) if change.says else after
    return after if power_cut_after is None else connect(after)


def _without(messages: tuple[bytes, ...], index: int) -> tuple[bytes, ...]:
    return messages[:index] + messages[index + 1 :]
