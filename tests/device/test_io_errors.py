"""The n-th step on the disk fails once, for every n and each errno: the old set stays whole, then all heals.

A step is one of the port ``files``, one call of the operating system below it, or one statement of the database.
"""

from __future__ import annotations

import errno
import functools
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from shallop_device import applier, errors, files, schema, store, testing
from shallop_protocol.desired import Manifest
from shallop_protocol.statuses import Activity, Error

CODES = {
    errno.EIO: "io_error",
    errno.ENOSPC: "disk_full",
    errno.EDQUOT: "disk_full",
    errno.EROFS: "read_only",
    errno.EACCES: "permission_denied",
    errno.EMFILE: "too_many_open_files",
}
OLD = {"a": "old"}
NEW = {"d/c": "new"}


MESSAGES = ["disk I/O error", "database or disk is full", "attempt to write a readonly database"]
CALLS = ("open", "fsync", "fchmod", "mkdir", "chmod", "rename", "symlink", "unlink", "rmdir", "scandir", "readlink")
"""What ``files`` asks of the operating system, beside writing."""


@pytest.fixture
def before(memory_path: Path) -> tuple[testing.Shore, Manifest, Path]:
    """The shore, the deployment in force, and the disk of a robot that is switched off."""
    shore = testing.Shore()
    old = shore.manifest(OLD)
    robot = testing.Robot(memory_path / "0", shore)
    robot.boot()
    robot.take(shore.order(old))
    robot.settle()
    robot.store.close()
    return shore, old, memory_path / "0"


def work_until_healed(robot: testing.Robot) -> set[str]:
    """Works until there is nothing left to do, and a reader meanwhile finds the old set or the new one. Why the robot
    said that it waits; each time it also said that it retries, and when."""
    told = set[str]()
    for _ in range(100):
        robot.worker.work()
        assert robot.visible() in (OLD, NEW)
        for entry in robot.report.deployments:
            if entry.reason:
                told.add(entry.reason.code)
                assert entry.error is Error.RETRYING
                assert entry.next_attempt_at is not None
        wake_at = robot.worker.wake_at
        if wake_at is None:
            return told
        robot.clock.sleep(wake_at - robot.clock.monotonic())
    raise AssertionError("it does not heal")


def check_healed(robot: testing.Robot, old: Manifest, new: Manifest) -> None:
    assert robot.visible() == NEW
    assert robot.leftovers() == []
    assert [name.partition(".")[0] for name in robot.trees()] == [new.id]
    states = {entry.id: (entry.activity, entry.error) for entry in robot.report.deployments}
    assert states == {old.id: (Activity.ARCHIVED, Error.NONE), new.id: (Activity.DEPLOYED, Error.NONE)}


@pytest.mark.parametrize("code", CODES, ids=lambda code: errno.errorcode[code])
def test_every_failing_step_is_reported_and_healed(code, before, memory_path: Path):
    shore, old, disk = before
    new = shore.manifest(NEW)
    order = shore.order(new)
    told = set[str]()
    for nth in range(1, 1000):
        shutil.copytree(disk, memory_path / str(nth), symlinks=True)
        robot = testing.Robot(memory_path / str(nth), shore)
        fault = testing.FailingOnce(nth, code)
        robot.boot(fault=fault.on)
        robot.take(order)
        told |= work_until_healed(robot)
        check_healed(robot, old, new)
        robot.store.close()
        shutil.rmtree(memory_path / str(nth))
        if not fault.has_failed:
            break
    assert nth > 20
    assert told == {CODES[code]}


class FailingCalls:
    """The module ``os`` as ``files`` sees it. The n-th of the calls with these names fails once.

    Attributes:
        untrusted: the inode that could not be synced, and what there was in the root then.
    """

    def __init__(self, names: set[str], nth: int, code: int, root: Path) -> None:
        self.calls = 0
        self.untrusted: tuple[int, set[int]] | None = None
        self._names, self._nth, self._code, self._root = names, nth, code, root

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name == "fdopen":
            return self._fdopen
        return functools.partial(self._call, name, real) if name in self._names else real

    def _call(self, name: str, real: Callable[..., Any], *args: Any, **named: Any) -> Any:
        if self._is_next():
            if name == "fsync":
                self.untrusted = (os.fstat(args[0]).st_ino, inodes(self._root))
            raise OSError(self._code, os.strerror(self._code))
        return real(*args, **named)

    def _fdopen(self, descriptor: int, mode: str) -> Any:
        """Writing may fail, too."""
        if "w" in mode and "write" in self._names and self._is_next():
            os.close(descriptor)
            raise OSError(self._code, os.strerror(self._code))
        return os.fdopen(descriptor, mode)

    def _is_next(self) -> bool:
        self.calls += 1
        return self.calls == self._nth


def inodes(root: Path) -> set[int]:
    return {path.lstat().st_ino for path in root.rglob("*")}


@pytest.mark.parametrize(
    ("code", "names"),
    [
        pytest.param(errno.EIO, {"fsync"}),
        *(pytest.param(code, {"write", *CALLS}, marks=pytest.mark.slow) for code in CODES),
    ],
    ids=lambda each: errno.errorcode[each] if isinstance(each, int) else "fsync" if len(each) == 1 else "all",
)
def test_every_failing_call_of_the_system_is_healed(code, names, before, memory_path: Path, monkeypatch):
    """And what could not be synced is in no tree that is relied upon afterwards: it was written anew."""
    shore, old, disk = before
    new = shore.manifest(NEW)
    order = shore.order(new)
    told = set[str]()
    discarded = 0
    for nth in range(1, 2000):
        shutil.copytree(disk, memory_path / str(nth), symlinks=True)
        robot = testing.Robot(memory_path / str(nth), shore)
        robot.boot()
        calls = FailingCalls(names, nth, code, robot.root)
        monkeypatch.setattr(files, "os", calls)
        robot.take(order)
        told |= work_until_healed(robot)
        monkeypatch.undo()
        check_healed(robot, old, new)
        if calls.untrusted is not None:
            failed, there = calls.untrusted
            is_of_tree = failed not in (robot.root.stat().st_ino, (robot.root / applier.DEPLOYMENTS).stat().st_ino)
            if is_of_tree:
                assert inodes(robot.root / applier.DEPLOYMENTS).isdisjoint(there)
            discarded += is_of_tree
        robot.store.close()
        shutil.rmtree(memory_path / str(nth))
        if calls.calls < nth:
            break
    assert nth > (60 if names >= set(CALLS) else 6)
    assert discarded >= 3
    assert told == {CODES[code]}


@pytest.mark.parametrize(
    "message", [pytest.param(MESSAGES[0]), *(pytest.param(m, marks=pytest.mark.slow) for m in MESSAGES[1:])]
)
def test_every_failing_statement_of_the_database_is_reported_and_healed(message, before, memory_path: Path):
    """Commits among them. An order that could not be remembered is taken when it can be."""
    shore, old, disk = before
    new = shore.manifest(NEW)
    order = shore.order(new)
    told = set[str]()
    for nth in range(1, 1000):
        shutil.copytree(disk, memory_path / str(nth), symlinks=True)
        robot = testing.Robot(memory_path / str(nth), shore)
        fault = testing.FailingStatement(nth, message)
        robot.boot(database=fault.database)
        fault.armed = True
        robot.take(order)
        told |= work_until_healed(robot)
        check_healed(robot, old, new)
        robot.boot()
        robot.settle()
        check_healed(robot, old, new)
        robot.store.close()
        shutil.rmtree(memory_path / str(nth))
        if not fault.has_failed:
            break
    assert nth > 20
    assert told == {"state_database"}


def test_every_failure_to_open_the_database_ends_the_agent_with_a_reason_and_loses_nothing(
    before, memory_path: Path, monkeypatch
):
    """Whoever runs the agent starts it anew, and then all is there."""
    shore, old, disk = before
    as_before = testing.Robot(disk, shore)
    memory = as_before.store.memory
    as_before.store.close()
    connect = schema.connect
    for nth in range(1, 1000):
        fault = testing.FailingStatement(nth, "disk I/O error")
        fault.armed = fault.looks_count = True
        monkeypatch.setattr(schema, "connect", functools.partial(connect, factory=fault.database))
        words = None
        try:
            store.Store.open(disk / "state").close()
        except errors.AgentError as error:
            words = str(error)
        monkeypatch.undo()
        again = store.Store.open(disk / "state")
        assert again.memory == memory
        again.close()
        if words is None:
            break
        assert words == f"cannot open {disk / 'state' / schema.FILE}: disk I/O error"
    assert nth > 5
    assert memory.wanted is not None
    assert memory.wanted.id == old.id


def test_a_hold_up_is_reported_with_words_and_the_next_attempt(tmp_path: Path, shore):
    robot = testing.Robot(tmp_path, shore)

    def full(name: str, path: str) -> None:
        if name == "write":
            raise OSError(errno.ENOSPC, "No space left on device", path)

    robot.boot(fault=lambda real: testing.Watched(real, full))
    manifest = shore.manifest({"nav2/params.yaml": "x"})
    robot.take(shore.order(manifest))
    robot.worker.work()

    (entry,) = robot.report.deployments
    assert (entry.activity, entry.error, entry.attempts) == (Activity.QUEUED, Error.RETRYING, 1)
    assert entry.reason is not None
    assert entry.reason.code == "disk_full"
    assert entry.reason.message == (
        f"cannot apply {manifest.id}: No space left on device (nav2/params.yaml); free some space"
    )
    assert entry.next_attempt_at is not None
    wake_at = robot.worker.wake_at
    assert wake_at is not None
    assert robot.leftovers() == []

    waits: list[float] = []
    for _ in range(20):
        wake_at = robot.worker.wake_at
        assert wake_at is not None
        waits.append(wake_at - robot.clock.monotonic())
        robot.clock.sleep(waits[-1])
        robot.worker.work()
    assert all(wait <= min(2**number, 300) for number, wait in enumerate(waits))
    assert max(waits[:4]) < 8 < max(waits)
    assert robot.report.deployments[0].attempts == 21
    robot.store.close()


def test_a_new_order_ends_the_wait(tmp_path: Path, shore):
    robot = testing.Robot(tmp_path, shore)

    def unwritable(name: str, path: str) -> None:
        if name == "write" and path.endswith("/bad"):
            raise OSError(errno.EACCES, "Permission denied", path)

    robot.boot(fault=lambda real: testing.Watched(real, unwritable))
    bad, good = shore.manifest({"bad": "x"}), shore.manifest({"good": "x"})
    robot.take(shore.order(bad))
    robot.worker.work()
    assert robot.worker.wake_at is not None

    robot.take(shore.order(good))
    robot.worker.work()

    assert robot.worker.wake_at is None
    assert robot.visible() == {"good": "x"}
    states = {entry.id: (entry.activity, entry.error) for entry in robot.report.deployments}
    assert states == {bad.id: (Activity.ARCHIVED, Error.NONE), good.id: (Activity.DEPLOYED, Error.NONE)}
    robot.store.close()


def test_what_cannot_be_deleted_holds_nothing_else_up(tmp_path: Path, shore):
    robot = testing.Robot(tmp_path, shore)
    stuck = [True]

    def undeletable(name: str, path: str) -> None:
        if name == "unlink" and ".trash-" in path and stuck:
            raise OSError(errno.EPERM, "Operation not permitted", path)

    robot.boot(fault=lambda real: testing.Watched(real, undeletable))
    first, second = shore.manifest({"f": "1"}), shore.manifest({"f": "2"})
    robot.take(shore.order(first))
    robot.worker.work()
    robot.take(shore.order(second))
    robot.worker.work()

    assert robot.visible() == {"f": "2"}
    states = {entry.id: (entry.activity, entry.error) for entry in robot.report.deployments}
    assert states == {first.id: (Activity.ARCHIVED, Error.NONE), second.id: (Activity.DEPLOYED, Error.NONE)}
    assert len(robot.leftovers()) == 1
    report = robot.report

    stuck.clear()
    robot.settle()

    assert robot.leftovers() == []
    assert robot.report == report
    robot.store.close()


def test_what_an_attempt_left_behind_is_not_in_the_way_of_the_next(tmp_path: Path, shore):
    robot = testing.Robot(tmp_path, shore)
    failures = [errno.ENOSPC]

    def fault(name: str, path: str) -> None:
        if name == "write" and path.endswith("/second") and failures:
            raise OSError(failures.pop(), "No space left on device", path)
        if name in ("unlink", "remove_directory"):
            raise OSError(errno.EIO, "Input/output error", path)

    robot.boot(fault=lambda real: testing.Watched(real, fault))
    robot.take(shore.order(shore.manifest({"first": "1", "second": "2"})))
    robot.worker.work()
    robot.clock.sleep(1)
    robot.worker.work()

    assert robot.visible() == {"first": "1", "second": "2"}
    assert len(robot.leftovers()) == 1
    robot.boot()
    robot.settle()
    assert robot.leftovers() == []
    robot.store.close()


@pytest.mark.parametrize("relief", ["the disk", "a person"])
def test_a_tree_that_cannot_be_taken_off_waits_alone(relief, tmp_path: Path, shore):
    robot = testing.Robot(tmp_path, shore)
    stuck = [True]

    def unmovable(name: str, path: str) -> None:
        if name == "rename" and ".trash-" in path and stuck:
            raise OSError(errno.EPERM, "Operation not permitted", path)

    robot.boot(fault=lambda real: testing.Watched(real, unmovable))
    first, second, third = (shore.manifest({"f": text}) for text in "123")
    robot.take(shore.order(first))
    robot.worker.work()
    for manifest in (second, third):
        robot.take(shore.order(manifest))
        robot.worker.work()

    assert robot.visible() == {"f": "3"}
    in_force = (Activity.DEPLOYED, Error.NONE, None)
    leaving = (Activity.REMOVING, Error.RETRYING, "permission_denied")
    entries = {entry.id: entry for entry in robot.report.deployments}
    assert {
        key: (entry.activity, entry.error, entry.reason and entry.reason.code) for key, entry in entries.items()
    } == {first.id: leaving, second.id: leaving, third.id: in_force}
    assert entries[first.id].next_attempt_at is not None
    wake_at = robot.worker.wake_at
    assert wake_at is not None
    assert wake_at > robot.clock.monotonic()

    if relief == "the disk":
        stuck.clear()
    else:
        for manifest in (first, second):
            shutil.rmtree(robot.root / "deployments" / manifest.id)
    robot.settle()

    assert robot.trees() == [third.id]
    assert robot.leftovers() == []
    states = {entry.id: (entry.activity, entry.error) for entry in robot.report.deployments}
    gone = (Activity.ARCHIVED, Error.NONE)
    assert states == {first.id: gone, second.id: gone, third.id: (Activity.DEPLOYED, Error.NONE)}
    robot.store.close()


def test_a_failed_deployment_that_cannot_be_removed_stays_failed(tmp_path: Path, shore):
    """It was in force until an update of the agent began to refuse its path; the disk then does not let it go."""
    robot = testing.Robot(tmp_path, shore)
    robot.boot()
    manifest = shore.manifest({"f": "1"})
    robot.take(shore.order(manifest))
    robot.settle()
    (robot.root / "current/f").write_text("torn")
    refusals = [2]

    def unlinkable(name: str, path: str) -> None:
        if name == "unlink" and path == applier.CURRENT and refusals[0]:
            refusals[0] -= 1
            raise OSError(errno.EROFS, "Read-only file system", path)

    robot.boot(fault=lambda real: testing.Watched(real, unlinkable))
    rejecting = manifest.model_copy(update={"instances": (manifest.instances[0].model_copy(update={"size": 99}),)})
    robot.take(shore.order(rejecting))
    robot.settle()

    (entry,) = robot.report.deployments
    assert refusals == [0]
    assert (entry.activity, entry.error) == (Activity.ARCHIVED, Error.FAILED)
    assert entry.reason is not None
    assert entry.reason.code == "content_differs"
    assert robot.visible() is None
    robot.store.close()


def test_a_missing_root_is_waited_for(tmp_path: Path, shore):
    robot = testing.Robot(tmp_path, shore)
    robot.root.rmdir()
    robot.boot()
    manifest = shore.manifest({"f": "1"})
    robot.take(shore.order(manifest))
    robot.worker.work()

    (entry,) = robot.report.deployments
    assert entry.reason is not None
    assert entry.reason.code == "missing"
    assert not robot.root.exists()

    robot.root.mkdir()
    robot.settle()
    assert robot.visible() == {"f": "1"}
    robot.store.close()


def test_many_orders_that_cannot_be_applied_still_fit_a_report(tmp_path: Path, shore):
    robot = testing.Robot(tmp_path, shore)
    robot.root.rmdir()
    robot.boot()
    manifests = [shore.manifest({"f": str(number)}) for number in range(40)]
    for manifest in manifests:
        robot.take(shore.order(manifest, fallback=manifests[0].id))
        robot.worker.work()

    named = [entry.id for entry in robot.report.deployments]
    assert named == [manifest.id for manifest in (manifests[0], *manifests[-31:])]

    robot.root.mkdir()
    robot.settle()
    assert robot.report.current == manifests[-1].id
    robot.store.close()


def test_many_interrupted_applies_do_not_fill_the_disk(memory_path: Path, shore):
    robot = testing.Robot(memory_path, shore)
    manifest = shore.manifest({"f": "1", "g": "2"})
    robot.boot()
    robot.take(shore.order(manifest))
    robot.store.close()
    for _ in range(100):
        try:
            robot.boot(testing.Power(5))
            robot.settle()
        except testing.PowerCut:
            pass
        assert len(robot.leftovers()) + len(robot.trees() if (robot.root / "deployments").exists() else []) <= 2

    robot.boot()
    robot.settle()
    assert robot.visible() == {"f": "1", "g": "2"}
    assert robot.leftovers() == []
    robot.store.close()
