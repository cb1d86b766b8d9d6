"""The n-th step on the disk fails once, for every n and each errno: the old set stays whole, then all heals."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import pytest
from shallop_device import applier, testing
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


@pytest.mark.parametrize("code", CODES, ids=lambda code: errno.errorcode[code])
def test_every_failing_step_is_reported_and_healed(code, memory_path: Path):
    shore = testing.Shore()
    old, new = shore.manifest(OLD), shore.manifest(NEW)
    before, order = shore.order(old), shore.order(new)
    robot = testing.Robot(memory_path / "0", shore)
    robot.boot()
    robot.take(before)
    robot.settle()
    robot.store.close()
    told = set[str]()
    for nth in range(1, 1000):
        shutil.copytree(memory_path / "0", memory_path / str(nth), symlinks=True)
        robot = testing.Robot(memory_path / str(nth), shore)
        fault = testing.FailingOnce(nth, code)
        robot.boot(fault=fault.on)
        robot.take(order)
        for _ in range(100):
            robot.worker.work()
            assert robot.visible() in (OLD, NEW)
            told |= {entry.reason.code for entry in robot.report.deployments if entry.reason}
            wake_at = robot.worker.wake_at
            if wake_at is None:
                break
            robot.clock.sleep(wake_at - robot.clock.monotonic())

        assert robot.visible() == NEW
        assert robot.leftovers() == []
        assert [name.partition(".")[0] for name in robot.trees()] == [new.id]
        states = {entry.id: (entry.activity, entry.error) for entry in robot.report.deployments}
        assert states == {old.id: (Activity.ARCHIVED, Error.NONE), new.id: (Activity.DEPLOYED, Error.NONE)}
        robot.store.close()
        shutil.rmtree(memory_path / str(nth))
        if not fault.has_failed:
            break
    assert nth > 20
    assert told == {CODES[code]}


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
