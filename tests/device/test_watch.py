"""Whoever changes what is in sight is noticed: by the kernel's word at once, else when the files are read back."""

from __future__ import annotations

import errno
import itertools
import logging
import os
import shutil
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from shallop_device import applier, gates, inbox, testing, watch
from shallop_protocol.statuses import Activity, Error

FILES = {"f": "1", "nav2/params.yaml": "2"}


class Watched:
    """A robot with a deployment in force, and a watch on it."""

    def __init__(self, robot: testing.Robot, shore: testing.Shore) -> None:
        self.robot = robot
        self.manifest = shore.manifest(FILES)
        robot.take(shore.order(self.manifest))
        robot.settle()
        self.items = inbox.Inbox()
        self.watch = watch.Watch(robot.root, self.items, quiet_s=0.02, longest_s=0.1)
        self.watch.start()
        self.arm()

    @property
    def current(self) -> Path:
        return self.robot.root / applier.CURRENT

    def arm(self) -> None:
        """Waits until the watch sees what happens in the root, and so what is in sight."""
        for _ in range(500):
            (self.robot.root / "probe").touch()
            (self.robot.root / "probe").unlink()
            if self.items.get(0.05) is not None:
                break
        else:
            raise AssertionError("it never watched")
        while self.items.get(0.07) is not None:
            pass

    def take_notice(self) -> bool | None:
        """What the next word of the watch is; the agent acts on it."""
        item = self.items.get(10.0)
        assert isinstance(item, inbox.Touched)
        if item.is_inside:
            self.robot.worker.check()
        self.robot.settle()
        return item.is_inside


@pytest.fixture
def watched(robot, shore) -> Generator[Watched]:
    watched = Watched(robot, shore)
    yield watched
    watched.watch.close()


def _replace_by_a_link(path: Path) -> None:
    path.unlink()
    path.symlink_to("/etc/passwd")


TAMPERING: dict[str, Callable[[Path], object]] = {
    "changed": lambda current: (current / "f").write_text("x"),
    "cut": lambda current: os.truncate(current / "f", 0),
    "missing": lambda current: (current / "nav2/params.yaml").unlink(),
    "extra_file": lambda current: (current / "nav2/more").write_text("x"),
    "extra_directory": lambda current: (current / "nav2/more").mkdir(),
    "missing_directory": lambda current: shutil.rmtree(current / "nav2"),
    "mode": lambda current: (current / "f").chmod(0o600),
    "link": lambda current: _replace_by_a_link(current / "f"),
    "renamed": lambda current: (current / "f").rename(current / "g"),
    "replaced": lambda current: (current / "nav2/params.yaml").replace(current / "f"),
}


def test_whatever_was_changed_is_healed_and_open_files_keep_their_bytes(robot, shore):
    manifest = shore.manifest(FILES)
    robot.take(shore.order(manifest))
    robot.settle()
    current = robot.root / applier.CURRENT
    for how, tamper in TAMPERING.items():
        before = current.readlink()
        with (current / "nav2/params.yaml").open() as reader:
            tamper(current)
            robot.worker.check()
            robot.settle()

            assert robot.visible() == FILES, how
            assert (current / "f").stat().st_mode & 0o7777 == 0o644, how
            assert current.readlink() != before, how
            assert reader.read() == "2", how
    (entry,) = robot.report.deployments
    assert (entry.activity, entry.error, entry.integrity) == (Activity.DEPLOYED, Error.NONE, None)
    assert robot.leftovers() == []
    assert len(robot.trees()) == 1


@pytest.mark.parametrize("how", ["changed", "extra_directory", "mode"])
def test_what_is_changed_is_noticed_at_once(how, watched):
    TAMPERING[how](watched.current)
    assert watched.take_notice()
    assert watched.robot.visible() == FILES
    assert watched.current.readlink().name == f"{watched.manifest.id}.1"
    _, event = watched.robot.store.first_event()
    assert b"files_changed" in event


def test_a_tree_that_is_gone_and_a_link_that_leads_elsewhere_are_put_back(watched):
    shutil.rmtree(watched.current.resolve())
    watched.take_notice()
    assert watched.robot.visible() == FILES

    other = watched.robot.root / "elsewhere"
    other.symlink_to("/etc")
    other.replace(watched.current)
    for _ in range(3):  # the words about the healing come first
        watched.take_notice()
        if watched.current.readlink().parent.name == applier.DEPLOYMENTS:
            break
    assert watched.robot.visible() == FILES


def test_the_watch_follows_what_is_in_sight_and_does_not_chase_the_agent(watched, shore):
    new = shore.manifest({"deeper/down/g": "1"})
    watched.robot.take(shore.order(new))
    watched.robot.settle()
    reports = watched.robot.report.seq
    while watched.items.get(0.3) is not None:  # its own changes are looked at, and that changes nothing
        watched.robot.worker.check()
        watched.robot.settle()
    assert watched.robot.report.seq == reports

    (watched.current / "deeper/down/g").write_text("x")

    assert watched.take_notice()
    assert watched.robot.visible() == {"deeper/down/g": "1"}


def test_reading_is_not_touching(watched):
    for path in watched.current.rglob("*"):
        if path.is_file():
            path.read_text()
    watched.robot.worker.check()
    assert watched.items.get(0.2) is None


def test_changes_that_do_not_end_are_looked_at_ever_more_seldom():
    touches = watch._Touches(0.5, 2.0)
    looks = []
    for tenth in range(6000):
        now = tenth / 10
        touches.add(now, is_inside=True)
        if touches.take(now) is not None:
            looks.append(now)
    gaps = [later - earlier for earlier, later in itertools.pairwise(looks)]
    assert looks[0] == pytest.approx(2.0, abs=0.2)
    assert [round(gap) for gap in gaps] == [2, 2, 4, 8, 16, 32, *[60] * (len(gaps) - 6)]

    assert touches.take(10_000.0)
    touches.add(20_000.0, is_inside=False)
    assert touches.due_in(20_000.0) == pytest.approx(0.5)
    assert touches.take(20_000.5) is False


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EMFILE])
def test_a_kernel_that_will_not_watch_is_said_once(number, watched, monkeypatch, caplog, eventually, tmp_path):
    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        if number == errno.EMFILE:
            patch.setattr(watch, "_open", refuse)
        else:
            patch.setattr(watch.inotify_simple.INotify, "add_watch", refuse)
        blind = watch.Watch(watched.robot.root, inbox.Inbox())
        with caplog.at_level(logging.WARNING):
            blind.start()
            assert eventually(lambda: caplog.records)
            blind.close()
    assert len(caplog.records) == 1
    assert "changes are found when the files are read back" in caplog.text


def test_a_watch_that_never_began_can_be_closed(tmp_path):
    watch.Watch(tmp_path, inbox.Inbox()).close()


def test_a_root_that_comes_later_is_no_error(tmp_path, caplog):
    early = watch.Watch(tmp_path / "not-yet", inbox.Inbox())
    early.start()
    early.close()
    assert caplog.records == []


def test_what_is_only_to_be_reported_is_left_and_taken_back_when_it_is_whole_again(tmp_path, shore):
    robot = testing.Robot(tmp_path, shore, integrity="report")
    robot.boot()
    manifest = shore.manifest(FILES)
    robot.take(shore.order(manifest))
    robot.settle()
    changed = robot.root / applier.CURRENT / "f"
    changed.write_text("x")
    robot.worker.check()
    robot.settle()

    (entry,) = robot.report.deployments
    assert (entry.activity, entry.error, entry.integrity.code) == (Activity.DEPLOYED, Error.NONE, "files_changed")
    assert robot.visible()["f"] == "x"
    seq = robot.report.seq
    robot.worker.check()
    robot.settle()
    assert robot.report.seq == seq

    changed.write_text("1")
    robot.worker.check()
    robot.settle()
    assert robot.report.deployments[0].integrity is None
    robot.store.close()


@pytest.mark.parametrize("integrity", ["heal", "report"])
def test_a_damaged_fallback_is_told_of_and_never_returned_to(integrity, tmp_path, shore):
    robot = testing.Robot(tmp_path, shore, integrity=integrity)
    robot.boot()
    old, new = shore.manifest({"f": "1"}), shore.manifest({"f": "2"})
    robot.take(shore.order(old))
    robot.settle()
    robot.take(shore.order(new, fallback=old.id))
    robot.settle()
    (robot.root / applier.DEPLOYMENTS / old.id / "f").write_text("x")
    robot.worker.check()
    robot.settle()

    told = {entry.id: entry.integrity for entry in robot.report.deployments}
    assert told[new.id] is None
    assert told[old.id].code == "files_changed"
    assert robot.visible() == {"f": "2"}

    robot.store.close()


@pytest.mark.parametrize("integrity", ["heal", "report"])
def test_nothing_is_visible_where_the_fallback_was_damaged(integrity, tmp_path, shore):
    rules = gates.Rules(health=gates.Health(window=10.0, interval=1.0, passes=1))
    robot = testing.Robot(tmp_path, shore, rules, integrity=integrity)
    robot.boot()
    old, new = shore.manifest({"f": "1"}), shore.manifest({"f": "2"})
    robot.take(shore.order(old))
    robot.settle()
    robot.take(shore.order(new, fallback=old.id))
    robot.worker.work()
    (robot.root / applier.DEPLOYMENTS / old.id / "f").write_text("x")
    robot.worker.check()
    robot.worker.passage.acknowledge("nav2", new.id, "it does not drive")
    robot.settle()

    assert robot.visible() is None
    assert {entry.id: entry.error for entry in robot.report.deployments}[new.id] is Error.FAILED
    robot.store.close()


def test_what_a_hold_keeps_in_sight_is_looked_at_though_it_is_to_leave(robot, shore):
    manifest = shore.manifest(FILES)
    robot.take(shore.order(manifest))
    robot.settle()
    robot.worker.passage.hold("docking", "parking", 60.0)
    robot.take(shore.order(None))
    robot.worker.work()
    (robot.root / applier.CURRENT / "f").write_text("x")
    robot.worker.check()
    robot.worker.work()

    (entry,) = robot.report.deployments
    assert (entry.activity, entry.integrity.code) == (Activity.REMOVING, "files_changed")
    robot.worker.passage.release("docking")
    robot.settle()
    assert robot.visible() is None
    assert robot.leftovers() == []


def test_the_watch_sees_a_robot_without_a_deployment(robot):
    items = inbox.Inbox()
    empty = watch.Watch(robot.root, items, quiet_s=0.02, longest_s=0.1)
    empty.start()
    for _ in range(500):
        (robot.root / "probe").touch()
        (robot.root / "probe").unlink()
        if (item := items.get(0.05)) is not None:
            break
    assert item == inbox.Touched(is_inside=False)
    empty.close()
