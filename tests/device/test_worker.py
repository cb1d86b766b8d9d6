"""Orders, good and bad: state in, event, state out."""

from __future__ import annotations

import dataclasses
import datetime
import gzip
import logging
import sqlite3
from pathlib import Path

import pytest
from shallop_device import orders, testing, worker
from shallop_protocol import desired, dsse, strict_json
from shallop_protocol.statuses import Activity, Error


@pytest.fixture
def at_rest(robot, shore):
    """A robot on which a deployment is in force."""
    robot.first = shore.manifest({"f": "1"})
    robot.take(shore.order(robot.first))
    robot.settle()
    return robot


def states(robot) -> dict[str, tuple[Activity, Error]]:
    return {entry.id: (entry.activity, entry.error) for entry in robot.report.deployments}


def unsigned(shore, order):
    envelope = strict_json.loads(shore.seal(order), 10**6)
    return strict_json.dumps({**envelope, "signatures": []})


def by_another_key(shore, order):
    return testing.Shore(seed=2).seal(order)


def by_another_key_under_our_keyid(shore, order):
    envelope = strict_json.loads(by_another_key(shore, order), 10**6)
    envelope["signatures"][0]["keyid"] = shore.signer.key.keyid
    return strict_json.dumps(envelope)


def with_another_payload(shore, order):
    other = strict_json.loads(shore.seal(shore.order(None)), 10**6)
    return strict_json.dumps({**strict_json.loads(shore.seal(order), 10**6), "payload": other["payload"]})


def with_another_type(shore, order):
    return strict_json.dumps({**strict_json.loads(shore.seal(order), 10**6), "payloadType": "text/plain"})


def of_a_known_key_and_unknown_type(shore, order):
    return dsse.seal("text/plain", order.to_bytes(), shore.signer)


def for_another_device(shore, order):
    return shore.seal(order.model_copy(update={"device": "dev-other"}))


def of_a_later_version(shore, order):
    payload = order.to_bytes().replace(b'"v":1', b'"v":2', 1)
    return dsse.seal(desired.PAYLOAD_TYPE, payload, shore.signer)


def older(shore, order):
    return shore.seal(order.model_copy(update={"generation": 0 + 1, "deployment": None}))


def oversize(shore, order):
    return b"x" * (desired.MAX_ENVELOPE_BYTES + 1)


def garbage(shore, order):
    return b"\xff\x00garbage"


def deep(shore, order):
    return b"[" * 200_000


def bomb(shore, order):
    packed = gzip.compress(b"0" * (desired.MAX_PAYLOAD_BYTES * 4))
    return dsse.seal(desired.PAYLOAD_TYPE_GZIP, packed, shore.signer)


def other_content_under_a_known_id(shore, order):
    first = order.fallback
    return shore.seal(shore.order(shore.manifest({"f": "other"}, deployment=first)))


REFUSALS = {
    unsigned: "bad_signature",
    by_another_key: "bad_signature",
    by_another_key_under_our_keyid: "bad_signature",
    with_another_payload: "bad_signature",
    with_another_type: "bad_signature",
    of_a_known_key_and_unknown_type: "unsupported",
    for_another_device: "wrong_device",
    of_a_later_version: "unsupported",
    older: "conflicting_generation",
    oversize: "too_large",
    garbage: "malformed",
    deep: "too_large",
    bomb: "too_large",
    other_content_under_a_known_id: "conflicting_deployment",
}


@pytest.mark.parametrize(("make", "expected"), REFUSALS.items(), ids=lambda value: getattr(value, "__name__", None))
def test_what_is_refused_changes_nothing_but_what_was_refused(make, expected, at_rest, shore):
    order = shore.order(shore.manifest({"f": "2"}), fallback=at_rest.first.id)
    before, memory = at_rest.report, at_rest.store.memory
    message = make(shore, order)

    at_rest.worker.take(message)
    at_rest.settle()

    after = at_rest.report
    assert after.refused is not None
    assert after.refused.code == expected
    assert at_rest.store.memory == dataclasses.replace(memory, refused=after.refused)
    assert after == before.model_copy(update={"seq": before.seq + 1, "refused": after.refused})
    assert at_rest.visible() == {"f": "1"}

    at_rest.worker.take(message)
    at_rest.settle()
    assert at_rest.report == after

    at_rest.take(shore.order(shore.manifest({"f": "3"})))
    at_rest.settle()
    assert (at_rest.visible(), at_rest.report.refused) == ({"f": "3"}, None)


def test_an_older_generation_is_refused(at_rest, shore):
    late = shore.order(shore.manifest({"f": "late"}))
    at_rest.take(shore.order(shore.manifest({"f": "2"})))
    at_rest.settle()

    at_rest.take(late)
    at_rest.settle()

    assert at_rest.report.refused is not None
    assert at_rest.report.refused.code == "older_generation"
    assert at_rest.visible() == {"f": "2"}


def test_an_empty_payload_is_no_command(at_rest):
    before, memory = at_rest.store.report, at_rest.store.memory

    at_rest.worker.take(b"")
    at_rest.settle()

    assert (at_rest.store.report, at_rest.store.memory) == (before, memory)
    assert at_rest.visible() == {"f": "1"}


def test_a_duplicate_does_nothing(robot, shore):
    order = shore.order(shore.manifest({"f": "1"}))
    robot.take(order)
    robot.settle()
    before, inode = robot.store.report, (robot.root / "current/f").stat().st_ino

    robot.take(order)
    robot.worker.take(shore.seal(order.model_copy(update={"issued_at": testing.FakeClock().now()})))
    robot.settle()

    assert robot.store.report == before
    assert (robot.root / "current/f").stat().st_ino == inode


def test_the_life_of_two_deployments(robot, shore):
    first, second = shore.manifest({"f": "1"}), shore.manifest({"f": "2"})
    lived: list[object] = []
    for order in (
        shore.order(first),
        shore.order(second, fallback=first.id),
        shore.order(second),
        shore.order(None),
    ):
        robot.take(order)
        robot.settle()
        lived.append((robot.visible(), robot.report.current, states(robot)))

    in_force, gone = (Activity.DEPLOYED, Error.NONE), (Activity.ARCHIVED, Error.NONE)
    assert lived == [
        ({"f": "1"}, first.id, {first.id: in_force}),
        ({"f": "2"}, second.id, {first.id: in_force, second.id: in_force}),
        ({"f": "2"}, second.id, {first.id: gone, second.id: in_force}),
        (None, None, {first.id: gone, second.id: gone}),
    ]


def test_a_rejected_deployment_leaves_its_fallback_in_force(at_rest, shore):
    bad = shore.manifest({"../f": "2"})

    at_rest.take(shore.order(bad, fallback=at_rest.first.id))
    at_rest.settle()

    assert at_rest.visible() == {"f": "1"}
    assert at_rest.report.current == at_rest.first.id
    assert states(at_rest) == {
        at_rest.first.id: (Activity.DEPLOYED, Error.NONE),
        bad.id: (Activity.ARCHIVED, Error.FAILED),
    }
    assert at_rest.report.deployments[-1].reason.code == "bad_path"
    at_rest.boot()
    at_rest.settle()
    assert states(at_rest)[bad.id] == (Activity.ARCHIVED, Error.FAILED)


@pytest.mark.parametrize("fallback", ["whole", "damaged"])
def test_what_fails_in_force_makes_way_for_a_whole_fallback_or_for_nothing(fallback, at_rest, shore):
    new = shore.manifest({"f": "2"})
    at_rest.take(shore.order(new, fallback=at_rest.first.id))
    at_rest.settle()
    (at_rest.root / "current/f").write_text("torn")
    at_rest.worker.check()
    if fallback == "damaged":
        (at_rest.root / "deployments" / at_rest.first.id / "f").write_text("torn")
    broken = new.model_copy(update={"instances": (new.instances[0].model_copy(update={"size": 99}),)})

    at_rest.take(shore.order(broken, fallback=at_rest.first.id))
    at_rest.settle()

    assert at_rest.visible() == ({"f": "1"} if fallback == "whole" else None)
    assert at_rest.report.current == (at_rest.first.id if fallback == "whole" else None)
    assert states(at_rest)[new.id] == (Activity.ARCHIVED, Error.FAILED)


def test_work_that_takes_many_steps_lets_others_have_their_turn(robot, shore, monkeypatch):
    monkeypatch.setattr(worker, "MAX_STEPS", 1)
    robot.take(shore.order(shore.manifest({"f": "1"})))
    robot.take(shore.order(shore.manifest({"f": "2"})))
    robot.worker.work()
    assert robot.visible() is None
    assert robot.worker.wake_at == robot.clock.monotonic()

    robot.settle()

    assert robot.visible() == {"f": "2"}


def test_a_restart_changes_nothing(at_rest):
    report = at_rest.report

    at_rest.boot()
    at_rest.settle()

    assert at_rest.report == report
    assert at_rest.visible() == {"f": "1"}


@pytest.mark.parametrize("notice", ["boot", "check"])
def test_tampering_is_told_and_healed(notice, at_rest):
    (at_rest.root / "current/f").write_text("tampered")

    at_rest.boot() if notice == "boot" else at_rest.worker.check()
    at_rest.settle()

    assert at_rest.visible() == {"f": "1"}
    assert at_rest.leftovers() == []
    event = at_rest.store.first_event()
    assert event is not None
    assert strict_json.loads(event[1], 10**4)["code"] == "files_changed"


def test_a_missing_tree_is_written_again(at_rest):
    (at_rest.root / "current").unlink()

    at_rest.boot()
    at_rest.settle()

    assert at_rest.visible() == {"f": "1"}


def test_a_lost_database_takes_the_tree_up_again(robot, shore, tmp_path: Path):
    """The device enrols again; what lies on its disk and is ordered is kept in sight all the time."""
    order = shore.order(shore.manifest({"f": "1"}))
    robot.take(order)
    robot.settle()
    inode = (robot.root / "current/f").stat().st_ino
    robot.store.close()
    for path in robot.state.iterdir():
        path.unlink()
    again = testing.Robot(tmp_path, shore)
    again.boot()
    again.settle()
    assert again.visible() == {"f": "1"}

    again.take(order)
    again.settle()

    assert (again.root / "current/f").stat().st_ino == inode
    assert again.report.current == order.deployment.id
    again.store.close()


def test_a_lost_database_returns_to_a_fallback_that_it_forgot(robot, shore, tmp_path: Path):
    first, second = shore.manifest({"f": "1"}), shore.manifest({"f": "2"})
    robot.take(shore.order(first))
    robot.settle()
    robot.take(shore.order(second, fallback=first.id))
    robot.settle()
    robot.store.close()
    for path in robot.state.iterdir():
        path.unlink()
    again = testing.Robot(tmp_path, shore)
    again.boot()
    broken = second.model_copy(update={"instances": (second.instances[0].model_copy(update={"size": 99}),)})

    again.take(shore.order(broken, fallback=first.id))
    again.settle()

    assert again.visible() == {"f": "1"}
    assert again.report.current == first.id
    assert again.trees() == [first.id]
    again.store.close()


def test_no_clock_decides(robot, shore):
    first, second = shore.manifest({"f": "1"}), shore.manifest({"f": "2"})
    for years, manifest in ((-50, first), (50, second)):
        robot.clock.set_wall(testing.FakeClock().now() + datetime.timedelta(days=365 * years))
        robot.take(shore.order(manifest))
        robot.settle()
        assert robot.report.current == manifest.id


def test_a_defect_that_a_message_brings_out_is_refused_and_logged(at_rest, shore, monkeypatch, caplog):
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    order = shore.order(shore.manifest({"f": "2"}))
    with monkeypatch.context() as patch:
        patch.setattr(desired, "open_desired", broken)
        at_rest.take(order)
    at_rest.settle()

    assert at_rest.report.refused.code == "internal_error"
    assert at_rest.visible() == {"f": "1"}
    assert any(record.exc_info for record in caplog.records if record.levelno == logging.ERROR)
    at_rest.take(order)
    at_rest.settle()
    assert at_rest.visible() == {"f": "2"}


def test_a_defect_in_a_step_is_reported_and_a_better_order_still_heard(at_rest, shore, monkeypatch, caplog):
    bad, good = shore.manifest({"f": "bad"}), shore.manifest({"f": "good"})
    apply = at_rest.worker._applier.apply

    def broken(manifest: desired.Manifest) -> None:
        if manifest.id == bad.id:
            raise ZeroDivisionError
        apply(manifest)

    monkeypatch.setattr(at_rest.worker._applier, "apply", broken)
    at_rest.take(shore.order(bad))
    at_rest.worker.work()

    assert at_rest.report.deployments[-1].reason.code == "internal_error"
    assert at_rest.visible() == {"f": "1"}
    assert any(record.exc_info for record in caplog.records)
    at_rest.take(shore.order(good))
    at_rest.settle()
    assert at_rest.visible() == {"f": "good"}


def test_a_message_that_kills_the_agent_is_quarantined(at_rest, shore, monkeypatch):
    def deadly(*_: object) -> None:
        raise testing.PowerCut

    order = shore.order(shore.manifest({"f": "2"}))
    with monkeypatch.context() as patch:
        patch.setattr(desired, "open_desired", deadly)
        for _ in range(orders.MAX_DEATHS):
            with pytest.raises(testing.PowerCut):
                at_rest.take(order)
            at_rest.boot()
        for _ in range(2):
            at_rest.take(order)
            at_rest.boot()
        at_rest.settle()

    assert at_rest.report.refused.code == "quarantined"
    assert at_rest.visible() == {"f": "1"}
    at_rest.take(shore.order(shore.manifest({"f": "3"})))
    at_rest.settle()
    assert at_rest.visible() == {"f": "3"}


def test_an_agent_that_dies_applying_waits_longer_each_time(robot, shore):
    robot.take(shore.order(shore.manifest({"f": "1"})))
    waits: list[float] = []
    for _ in range(8):
        robot.boot(testing.Power(cut_before=3))
        with pytest.raises(testing.PowerCut):
            robot.settle()
        waits.append(robot.clock.monotonic() - sum(waits))

    assert robot.store.memory.holdings[0].attempts == 1 + 8  # the first began when the order was taken
    assert waits[0] <= 1
    assert max(waits) > 8
    robot.boot()
    robot.settle()
    assert robot.visible() == {"f": "1"}


def test_an_order_survives_a_database_that_cannot_be_written(at_rest, shore, monkeypatch):
    def full() -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(at_rest.store, "_commit", full)
        at_rest.take(shore.order(shore.manifest({"f": "2"})))
        for _ in range(5):
            at_rest.worker.work()
            at_rest.clock.sleep(at_rest.worker.wake_at - at_rest.clock.monotonic())
        assert at_rest.visible() == {"f": "1"}
    at_rest.settle()

    assert at_rest.visible() == {"f": "2"}


@pytest.mark.parametrize("nth", range(1, 8))
def test_nothing_is_done_that_is_not_in_the_database(nth, at_rest, shore, monkeypatch):
    """One commit fails; whatever is in sight then was ordered by what the database holds."""
    commit, commits = at_rest.store._commit, iter(range(1, 1000))

    def failing_once() -> None:
        if next(commits) == nth:
            raise sqlite3.OperationalError("disk I/O error")
        commit()

    order = shore.order(shore.manifest({"f": "2"}))
    monkeypatch.setattr(at_rest.store, "_commit", failing_once)
    at_rest.take(order)
    at_rest.settle()
    at_rest.boot()

    assert at_rest.store.memory.order == order
    assert at_rest.visible() == {"f": "2"}
    assert at_rest.report.current == order.deployment.id


def test_a_database_that_cannot_be_written_at_the_start_is_waited_for(tmp_path: Path, shore, monkeypatch):
    def full() -> None:
        raise sqlite3.OperationalError("database or disk is full")

    robot = testing.Robot(tmp_path, shore)
    with monkeypatch.context() as patch:
        patch.setattr(robot.store, "_commit", full)
        robot.worker.start()
        robot.worker.tell("x", "lost, and nothing depends on it")
    assert robot.store.report is None
    robot.worker.start()

    assert robot.report.generation == 0
    assert robot.store.first_event() is None
    robot.store.close()


def test_long_gone_deployments_are_forgotten(at_rest, shore):
    for number in range(12):
        at_rest.take(shore.order(shore.manifest({"f": str(number)})))
        at_rest.settle()

    assert len(at_rest.report.deployments) == 9
    assert len(at_rest.trees()) == 1
