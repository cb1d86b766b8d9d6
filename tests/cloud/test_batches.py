"""Many devices in one request: made, enrolled, and given the same files."""

from __future__ import annotations

from typing import Any

import pytest
from cloud_world import World

SECRET = "a-secret-of-the-robot-of-at-least-32-characters"
CONFIGS = [{"config_type": "motion", "content": "max: 1\n"}]


def _devices(world: World, *names: str, **labels: str) -> list[dict[str, Any]]:
    wanted = [{"name": name, "labels": labels} for name in names]
    return world.must("POST", "/v1/devices:batch", {"devices": wanted})["data"]


def _deploy(world: World, **body: Any) -> list[dict[str, Any]]:
    return world.must("POST", "/v1/deployments:batch", {"release": "1.0.0", "configs": CONFIGS, **body})["data"]


def test_devices_are_made_in_order_each_with_its_token(world: World) -> None:
    made = _devices(world, "b", "a", site="lyon")
    assert [device["name"] for device in made] == ["b", "a"]
    assert len({device["token"] for device in made}) == 2
    assert [device["labels"] for device in made] == [{"site": "lyon"}] * 2
    history = world.must("GET", f"/v1/devices/{made[0]['id']}/history")["data"]
    assert [entry["action"] for entry in history] == ["device_created"]


@pytest.mark.parametrize(
    ("names", "status", "code", "said"),
    [
        (["new", "old"], 409, "device_exists", "'old'"),
        (["new", "new"], 409, "device_exists", "'new' stands there 2 times"),
        (["new", "-"], 422, "name_invalid", "'-'"),
        ([], 422, "request_invalid", "/devices"),
    ],
)
def test_all_devices_are_made_or_none(world: World, names: list[str], status: int, code: str, said: str) -> None:
    _devices(world, "old")
    answer = world.api("POST", "/v1/devices:batch", {"devices": [{"name": name} for name in names]})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert said in answer.json()["detail"]
    assert [device["name"] for device in world.must("GET", "/v1/devices")["data"]] == ["old"]


def test_robots_enrol_together_and_may_repeat_it(world: World) -> None:
    made = _devices(world, "a", "b")
    asked = {"enrolments": [{"token": device["token"], "secret": SECRET + device["name"]} for device in made]}
    answer = world.must("POST", "/v1/enrolments:batch", asked)
    assert [device["id"] for device in answer["devices"]] == [device["id"] for device in made]
    assert answer["mqtt"]["url"] == "mqtt://127.0.0.1:1883"
    assert answer["trust"]["key_list"] == world.ashore.shore.keyring.standing.envelope.decode()
    assert [device["floor"] for device in answer["devices"]] == 2 * [{"epoch": 1, "generation": 0}]
    assert world.must("POST", "/v1/enrolments:batch", asked) == answer
    accounts = world.ashore.shore.credentials.path.read_text()
    assert all(f"{device['id'].lower()}:" in accounts for device in made)


def test_one_wrong_token_enrols_nobody(world: World) -> None:
    made = _devices(world, "a", "b")
    tokens = [made[0]["token"], "shallop-enrol-wrong"]
    asked = {"enrolments": [{"token": token, "secret": SECRET} for token in tokens]}
    answer = world.api("POST", "/v1/enrolments:batch", asked)
    assert (answer.status_code, answer.json()["code"]) == (401, "token_invalid")
    assert world.must("GET", "/v1/devices/a")["enrolled_at"] is None


def test_the_same_files_go_to_many_and_share_their_instances(world: World) -> None:
    world.release()
    devices = _devices(world, "a", "b", "c")
    made = _deploy(world, devices=["c", devices[0]["id"]])
    assert [item["device"] for item in made] == ["c", devices[0]["id"]]
    shown = [world.must("GET", f"/v1/deployments/{item['id']}") for item in made]
    assert [deployment["device_name"] for deployment in shown] == ["c", "a"]
    assert shown[0]["config_instances"] == shown[1]["config_instances"]
    assert {deployment["status"] for deployment in shown} == {"queued"}
    assert len(world.ashore.ordered) == 1
    assert world.must("GET", "/v1/deployments", device="b")["data"] == []


def test_what_was_made_together_lives_apart(world: World) -> None:
    world.release()
    robots = [world.device(name) for name in ("a", "b")]
    made = _deploy(world, labels={})
    robots[0].settle()
    assert world.statuses(made[0]["id"])[3] == "deployed"
    assert world.statuses(made[1]["id"])[3] == "queued"
    history = world.must("GET", f"/v1/deployments/{made[0]['id']}/history")["data"]
    assert [entry["action"] for entry in history] == ["staged", "queued", "deployed"]


def test_labels_choose(world: World) -> None:
    world.release()
    _devices(world, "lyon-1", "lyon-2", site="lyon")
    _devices(world, "oslo-1", site="oslo")
    assert [item["device"] for item in _deploy(world, labels={"site": "lyon"})] == ["lyon-1", "lyon-2"]
    assert [item["device"] for item in _deploy(world, labels={})] == ["lyon-1", "lyon-2", "oslo-1"]
    assert _deploy(world, labels={"site": "rome"}) == []


def test_each_device_has_its_own_trouble(world: World) -> None:
    world.release()
    [device] = _devices(world, "a")
    made = _deploy(world, devices=["nobody", "a", device["id"]])
    assert [item["id"] is not None for item in made] == [False, True, False]
    assert [item["problem"] and item["problem"]["code"] for item in made] == [
        "device_not_found",
        None,
        "device_repeated",
    ]


def test_staged_for_many(world: World) -> None:
    world.release()
    _devices(world, "a", "b")
    made = _deploy(world, labels={}, staged=True)
    assert {world.statuses(item["id"])[3] for item in made} == {"staged"}
    assert world.ashore.ordered == []


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"devices": ["a"], "labels": {}}, 422, "request_invalid"),
        ({}, 422, "request_invalid"),
        ({"devices": ["a"], "configs": []}, 422, "config_missing"),
        ({"devices": ["a"], "release": "9.9.9"}, 404, "release_not_found"),
    ],
)
def test_a_wrong_batch_makes_nothing(world: World, body: dict[str, Any], status: int, code: str) -> None:
    world.release()
    _devices(world, "a")
    answer = world.api("POST", "/v1/deployments:batch", {"release": "1.0.0", "configs": CONFIGS, **body})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert world.must("GET", "/v1/deployments")["data"] == []


def test_more_than_one_transaction_holds(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shallop_cloud.services.deployments.BATCH", 2)
    world.release()
    _devices(world, "a", "b", "c", "d", "e")
    made = _deploy(world, labels={})
    assert len({item["id"] for item in made}) == 5
    assert len(world.ashore.ordered) == 3


def test_the_summary_counts(world: World) -> None:
    world.release()
    robots = [world.device(name) for name in ("a", "b", "c")]
    assert world.must("GET", "/v1/summary") == {
        "devices": 3,
        "online": 0,
        "in_sync": 3,
        "lagging": 0,
        "deployments": {},
    }
    _deploy(world, devices=["a", "b"])
    robots[0].settle()
    _deploy(world, devices=["c"], staged=True)
    counts = {"deployed": 1, "queued": 1, "staged": 1}
    assert world.must("GET", "/v1/summary") == {
        "devices": 3,
        "online": 0,
        "in_sync": 2,
        "lagging": 0,
        "deployments": counts,
    }


def test_a_file_that_was_judged_is_not_judged_again_by_another_schema_or_as_another_file(world: World) -> None:
    schema = {"entry": "s.json", "documents": {"s.json": '{"properties": {"max": {"maximum": 5}}}'}}
    loose = {"name": "motion", "schema": "opaque", "format": "yaml", "path": "motion.yaml"}
    world.must("POST", "/v1/releases", {"version": "1.0.0", "config_types": [loose]})
    world.must("POST", "/v1/releases", {"version": "2.0.0", "config_types": [{**loose, "schema": schema}]})
    world.device("a")
    good, bad = ([{"config_type": "motion", "content": f"max: {number}\n"}] for number in (4, 6))
    for _ in range(2):
        _deploy(world, devices=["a"], configs=bad)
        _deploy(world, devices=["a"], configs=good, release="2.0.0")
        body = {"devices": ["a"], "configs": bad, "release": "2.0.0"}
        assert world.api("POST", "/v1/deployments:batch", body).json()["code"] == "config_invalid"
