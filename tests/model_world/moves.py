"""What may happen next in a state, by kind. Kinds are what a search is told to allow, and what fairness speaks of."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from shallop_protocol.statuses import Activity

from model_world import events, reports, robot
from model_world import orders as spoken
from model_world import state as moment
from model_world.orders import Fate, Weather
from model_world.state import State


class Move(NamedTuple):
    """One thing that may happen next."""

    kind: str
    act: Callable[..., State]
    options: Mapping[str, Any] = MappingProxyType({})

    def __call__(self, before: State) -> State:
        """The state after it. Raises ``rules.Violation`` if a rule does not hold on the way."""
        return self.act(before, **self.options)


def operator(state: State) -> Iterator[Move]:
    """What an operator may do, other than prepare a new deployment."""
    for deployment in events.waiting(state, Activity.STAGED):
        yield Move("deploy", events.deploy, {"deployment": deployment})
    for deployment in events.waiting(state, Activity.DRIFTED):
        yield Move("restage", events.restage, {"deployment": deployment})
    for deployment in events.archivable(state):
        yield Move("archive", events.archive, {"deployment": deployment})


def service(state: State) -> Iterator[Move]:
    """The device is taken out of service, or back into it."""
    act = events.restore_device if state.shore.recorded.archived else events.archive_device
    yield Move("service", act)


def staging(state: State, fates: Sequence[Fate], release: str) -> Iterator[Move]:
    """The next one of these is prepared, as long as not all of them were made."""
    left = fates[len(state.fates) :]
    if left and not state.shore.recorded.archived:
        yield Move("stage", events.stage, {"fate": left[0], "release": release})


def quiet(state: State) -> Iterator[Move]:
    """What goes on by itself: messages arrive in any order, the robot works, and both sides say again what they said.

    The cloud asserts an order again while the robot has not answered it; the robot repeats its report at any time.
    """
    device = state.shore.recorded
    if device.published < device.generation:
        yield Move("publish", events.publish)
    elif not device.in_sync and device.generation:
        yield Move("assert again", events.publish)
    for index in range(len(state.to_robot)):
        yield Move("receive", events.receive, {"index": index})
    for index in range(len(state.to_shore)):
        yield Move("hear", events.hear, {"index": index})
    if robot.next_step(state.robot) is not None:
        yield Move("step", events.step)
        if robot.is_on_trial(state.robot, state.fates):
            yield Move("step", events.step, {"weather": Weather.UNWELL})
    if state.robot.disk.stuck:
        yield Move("try again", events.try_again)
    if not moment.is_said(state):
        yield Move("heartbeat", moment.say)


QUIET = ("publish", "assert again", "receive", "hear", "step", "try again", "heartbeat")
"""The kinds of ``quiet``."""

TIMERS = frozenset({"assert again", "try again", "heartbeat"})
"""Those that a timer makes, as often as it likes."""


def faults(state: State) -> Iterator[Move]:
    """What may go wrong next."""
    for index in range(len(state.to_robot)):
        yield Move("loss", events.lose_order, {"index": index})
        yield Move("repeat", events.receive, {"index": index, "again": True})
    for index in range(len(state.to_shore)):
        yield Move("loss", events.lose_report, {"index": index})
        yield Move("repeat", events.hear, {"index": index, "again": True})
    yield Move("wipe", events.wipe_broker)
    yield Move("robot restart", events.connect)
    yield Move("cloud restart", events.connect_ashore)
    yield Move("cloud restart", events.restart_ashore)
    if state.shore.recorded.published < state.shore.recorded.generation:
        yield Move("cloud restart", events.die_before_sending)
    yield Move("database", events.lose_database, {"keep_disk": True})
    yield Move("everything", events.lose_database, {"keep_disk": False})
    for tree in sorted(state.robot.disk.trees - state.robot.disk.damaged):
        yield Move("damage", events.damage, {"tree": tree})
    if robot.next_step(state.robot) is not None:
        for weather in spoken.FOULS:
            yield Move("weather", events.step, {"weather": weather})
        for done in range(len(robot.changes(state.robot, Weather.FAIR, state.fates))):
            yield Move("power cut", events.step, {"power_cut_after": done})


def backups(state: State) -> Iterator[Move]:
    """The first half of a restore. It counts as the fault; the second half is ``restores``."""
    if state.backup is None:
        yield Move("back up", events.back_up)


def restores(state: State) -> Iterator[Move]:
    """The cloud's database is replaced by its backup, which can be used once."""
    if state.backup is not None and state.backup is not state.shore:
        yield Move("restore", events.restore_once)


FAULTS = (
    "loss", "repeat", "wipe", "robot restart", "cloud restart", "database", "everything", "damage", "weather",
    "power cut", "back up",
)  # fmt: skip
"""The kinds of ``faults`` and ``backups``."""


def in_words(state: State, move: Move) -> str:
    """What a move does in a state, for people."""
    options = move.options
    name = move.kind if move.act is moment.say else move.act.__name__.replace("_", " ")
    index = options.get("index", 0)
    if move.act is events.publish:
        device = state.shore.recorded
        return f"{move.kind} {device.generation}: {device.desired}, fallback {device.fallback}"
    if move.act in (events.receive, events.lose_order):
        name += f" {spoken.opened(state.to_robot[index]).generation}"
    elif move.act in (events.hear, events.lose_report):
        report = reports.read(state.to_shore[index])
        name += f" {report.incarnation} seq {report.seq}, generation {report.generation}"
    elif move.act is events.step and (step := robot.next_step(state.robot)) is not None:
        name += f" {robot.name_of(step)}"
    name = " ".join([name, *(value for value in options.values() if isinstance(value, str))])
    details = [options[key].value for key in ("weather", "fate") if key in options]
    details += ["keeping it on its way"] if options.get("again") else []
    details += ["and the disk"] if options.get("keep_disk") is False else []
    done = options.get("power_cut_after")
    details += [f"power cut after {done} changes"] if done is not None else []
    return ", ".join([name, *details])
