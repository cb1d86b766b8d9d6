"""The power is cut before every step on the disk and before every commit, by enumeration, and again while recovering.

What a cut loses of unsynced data cannot be seen within one process; ``test_files`` holds the order of the syncs.
"""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest
from shallop_device import applier, files, store, testing
from shallop_protocol.desired import Desired, Manifest
from shallop_protocol.statuses import Activity, Error

OLD = {"nav2/params.yaml": "speed: 1\n", "map.txt": "old"}
NEW = {"nav2/params.yaml": "speed: 2\n", "arm/grip.yaml": "force: 3\n"}

Outcome = dict[str, tuple[Activity, Error]]
IN_FORCE = (Activity.DEPLOYED, Error.NONE)
GONE = (Activity.ARCHIVED, Error.NONE)
FAILED = (Activity.ARCHIVED, Error.FAILED)


@dataclasses.dataclass(frozen=True)
class Case:
    """A robot at rest, the order that it takes next, and what may and must come of that.

    Attributes:
        meanwhile: what robot software may find at any moment; None stands for nothing.
        damage: a file of the deployment in force that is changed while the agent is down.
        is_accepted: the order was accepted just before that.
    """

    before: tuple[Desired, ...]
    order: Desired
    sound: tuple[Manifest, ...]
    meanwhile: list[dict[str, str] | None]
    finally_visible: Manifest | None
    outcome: Outcome
    damage: str | None = None
    is_accepted: bool = False


def first_apply(contents: dict[str, str] = NEW) -> tuple[testing.Shore, Case]:
    shore = testing.Shore()
    new = shore.manifest(contents)
    return shore, Case((), shore.order(new), (new,), [None, contents], new, {new.id: IN_FORCE})


def first_apply_of_one_file() -> tuple[testing.Shore, Case]:
    return first_apply({"a": "new"})


def replace() -> tuple[testing.Shore, Case]:
    shore = testing.Shore()
    old, new = shore.manifest(OLD), shore.manifest(NEW)
    before = (shore.order(old),)
    outcome = {old.id: IN_FORCE, new.id: IN_FORCE}
    return shore, Case(before, shore.order(new, fallback=old.id), (old, new), [OLD, NEW], new, outcome)


def replace_without_fallback(
    old_contents: dict[str, str] = OLD, new_contents: dict[str, str] = NEW
) -> tuple[testing.Shore, Case]:
    shore = testing.Shore()
    old, new = shore.manifest(old_contents), shore.manifest(new_contents)
    before = (shore.order(old),)
    outcome = {old.id: GONE, new.id: IN_FORCE}
    return shore, Case(before, shore.order(new), (old, new), [old_contents, new_contents], new, outcome)


def replace_of_one_file() -> tuple[testing.Shore, Case]:
    return replace_without_fallback({"a": "old"}, {"a": "new"})


def remove() -> tuple[testing.Shore, Case]:
    shore = testing.Shore()
    old, new = shore.manifest(OLD), shore.manifest(NEW)
    before = (shore.order(old), shore.order(new, fallback=old.id))
    outcome = {old.id: GONE, new.id: GONE}
    return shore, Case(before, shore.order(None), (old, new), [NEW, OLD, None], None, outcome)


def rejected() -> tuple[testing.Shore, Case]:
    shore = testing.Shore()
    old, bad = shore.manifest(OLD), shore.manifest({"../bad": "x"})
    before = (shore.order(old),)
    outcome = {old.id: IN_FORCE, bad.id: FAILED}
    return shore, Case(before, shore.order(bad, fallback=old.id), (old,), [OLD], old, outcome)


def heal_damage() -> tuple[testing.Shore, Case]:
    shore = testing.Shore()
    old = shore.manifest(OLD)
    order = shore.order(old)
    torn = {**OLD, "map.txt": "torn"}
    return shore, Case((order,), order, (old,), [torn, OLD], old, {old.id: IN_FORCE}, damage="map.txt")


def failed_in_force() -> tuple[testing.Shore, Case]:
    """What is in force was damaged, and its content is ordered anew in a way that can never be applied."""
    shore = testing.Shore()
    old, new = shore.manifest(OLD), shore.manifest(NEW)
    before = (shore.order(old), shore.order(new, fallback=old.id))
    broken = new.model_copy(
        update={"instances": (new.instances[0].model_copy(update={"size": 99}), *new.instances[1:])}
    )
    torn = {**NEW, "arm/grip.yaml": "torn"}
    outcome = {old.id: IN_FORCE, new.id: FAILED}
    order = shore.order(broken, fallback=old.id)
    return shore, Case(before, order, (old,), [torn, OLD], old, outcome, "arm/grip.yaml", is_accepted=True)


CASES = [first_apply, replace, replace_without_fallback, remove, rejected, failed_in_force, heal_damage]


def prepare(directory: Path, shore: testing.Shore, case: Case) -> None:
    robot = testing.Robot(directory, shore)
    robot.boot()
    for order in case.before:
        robot.take(order)
        robot.settle()
    if case.is_accepted:
        robot.take(case.order)
    if case.damage:
        (robot.root / applier.CURRENT / case.damage).write_text("torn")
    robot.store.close()


def robot_on_copy(directory: Path, copy: Path, shore: testing.Shore) -> testing.Robot:
    shutil.copytree(directory, copy, symlinks=True)
    return testing.Robot(copy, shore)


def run_until_cut(robot: testing.Robot, order: Desired, power: testing.Power) -> bool:
    """Boots, hears the retained order and works. Whether the power went meanwhile."""
    try:
        robot.boot(power)
        robot.take(order)
        robot.settle()
    except testing.PowerCut:
        return True
    finally:
        robot.store.close()
    return False


def check_at_the_cut(robot: testing.Robot, case: Case) -> None:
    assert robot.visible() in case.meanwhile
    memory = store.Store.open_to_read(robot.state)
    told, committed = memory.report, memory.memory
    memory.close()
    if case.damage or told is None:
        return
    disk = applier.Applier(files.RootedFiles(robot.root))
    seen = disk.observe({manifest.id: manifest.digest for manifest in case.sound})
    assert seen.damaged == frozenset()
    entries = {entry.id: (entry.activity, entry.error) for entry in testing.read_report(told.body).deployments}
    assert {deployment for deployment, state in entries.items() if state == IN_FORCE} <= seen.trees
    assert entries == {holding.id: (holding.activity, holding.error) for holding in committed.holdings}


def check_recovery(robot: testing.Robot, case: Case) -> None:
    robot.boot()
    robot.take(case.order)
    robot.settle()
    held = {deployment for deployment, state in case.outcome.items() if state == IN_FORCE}
    report = robot.report
    assert robot.visible() == (case.finally_visible and contents(case.finally_visible))
    assert robot.leftovers() == []
    assert {name.partition(".")[0] for name in robot.trees()} == held
    assert len(robot.trees()) == len(held)
    assert report.current == (case.finally_visible.id if case.finally_visible else None)
    assert {entry.id: (entry.activity, entry.error) for entry in report.deployments} == case.outcome
    assert (report.epoch, report.generation) == (1, case.order.generation)
    robot.take(case.order)
    robot.settle()
    assert robot.report == report
    robot.store.close()


def contents(manifest: Manifest) -> dict[str, str]:
    return {instance.path: instance.content for instance in manifest.instances}


@pytest.mark.parametrize("make", CASES, ids=lambda make: make.__name__)
def test_every_cut_is_survived(make, memory_path: Path):
    shore, case = make()
    prepare(memory_path / "0", shore, case)
    for step in range(1, 1000):
        robot = robot_on_copy(memory_path / "0", memory_path / str(step), shore)
        was_cut = run_until_cut(robot, case.order, testing.Power(step))
        check_at_the_cut(robot, case)
        check_recovery(robot, case)
        shutil.rmtree(memory_path / str(step))
        if not was_cut:
            break
    assert step > 4


@pytest.mark.parametrize("make", [first_apply_of_one_file, replace_of_one_file], ids=lambda make: make.__name__)
def test_every_cut_during_the_recovery_of_every_cut_is_survived(make, memory_path: Path):
    shore, case = make()
    prepare(memory_path / "0", shore, case)
    points = 0
    for step in range(1, 1000):
        robot = robot_on_copy(memory_path / "0", memory_path / "1", shore)
        was_cut = run_until_cut(robot, case.order, testing.Power(step))
        for again in range(1, 1000):
            robot = robot_on_copy(memory_path / "1", memory_path / "2", shore)
            was_cut_again = run_until_cut(robot, case.order, testing.Power(again))
            check_recovery(robot, case)
            shutil.rmtree(memory_path / "2")
            points += was_cut_again
            if not was_cut_again:
                break
        shutil.rmtree(memory_path / "1")
        if not was_cut:
            break
    assert points > 100
