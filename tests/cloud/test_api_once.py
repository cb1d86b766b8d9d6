"""``Idempotency-Key``: a request that is sent again is answered again, and has its effect once."""

from __future__ import annotations

import contextlib
import datetime
import threading
from collections import Counter
from typing import Any

import pytest
import sqlalchemy as sa
import structlog.testing
from cloud_world import World
from shallop_cloud.api import once
from shallop_cloud.services import devices
from shallop_cloud.store import idempotency, tables

DEVICE = {"name": "amr-1", "labels": {}}


def _post(world: World, path: str, body: object, key: str = "one", **headers: str) -> Any:
    return world.client.post(path, json=body, headers={"Idempotency-Key": key, **headers})


def _kept(world: World) -> list[Any]:
    with world.ashore.shore.database.read() as connection:
        return list(connection.execute(sa.select(tables.idempotency_keys)).mappings())


def _names(world: World) -> list[str]:
    return [each["name"] for each in world.must("GET", "/v1/devices")["data"]]


def test_the_same_request_is_answered_alike_and_done_once(world: World) -> None:
    first = _post(world, "/v1/devices", DEVICE)
    again = _post(world, "/v1/devices", DEVICE)
    assert first.status_code == again.status_code == 201
    assert first.content == again.content
    assert "token" in first.json()
    assert ("idempotency-replayed" in first.headers, again.headers["idempotency-replayed"]) == (False, "true")
    assert len(world.must("GET", "/v1/devices/amr-1/history")["data"]) == 1


def test_an_order_is_published_once(world: World) -> None:
    world.release()
    world.device()
    configs = [{"config_type": "motion", "content": "max: 1\n"}]
    body = {"device": "amr-1", "release": "1.0.0", "configs": configs}
    made = _post(world, "/v1/deployments", body)
    assert len(world.ashore.ordered) == 1
    assert _post(world, "/v1/deployments", body).json() == made.json()
    assert len(world.ashore.ordered) == 1
    assert len(world.must("GET", "/v1/deployments")["data"]) == 1


def test_what_is_kept_can_be_read_by_nobody_else(world: World) -> None:
    token = _post(world, "/v1/devices", DEVICE).json()["token"]
    (row,) = _kept(world)
    assert token.encode() not in row["body"]
    assert b"amr-1" not in row["body"]


@pytest.mark.parametrize(
    ("path", "body"),
    [("/v1/devices", {**DEVICE, "name": "other"}), ("/v1/devices?", DEVICE), ("/v1/devices/amr-1:renew-token", {})],
)
def test_a_key_belongs_to_its_request(world: World, path: str, body: object) -> None:
    _post(world, "/v1/devices", DEVICE)
    answer = _post(world, path, body)
    if path.endswith("?"):  # a query of nothing is no query
        assert answer.headers["idempotency-replayed"] == "true"
        return
    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")
    assert _names(world) == ["amr-1"]


def test_a_key_belongs_to_its_token(world: World) -> None:
    other = world.must("POST", "/v1/tokens", {"name": "other", "role": "admin"})["token"]
    assert _post(world, "/v1/devices", DEVICE).status_code == 201
    answer = _post(world, "/v1/devices", {"name": "amr-2"}, Authorization=f"Bearer {other}")
    assert (answer.status_code, answer.json()["name"]) == (201, "amr-2")


def test_a_problem_is_not_kept_and_leaves_nothing(world: World) -> None:
    answer = _post(world, "/v1/devices:batch", {"devices": [DEVICE, DEVICE]})
    assert answer.status_code == 409
    assert _kept(world) == []
    assert _post(world, "/v1/devices:batch", {"devices": [DEVICE]}).status_code == 201
    assert _names(world) == ["amr-1"]


@pytest.mark.parametrize("key", ["", " ", "a b", "é", "k" * 256, "tab\t"])
def test_what_is_no_key(world: World, key: str) -> None:
    answer = world.client.post("/v1/devices", json=DEVICE, headers={"Idempotency-Key": key.encode()})
    assert (answer.status_code, answer.json()["errors"][0]["source"]) == (422, "header")
    assert _names(world) == []


def _crash(*_: object, **__: object) -> None:
    raise ConnectionError


def test_a_crash_before_the_commit_leaves_neither_effect_nor_answer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with structlog.testing.capture_logs(), monkeypatch.context() as planted:
        planted.setattr(idempotency, "keep", _crash)
        assert _post(world, "/v1/devices", DEVICE).status_code == 500
    assert (_names(world), _kept(world)) == ([], [])
    assert world.must("GET", "/v1/history:verify")["entries"] == 0
    assert _post(world, "/v1/devices", DEVICE).status_code == 201


def test_a_crash_after_the_commit_leaves_both(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with structlog.testing.capture_logs(), monkeypatch.context() as planted:
        planted.setattr(once.fastapi, "Response", _crash)
        assert _post(world, "/v1/devices", DEVICE).status_code == 500
    assert _names(world) == ["amr-1"]
    again = _post(world, "/v1/devices", DEVICE)
    assert (again.status_code, again.headers["idempotency-replayed"]) == (201, "true")


def test_of_many_at_once_one_has_the_effect(world: World) -> None:
    answers: list[Any] = []
    gate = threading.Barrier(16)

    def ask() -> None:
        gate.wait()
        answers.append(_post(world, "/v1/devices", DEVICE))

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(answer.status_code for answer in answers) == {201: 16}
    assert len({answer.content for answer in answers}) == 1
    assert sum("idempotency-replayed" in answer.headers for answer in answers) == 15
    assert len(world.must("GET", "/v1/devices/amr-1/history")["data"]) == 1


def test_after_a_day_a_key_is_new_and_old_answers_go(world: World) -> None:
    _post(world, "/v1/devices", DEVICE)
    old = world.ashore.shore.now() - idempotency.KEPT_FOR
    with world.ashore.shore.database.write() as connection:
        connection.execute(tables.idempotency_keys.update().values(created_at=old))
    answer = _post(world, "/v1/devices", {"name": "amr-2"}, key="two")
    assert answer.status_code == 201
    assert [row["key"] for row in _kept(world)] == ["two"]
    assert _post(world, "/v1/devices", DEVICE).json()["code"] == "device_exists"


def test_just_before_a_day_it_is_not(world: World) -> None:
    _post(world, "/v1/devices", DEVICE)
    nearly = world.ashore.shore.now() - idempotency.KEPT_FOR + datetime.timedelta(seconds=30)
    with world.ashore.shore.database.write() as connection:
        connection.execute(tables.idempotency_keys.update().values(created_at=nearly))
    assert _post(world, "/v1/devices", DEVICE).headers["idempotency-replayed"] == "true"


def test_a_batch_is_one_transaction_and_what_fails_in_it_leaves_nothing(world: World) -> None:
    """Parts of the whole that raise are undone by themselves; the rest commits together."""
    database = world.ashore.shore.database
    happened: list[str] = []
    with database.as_one(lambda _: happened.append("begun")):
        devices.create(world.ashore.shore, devices.New("a"), "test")
        database.after_commit(lambda: happened.append("committed"))
        with contextlib.suppress(RuntimeError), database.write() as connection:
            connection.execute(tables.devices.update().values(name="b"))
            raise RuntimeError
        with database.read() as connection:
            assert connection.execute(sa.select(tables.devices.c.name)).scalars().all() == ["a"]
        happened.append("done")
    assert happened == ["begun", "done", "committed"]
    assert _names(world) == ["a"]
    with contextlib.suppress(RuntimeError), database.as_one(lambda _: None):
        devices.create(world.ashore.shore, devices.New("c"), "test")
        database.after_commit(lambda: happened.append("never"))
        raise RuntimeError
    assert _names(world) == ["a"]
    assert "never" not in happened
