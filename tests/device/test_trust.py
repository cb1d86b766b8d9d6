"""Whose orders count on a robot: key lists that come, go wrong, come late, and are still known after a start."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from shallop_device import identity, inbox, link, schema, store, testing
from shallop_protocol import dsse, keys, messages, strict_json
from shallop_protocol.keys import KeyState
from shallop_protocol.messages import Event, Refusal

OLD = {"a": "old"}
NEW = {"a": "new"}


@pytest.fixture
def in_force(robot: testing.Robot, shore: testing.Shore) -> testing.Robot:
    """A robot on which something is in force."""
    robot.take(shore.order(shore.manifest(OLD)))
    robot.settle()
    return robot


def events(robot: testing.Robot) -> list[tuple[str, str]]:
    """Codes and words of what waits to be told."""
    found: list[tuple[str, str]] = []
    while (waiting := robot.store.first_event()) is not None:
        event = messages.parse(Event, waiting[1], messages.MAX_SMALL_BYTES)
        found.append((event.code, event.message))
        robot.store.drop_event(waiting[0])
    return found


def test_a_new_key_counts_once_the_root_has_listed_it(in_force: testing.Robot, shore: testing.Shore):
    in_force.worker.renew(shore.rotate())
    in_force.take(shore.order(shore.manifest(NEW)))
    in_force.settle()

    assert in_force.visible() == NEW
    assert (in_force.report.keys, in_force.report.refused) == (2, None)
    assert events(in_force) == []


def test_the_newest_list_is_known_after_a_start(in_force: testing.Robot, shore: testing.Shore):
    in_force.worker.renew(shore.rotate(KeyState.REVOKED, epochs=1))
    in_force.boot()

    assert in_force.worker.trust.listed == shore.listed
    in_force.take(shore.order(shore.manifest(NEW)))
    in_force.settle()
    assert in_force.visible() == NEW


@pytest.mark.parametrize(("epochs", "code"), [(0, "bad_signature"), (1, "wrong_epoch")])
def test_an_order_that_overtook_its_key_list_is_judged_again(
    epochs: int, code: str, in_force: testing.Robot, shore: testing.Shore
):
    signer = shore.signer
    listed = shore.rotate(epochs=epochs)
    if epochs:
        shore.signer = signer
    in_force.take(shore.order(shore.manifest(NEW)))
    in_force.settle()
    assert in_force.visible() == OLD
    assert in_force.report.refused is not None
    assert in_force.report.refused.code == code

    in_force.worker.renew(listed)
    in_force.settle()

    assert in_force.visible() == NEW
    assert in_force.report.refused is None


def test_only_the_newest_order_in_doubt_is_judged_again(in_force: testing.Robot, shore: testing.Shore):
    listed = shore.rotate()
    newer = shore.order(shore.manifest(NEW))
    in_force.take(newer)
    in_force.worker.take(dsse.seal("text/plain", b"noise", testing.Shore(2).signer))
    in_force.worker.renew(listed)
    in_force.settle()
    assert in_force.visible() == OLD

    in_force.take(newer)
    in_force.settle()
    assert in_force.visible() == NEW


def test_an_order_that_a_revoked_key_signed_is_refused_and_what_is_in_force_stays(
    in_force: testing.Robot, shore: testing.Shore
):
    leaked = shore.signer
    in_force.worker.renew(shore.rotate(KeyState.REVOKED, epochs=1))
    shore.signer = leaked
    in_force.take(shore.order(None))
    in_force.settle()

    assert in_force.visible() == OLD
    assert in_force.report.refused is not None
    assert in_force.report.refused.code == "bad_signature"


def test_an_order_far_ahead_does_not_outlive_its_epoch(in_force: testing.Robot, shore: testing.Shore):
    """A leaked key orders under the highest number that there is; the next epoch begins below it."""
    shore.generation = messages.MAX_INTEGER - 1
    in_force.take(shore.order(shore.manifest({"a": "evil"})))
    in_force.settle()
    in_force.worker.renew(shore.rotate(KeyState.REVOKED, epochs=1))
    shore.generation = 1
    in_force.take(shore.order(shore.manifest(NEW)))
    in_force.settle()

    assert in_force.visible() == NEW


def refused_lists(shore: testing.Shore) -> dict[str, bytes]:
    known = shore.listed
    other = known.model_copy(update={"version": 2, "epoch": 2, "signing_keys": known.signing_keys[:1]})
    lower = known.model_copy(update={"version": 3, "epoch": 1})
    return {
        "bad_signature": keys.seal_key_list(known.model_copy(update={"version": 9}), [shore.signer]),
        "outdated": keys.seal_key_list(lower, [shore.root]),
        "conflicting": keys.seal_key_list(other, [shore.root]),
        "unsupported": dsse.seal("text/plain", known.to_bytes(), shore.root),
        "malformed": b"{",
        "too_large": b" " * (keys.MAX_BYTES + 1),
    }


@pytest.mark.parametrize("code", ["bad_signature", "outdated", "conflicting", "unsupported", "malformed", "too_large"])
def test_a_key_list_that_is_none_is_told_once_and_changes_nothing(
    code: str, in_force: testing.Robot, shore: testing.Shore
):
    in_force.worker.renew(shore.rotate(epochs=1))
    before = (in_force.worker.trust, in_force.report)
    for _ in range(3):
        in_force.worker.renew(refused_lists(shore)[code])

    assert (in_force.worker.trust, in_force.report) == before
    ((told, words),) = events(in_force)
    assert told == "key_list_refused"
    assert words.startswith(f"refused a key list: {code}: ")
    in_force.boot()
    assert in_force.worker.trust == before[0]


def test_a_list_that_brings_out_a_defect_is_told_and_stops_nothing(in_force: testing.Robot, shore, monkeypatch):
    def fail(*_: object) -> None:
        raise RecursionError

    with monkeypatch.context() as broken:
        broken.setattr(keys, "open_key_list", fail)
        in_force.worker.renew(shore.rotate())
    assert [code for code, _ in events(in_force)] == ["key_list_refused"]
    in_force.worker.renew(shore.key_list)
    assert in_force.report.keys == 2


@pytest.mark.parametrize("nothing", [b"", None])
def test_no_list_and_the_same_list_again_change_nothing(nothing, in_force: testing.Robot, shore: testing.Shore):
    before = in_force.report
    in_force.worker.renew(shore.key_list if nothing is None else nothing)

    assert (in_force.report, events(in_force)) == (before, [])


def test_a_list_that_cannot_be_written_down_does_not_count_and_is_tried_again(tmp_path: Path, shore: testing.Shore):
    robot = testing.Robot(tmp_path, shore)
    failing = testing.FailingStatement(1, "disk I/O error")
    robot.boot(database=failing.database)
    robot.worker.work()
    failing.armed = True
    robot.worker.renew(shore.rotate())
    assert failing.has_failed
    assert robot.worker.trust.listed.version == 1
    assert robot.report.keys == 1

    robot.settle()

    assert robot.worker.trust.listed == shore.listed
    assert robot.report.keys == 2
    robot.store.close()


def test_a_robot_that_lost_its_memory_obeys_nothing_below_its_floor(tmp_path: Path, shore: testing.Shore):
    replayed = shore.order(shore.manifest(OLD))
    shore.order(None)
    shore.floor = (1, 2)
    robot = testing.Robot(tmp_path, shore)
    robot.boot()
    robot.take(replayed)
    robot.settle()

    assert robot.visible() is None
    words = "order 1/1 is older than 1/2, which this device had when it was enrolled"
    assert robot.report.refused == Refusal(code="outdated", message=words)
    robot.store.close()


def test_what_is_in_force_is_not_ordered_anew_by_another_signature(in_force: testing.Robot, shore: testing.Shore):
    order = in_force.store.memory.order
    assert order is not None
    in_force.worker.renew(shore.rotate(KeyState.REVOKED))
    before = in_force.report
    in_force.take(order)
    in_force.settle()

    assert in_force.report == before


def test_a_kept_list_that_other_roots_signed_is_passed_over(tmp_path: Path, shore: testing.Shore):
    robot = testing.Robot(tmp_path, shore)
    robot.store.close()
    other = testing.Shore(2)
    other.rotate()
    with sqlite3.connect(tmp_path / "state" / schema.FILE) as db:
        db.execute("insert into key_list (id, envelope) values (1, ?)", [other.key_list])
    db.close()
    memory = store.Store.open(tmp_path / "state")
    who = memory.identity
    assert who is not None
    assert memory.trust(who.anchor) == who.anchor
    memory.close()


def test_what_comes_is_cut_above_what_a_key_list_may_have(tmp_path: Path, shore: testing.Shore):
    who = shore.identity(tmp_path)
    item = link.heard(who, who.topics.keys, bytearray(1_000_000))

    assert item == inbox.Keyed(bytes(keys.MAX_BYTES + 1))


def test_the_answer_of_a_cloud_with_more_roots_and_a_threshold(tmp_path: Path, shore: testing.Shore):
    second = testing.Shore(2).root
    answer = shore.answer()
    answer["trust"] = {
        "roots": [shore.root.key.text, second.key.text],
        "threshold": 2,
        "key_list": keys.seal_key_list(shore.listed, [shore.root, second]).decode(),
    }
    found = identity.of(strict_json.dumps(answer), "http://x", tmp_path, "secret")
    assert found.anchor.roots == keys.Roots((shore.root.key, second.key), 2)
    assert json.loads(answer["trust"]["key_list"])["signatures"][1]["keyid"] == second.key.keyid
