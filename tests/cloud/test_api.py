"""The API's conventions: problems, look-ups, pages, enrolment."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path

import pytest
from cloud_world import RELEASE, World
from shallop_cloud import passwords
from shallop_cloud.services.shore import Limits
from shallop_cloud.testing.ashore import SIGNER, TOKEN, shore
from shallop_protocol import keys

SECRET = "a-secret-of-the-robot-of-at-least-32-characters"


def test_every_answer_has_a_request_id_and_is_not_kept(world: World) -> None:
    for path in ("/v1/health", "/v1/devices", "/v1/devices/nobody", "/nowhere"):
        headers = world.api("GET", path).headers
        assert headers["x-request-id"].startswith("req-")
        assert (headers["cache-control"], headers["x-content-type-options"]) == ("no-store", "nosniff")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/nowhere", None, 404, "route_not_found"),
        ("DELETE", "/v1/devices", None, 405, "method_not_allowed"),
        ("POST", "/v1/devices", {}, 422, "request_invalid"),
        ("POST", "/v1/devices", {"name": "x", "lables": {}}, 422, "request_invalid"),
        ("POST", "/v1/devices", {"name": "-x"}, 422, "name_invalid"),
        ("POST", "/v1/devices", {"name": "x", "labels": {"a b": "c"}}, 422, "label_invalid"),
        ("GET", "/v1/devices/nobody", None, 404, "device_not_found"),
        ("GET", "/v1/releases/9.9.9", None, 404, "release_not_found"),
        ("GET", "/v1/deployments/DPL-00000", None, 404, "deployment_not_found"),
        ("GET", "/v1/config-schemas/SCH-00000", None, 404, "config_schema_not_found"),
        ("GET", "/v1/config-instances/CFG-00000/content", None, 404, "config_instance_not_found"),
        ("GET", "/v1/devices?limit=0", None, 422, "request_invalid"),
        ("GET", "/v1/devices?cursor=x", None, 400, "cursor_invalid"),
        ("GET", "/v1/devices?cursor=WzFd", None, 400, "cursor_invalid"),
        ("GET", "/v1/deployments?status=lost", None, 422, "request_invalid"),
        ("POST", "/v1/releases", {**RELEASE, "version": "1.0"}, 422, "release_invalid"),
    ],
)
def test_problems(world: World, method: str, path: str, body: object, status: int, code: str) -> None:
    answer = world.api(method, path, body)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    problem = answer.json()
    assert (problem["status"], problem["code"]) == (status, code)
    assert problem["detail"]
    assert problem["request_id"] == answer.headers["x-request-id"]


def test_a_body_that_is_not_json(world: World) -> None:
    answer = world.client.post("/v1/devices", content=b"{", headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (400, "json_invalid")


def test_things_go_by_id_prefix_and_name(world: World) -> None:
    world.release()
    key = world.device().id
    deployment = world.order("max: 1\n")
    assert world.must("GET", "/v1/devices/amr-1")["id"] == key
    assert world.must("GET", f"/v1/devices/{key[:9].lower()}")["id"] == key
    assert world.must("GET", f"/v1/deployments/{deployment[:10]}")["id"] == deployment
    assert world.must("GET", "/v1/releases/1.0.0")["version"] == "1.0.0"
    assert world.api("GET", f"/v1/deployments/{deployment[:8]}").status_code == 404


def test_contents_come_back_byte_for_byte(world: World) -> None:
    world.release()
    world.device()
    content = "# a comment\r\nmax: 1.0   # not 1\r\n\r\n"
    shown = world.must("GET", f"/v1/deployments/{world.order(content)}")["config_instances"][0]
    answer = world.api("GET", f"/v1/config-instances/{shown['id']}/content")
    assert answer.content == content.encode()
    assert (shown["size"], shown["path"]) == (len(content), "motion.yaml")


def test_pages_neither_skip_nor_repeat(world: World) -> None:
    names = [f"amr-{number:02}" for number in range(7)]
    for name in names:
        world.device(name)
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = world.must("GET", "/v1/devices", limit=3, **cursor)
        seen += [device["name"] for device in page["data"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
        world.device(f"aaa-{len(seen)}")
    assert seen == names


def test_devices_by_label(world: World) -> None:
    for name, site in (("a", "lyon"), ("b", "oslo"), ("c", "lyon")):
        world.must("POST", "/v1/devices", {"name": name, "labels": {"site": site, "the.model": "amr2"}})
    assert [row["name"] for row in world.must("GET", "/v1/devices", label="site=lyon")["data"]] == ["a", "c"]
    assert len(world.must("GET", "/v1/devices", label="the.model=amr2")["data"]) == 3
    assert world.must("GET", "/v1/devices", label="site=paris")["data"] == []


def test_deployments_by_status_and_device(world: World) -> None:
    world.release()
    robot, other = world.device("a"), world.device("b")
    first = world.order("max: 1\n", "a")
    robot.settle()
    second = world.order("max: 1\n", "b")
    bad = world.order("max: 2\n", "a")
    robot.bad.add(bad)
    robot.settle()
    assert _ids(world, device="a") == [bad, first]
    assert _ids(world, status="failed") == [bad]
    assert _ids(world, status="deployed") == [first]
    assert _ids(world, status="queued", device=other.id) == [second]
    assert _ids(world, release="1.0.0") == [bad, second, first]


def test_the_same_schema_is_recorded_once(world: World) -> None:
    world.release("1.0.0")
    world.release("1.0.1")
    one, two = (world.must("GET", f"/v1/releases/1.0.{patch}")["config_types"][0] for patch in (0, 1))
    assert one["schema_id"] == two["schema_id"]
    assert world.must("GET", f"/v1/config-schemas/{one['schema_id']}")["definition"] == "opaque"


def test_enrolment_is_answered_again_to_who_asked_first(world: World) -> None:
    created = world.must("POST", "/v1/devices", {"name": "amr-1"})
    body = {"token": created["token"], "secret": SECRET, "agent_version": "0.1"}
    standing = world.ashore.shore.keyring.standing
    roots = standing.roots
    answer = world.must("POST", "/v1/enrolments", body)
    assert answer == {
        "device": {"id": created["id"], "name": "amr-1"},
        "mqtt": {
            "url": "mqtt://127.0.0.1:1883",
            "username": created["id"].lower(),
            "protocol": "3.1.1",
            "topic_root": "shallop/v1",
            "ca": None,
            "certificate": None,
        },
        "trust": {"roots": [roots.keys[0].text], "threshold": 1, "key_list": standing.envelope.decode()},
        "floor": {"epoch": 1, "generation": 0},
    }
    assert keys.open_key_list(standing.envelope, roots).active == {SIGNER.key.keyid: SIGNER.key}
    assert world.must("POST", "/v1/enrolments", body) == answer
    other = world.api("POST", "/v1/enrolments", {**body, "secret": SECRET.upper()})
    assert (other.status_code, other.json()["code"]) == (401, "token_invalid")
    hashes = passwords.read_passwords(world.ashore.shore.credentials.path)
    assert hashes.keys() == {"cloud", "monitor", created["id"].lower()}
    assert passwords.verify_password(SECRET, hashes[created["id"].lower()])
    actions = [row["action"] for row in world.must("GET", "/v1/devices/amr-1/history")["data"]]
    assert actions == ["device_created", "device_enrolled"]


def test_of_many_who_have_the_token_one_enrols(world: World) -> None:
    token = world.must("POST", "/v1/devices", {"name": "amr-1"})["token"]
    outcomes: Counter[int] = Counter()

    def enrol(number: int) -> None:
        body = {"token": token, "secret": f"{SECRET}-{number}"}
        outcomes[world.api("POST", "/v1/enrolments", body).status_code] += 1

    threads = [threading.Thread(target=enrol, args=(number,)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == {201: 1, 401: 39}


def test_a_renewed_token_replaces_the_old_one(world: World) -> None:
    old = world.must("POST", "/v1/devices", {"name": "amr-1"})["token"]
    new = world.must("POST", "/v1/devices/amr-1:renew-token")["token"]
    assert world.api("POST", "/v1/enrolments", {"token": old, "secret": SECRET}).status_code == 401
    assert world.api("POST", "/v1/enrolments", {"token": new, "secret": SECRET}).status_code == 201


def test_a_short_secret_burns_nothing(world: World) -> None:
    token = world.must("POST", "/v1/devices", {"name": "amr-1"})["token"]
    answer = world.api("POST", "/v1/enrolments", {"token": token, "secret": "short"})
    assert (answer.status_code, answer.json()["code"]) == (422, "secret_invalid")
    assert world.api("POST", "/v1/enrolments", {"token": token, "secret": SECRET}).status_code == 201


def test_the_whole_must_fit_the_broker(tmp_path: Path) -> None:
    with shore(tmp_path, Limits(config=50_000, envelope=500)) as ashore:
        world = object.__new__(World)
        world.ashore = ashore
        from fastapi.testclient import TestClient

        world.client = TestClient(ashore.app, headers={"Authorization": f"Bearer {TOKEN}"})
        world.release()
        world.device()
        for content, code in (("x" * 60_000, "config_too_large"), ("max: 1", "deployment_too_large")):
            body = {"device": "amr-1", "release": "1.0.0", "configs": [{"config_type": "motion", "content": content}]}
            answer = world.api("POST", "/v1/deployments", body)
            assert (answer.status_code, answer.json()["code"]) == (413, code)
        assert _ids(world) == []
        world.client.close()


def _ids(world: World, **query: str) -> list[str]:
    return [row["id"] for row in world.must("GET", "/v1/deployments", **query)["data"]]
