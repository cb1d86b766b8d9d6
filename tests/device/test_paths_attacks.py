"""Attacks on paths, one test each: what an order may name, and what somebody else may have planted on the robot's disk.

Each is refused for good with a reason in the report, waited for, or replaced; nothing outside of the root is touched.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from shallop_device import testing
from shallop_protocol.desired import Manifest
from shallop_protocol.statuses import Activity, Error

SOUND = {"f": "good"}
IN_FORCE = (Activity.DEPLOYED, Error.NONE, None)
Snapshot = dict[str, tuple[int, ...] | str]


def snapshot(directory: Path, *without: Path) -> Snapshot:
    """All that can be told of what is below a directory: kind, mode, links, size, times and content."""
    found: Snapshot = {}
    for top, names, file_names in os.walk(directory):
        names[:] = [name for name in names if Path(top, name) not in without]
        for name in (*names, *file_names):
            path = Path(top, name)
            seen = path.lstat()
            content = ""
            if stat.S_ISREG(seen.st_mode):
                content = hashlib.sha256(path.read_bytes()).hexdigest()
            elif stat.S_ISLNK(seen.st_mode):
                content = str(path.readlink())
            found[str(path)] = (
                seen.st_ino,
                seen.st_mode,
                seen.st_nlink,
                seen.st_size,
                seen.st_mtime_ns,
                seen.st_ctime_ns,
            )
            found[f"{path} holds"] = content
    return found


class World:
    """A robot, and files of somebody else around its root."""

    def __init__(self, directory: Path) -> None:
        self.outside = directory / "outside"
        self.shore = testing.Shore()
        self.old = self.shore.manifest(SOUND)
        self.in_force = self.shore.order(self.old)
        self.robot = testing.Robot(directory / "robot", self.shore)
        self.root = self.robot.root
        self._directory = directory
        self.robot.boot()

    def furnish(self) -> None:
        """A deployment in force, and things outside that are worth an attack."""
        self.outside.mkdir()
        (self.outside / "secret").write_text("secret")
        (self.outside / "secret").chmod(0o600)
        (self.outside / "directory").mkdir()
        (self.outside / "x").write_text("x")
        (self._directory / "x").write_text("x")
        self.robot.take(self.in_force)
        self.robot.settle()

    def around(self) -> Snapshot:
        """All that is not the robot's own."""
        return snapshot(self._directory, self.root, self.robot.state)

    def states(self) -> dict[str, tuple[Activity, Error, str | None]]:
        """What the report says of each deployment."""
        return {
            entry.id: (entry.activity, entry.error, entry.reason and entry.reason.code)
            for entry in self.robot.report.deployments
        }


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Generator[World]:
    """One for all attacks that leave it as it was."""
    world = World(tmp_path_factory.mktemp("furnished"))
    world.furnish()
    yield world
    world.robot.store.close()


@pytest.fixture
def world(memory_path: Path) -> Generator[World]:
    """One of the test's own."""
    (memory_path / "0").mkdir()
    world = World(memory_path / "0")
    world.furnish()
    yield world
    world.robot.store.close()


def check_refused(world: World, bad: Manifest, code: str) -> None:
    """Orders it, and sees that the report says why it is not there, and that nothing else has changed."""
    before = world.around()

    world.robot.take(world.shore.order(bad, fallback=world.old.id))
    world.robot.settle()

    assert world.states()[bad.id] == (Activity.ARCHIVED, Error.FAILED, code)
    assert world.states()[world.old.id] == IN_FORCE
    assert world.robot.visible() == SOUND
    assert world.robot.leftovers() == []
    assert world.robot.trees() == [world.old.id]
    assert world.around() == before


LONG = "x" * 256
PATHS = {
    "parent": "../x",
    "parent of all": "../../../../../../../../outside/secret",
    "back out": "a/../../x",
    "back and forth": "a/../x",
    "only a parent": "..",
    "parent at the end": "a/..",
    "parent with more": "..x/y",
    "parent within": "a/..x/y",
    "three dots": ".../x",
    "itself": "./x",
    "itself at the end": "a/.",
    "absolute": "/etc/passwd",
    "absolute twice": "//etc/passwd",
    "empty segment": "a//x",
    "a directory": "a/",
    "backslash": "..\\x",
    "backslash within": "a\\..\\..\\x",
    "drive": "c:\\x",
    "nul": "x\0.yaml",
    "nul in a parent": "..\0/x",
    "newline": "a\nb",
    "escape": "a\x1b[2Jb",
    "del": "a\x7f",
    "c1": "a\x85b",
    "long segment": LONG,
    "long segment within": f"a/{LONG}/b",
    "long segment of few characters": "é" * 128,
    "long path": "/".join(["d" * 200] * 6),
}


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_a_path_is_refused_for_good_and_the_report_says_why(path, furnished):
    check_refused(furnished, furnished.shore.manifest({"g": "x", path: "attack"}), "bad_path")


TOGETHER = {
    "case": ("Nav/params.yaml", "nav/params.yaml"),
    "case of a file": ("a", "A"),
    "case beyond ascii": ("straße", "STRASSE"),
    "file and directory": ("a", "a/b"),
    "file and directory in another case": ("A", "a/b"),
    "deep": ("a/b/c", "a/b/c/d/e"),
}


@pytest.mark.parametrize("together", TOGETHER.values(), ids=TOGETHER)
def test_paths_that_cannot_be_together_are_refused_for_good(together, furnished):
    check_refused(furnished, furnished.shore.manifest(dict.fromkeys(together, "attack")), "bad_path")


@pytest.mark.parametrize("mode", ["0000", "0200", "0077"])
def test_a_mode_that_hides_a_file_from_its_owner_is_refused_for_good(mode, furnished):
    bad = furnished.shore.manifest({"g": "x"})
    instance = bad.instances[0].model_copy(update={"mode": mode})

    check_refused(furnished, bad.model_copy(update={"instances": (instance,)}), "bad_mode")


@pytest.mark.parametrize("mode", ["4755", "2755", "1777", "7777", "04755", "755", "0o755", "0888", ""])
def test_a_mode_that_is_more_than_permissions_is_no_order_at_all(mode, furnished):
    """It is refused as it is read, so that no deployment of it is ever begun."""
    before, states = furnished.around(), furnished.states()
    sound = furnished.shore.manifest({"g": "x"})
    order = furnished.shore.order(sound, fallback=furnished.old.id)
    instance = sound.instances[0].model_copy(update={"mode": mode})

    furnished.robot.take(order.model_copy(update={"deployment": sound.model_copy(update={"instances": (instance,)})}))
    furnished.robot.settle()

    refused = furnished.robot.report.refused
    assert refused is not None
    assert "mode" in refused.message
    assert (furnished.states(), furnished.robot.visible(), furnished.around()) == (states, SOUND, before)


def link_the_tree(world: World, new: Manifest) -> None:
    (world.root / "deployments" / new.id).symlink_to(world.outside)


def link_the_tree_in_force(world: World, _new: Manifest) -> None:
    tree = world.root / "deployments" / world.old.id
    tree.rename(world.outside.parent / "taken")
    tree.symlink_to(world.outside)


def link_a_directory_in_the_tree(world: World, new: Manifest) -> None:
    tree = world.root / "deployments" / new.id
    tree.mkdir()
    (tree / "d").symlink_to(world.outside / "directory")


def link_a_file_in_the_tree(world: World, new: Manifest) -> None:
    tree = world.root / "deployments" / new.id
    (tree / "d").mkdir(parents=True)
    (tree / "d/g").symlink_to(world.outside / "secret")


def link_nowhere(world: World, new: Manifest) -> None:
    tree = world.root / "deployments" / new.id
    (tree / "d").mkdir(parents=True)
    (tree / "d/g").symlink_to(world.outside / "none")


def hard_link(world: World, new: Manifest) -> None:
    tree = world.root / "deployments" / new.id
    (tree / "d").mkdir(parents=True)
    (tree / "d/g").hardlink_to(world.outside / "secret")


def fifo(world: World, new: Manifest) -> None:
    tree = world.root / "deployments" / new.id
    (tree / "d").mkdir(parents=True)
    os.mkfifo(tree / "d/g")


def fifo_as_tree(world: World, new: Manifest) -> None:
    os.mkfifo(world.root / "deployments" / new.id)


def file_as_tree(world: World, new: Manifest) -> None:
    (world.root / "deployments" / new.id).write_text("x")


def device_node(world: World, new: Manifest) -> None:
    tree = world.root / "deployments" / new.id
    (tree / "d").mkdir(parents=True)
    try:
        os.mknod(tree / "d/g", stat.S_IFCHR | 0o600, os.makedev(1, 5))
    except PermissionError:
        os.mkfifo(tree / "d/g")


def set_user_id(world: World, new: Manifest) -> None:
    tree = world.root / "deployments" / new.id
    (tree / "d").mkdir(parents=True)
    (tree / "d/g").write_text("new")
    (tree / "d/g").chmod(0o4644)


def link_current_out(world: World, _new: Manifest) -> None:
    (world.root / "current").unlink()
    (world.root / "current").symlink_to(world.outside)


def link_current_out_by_our_own_name(world: World, _new: Manifest) -> None:
    (world.root / "current").unlink()
    (world.root / "current").symlink_to("deployments/../../../outside")


def file_as_current(world: World, _new: Manifest) -> None:
    (world.root / "current").unlink()
    (world.root / "current").write_text("x")


def hard_link_as_current(world: World, _new: Manifest) -> None:
    (world.root / "current").unlink()
    (world.root / "current").hardlink_to(world.outside / "secret")


def links_among_leftovers(world: World, _new: Manifest) -> None:
    trash = world.root / "deployments/.trash-0"
    (trash / "d").mkdir(parents=True)
    (trash / "d/l").symlink_to(world.outside)
    (trash / "secret").hardlink_to(world.outside / "secret")
    (world.root / "deployments/.staging-0").symlink_to(world.outside)
    (world.root / ".current-0").symlink_to(world.outside)


HARMLESS: list[Callable[[World, Manifest], None]] = [
    link_the_tree,
    link_the_tree_in_force,
    link_a_directory_in_the_tree,
    link_a_file_in_the_tree,
    link_nowhere,
    hard_link,
    fifo,
    fifo_as_tree,
    file_as_tree,
    device_node,
    set_user_id,
    link_current_out,
    link_current_out_by_our_own_name,
    file_as_current,
    hard_link_as_current,
    links_among_leftovers,
]


@pytest.mark.parametrize("plant", HARMLESS, ids=lambda plant: plant.__name__)
def test_what_was_planted_is_replaced_and_what_it_leads_to_is_not_touched(plant, world):
    new = world.shore.manifest({"d/g": "new"})
    plant(world, new)
    before = contents_of(world.around())

    world.robot.boot()
    world.robot.take(world.shore.order(new))
    world.robot.settle()

    assert world.states() == {world.old.id: (Activity.ARCHIVED, Error.NONE, None), new.id: IN_FORCE}
    assert world.robot.visible() == {"d/g": "new"}
    assert stat.S_IMODE((world.root / "current/d/g").stat().st_mode) == 0o644
    assert world.robot.leftovers() == []
    assert len(world.robot.trees()) == 1
    assert contents_of(world.around()) == before


def contents_of(found: Snapshot) -> Snapshot:
    """Without what a hard link that was planted changes as it goes: the count of links, and the time of that."""
    return {path: each if isinstance(each, str) else (*each[:2], *each[3:5]) for path, each in found.items()}


def link_deployments_out(world: World) -> None:
    (world.root / "deployments").rename(world.outside / "deployments")
    (world.root / "deployments").symlink_to(world.outside / "deployments")


def file_as_deployments(world: World) -> None:
    (world.root / "deployments").rename(world.root / "moved")
    (world.root / "deployments").write_text("x")


def directory_as_current(world: World) -> None:
    (world.root / "current").unlink()
    (world.root / "current").mkdir()
    (world.root / "current/mine").write_text("x")


def file_as_root(world: World) -> None:
    world.root.rename(world.root.with_name("moved"))
    world.root.write_text("x")


IN_THE_WAY = [link_deployments_out, file_as_deployments, directory_as_current, file_as_root]


@pytest.mark.parametrize("plant", IN_THE_WAY, ids=lambda plant: plant.__name__)
def test_what_cannot_be_replaced_without_loss_is_waited_for(plant, world):
    """It may be somebody's; the report says what is in the way."""
    plant(world)
    before = snapshot(world.root.parent.parent, world.robot.state)
    new = world.shore.manifest({"d/g": "new"})

    world.robot.boot()
    world.robot.take(world.shore.order(new, fallback=world.old.id))
    for _ in range(3):
        world.robot.worker.work()
        wake_at = world.robot.worker.wake_at
        assert wake_at is not None
        world.robot.clock.sleep(wake_at - world.robot.clock.monotonic())

    assert world.states()[new.id] == (Activity.QUEUED, Error.RETRYING, "in_the_way")
    trees = [str(world.root / "deployments"), str(world.outside / "deployments")]
    after = snapshot(world.root.parent.parent, world.robot.state)
    added = [path for path in after.keys() - before.keys() if not path.startswith(tuple(trees))]
    assert added == []
    assert {path for path in before if before[path] != after.get(path)} <= {trees[0], str(world.root)}


def test_a_root_that_is_a_link_is_its_owners_choice(tmp_path: Path):
    """The root itself may be reached through a link: it is a path of the device's own settings, not of the cloud's."""
    (tmp_path / "real").mkdir()
    shore = testing.Shore()
    (tmp_path / "robot").mkdir()
    (tmp_path / "robot/root").symlink_to(tmp_path / "real")
    robot = testing.Robot(tmp_path / "robot", shore)
    robot.boot()
    robot.take(shore.order(shore.manifest(SOUND)))
    robot.settle()

    assert robot.visible() == SOUND
    assert sorted(path.name for path in (tmp_path / "real").iterdir()) == ["current", "deployments"]
    robot.store.close()
