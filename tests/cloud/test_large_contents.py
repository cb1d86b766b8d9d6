"""Files that are binary or large: uploaded, ordered by reference, fetched by robots, compared, and carried by hand."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from typing import Any

import pytest
from cloud_world import Robot, World
from shallop_cloud.services import guesses, uploads
from shallop_cloud.store import contents
from shallop_cloud.testing.ashore import SIGNER
from shallop_protocol import desired

SECRET = "s" * 40
MAP = b"P5 2 2 255\n\x00\xff" + bytes(range(256)) * 9_000  # 2.3 MB: three chunks
RELEASE = {
    "version": "1.0.0",
    "config_types": [
        {"name": "map", "schema": "opaque", "format": "text", "path": "maps/site.pgm"},
        {"name": "motion", "schema": "opaque", "format": "yaml", "path": "motion.yaml", "required": False},
    ],
}


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


@pytest.fixture
def robot(world: World) -> Robot:
    world.must("POST", "/v1/releases", RELEASE)
    made = world.must("POST", "/v1/devices", {"name": "amr-1"})
    world.must("POST", "/v1/enrolments", {"token": made["token"], "secret": SECRET})
    return Robot(world, made["id"])


def upload(world: World, data: bytes, said: str | None = None) -> Any:
    return world.client.put(f"/v1/contents/{said or digest(data)}", content=data)


def order(world: World, data: bytes = MAP, motion: str = "max: 1\n") -> str:
    assert upload(world, data).status_code == 200
    configs = [{"config_type": "map", "content_digest": digest(data)}, {"config_type": "motion", "content": motion}]
    return world.must("POST", "/v1/deployments", {"device": "amr-1", "release": "1.0.0", "configs": configs})["id"]


def fetch(world: World, robot: Robot, what: str = digest(MAP), password: str = SECRET, **headers: str) -> Any:
    world.client.headers.pop("Authorization", None)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return world.client.get(f"/v1/device/contents/{what}", auth=(robot.id.lower(), password), headers=named)


def test_a_map_travels_by_reference_and_its_robot_alone_gets_it(world: World, robot: Robot) -> None:
    key = order(world)
    sent = desired.open_desired(world.published(robot.id) or b"", {SIGNER.key.keyid: SIGNER.key}, robot.id.lower())
    assert sent.deployment is not None
    assert [(each.path, each.content, each.size) for each in sent.deployment.instances] == [
        ("maps/site.pgm", None, len(MAP)),
        ("motion.yaml", "max: 1\n", 7),
    ]
    instance = world.must("GET", f"/v1/deployments/{key}")["config_instances"][0]
    assert world.api("GET", f"/v1/config-instances/{instance['id']}/content").content == MAP
    other = world.must("POST", "/v1/devices", {"name": "amr-2"})
    world.must("POST", "/v1/enrolments", {"token": other["token"], "secret": SECRET})
    assert fetch(world, robot).content == MAP
    answer = fetch(world, Robot(world, other["id"]))
    assert (answer.status_code, answer.json()["code"]) == (404, "content_not_found")


def test_ranges(world: World, robot: Robot) -> None:
    order(world)
    tag = f'"{digest(MAP)}"'
    for asked, status, found in (
        ("bytes=0-9", 206, MAP[:10]),
        ("bytes=1048570-1048585", 206, MAP[1048570:1048586]),
        (f"bytes={len(MAP) - 5}-", 206, MAP[-5:]),
        ("bytes=-7", 206, MAP[-7:]),
        ("bytes=5-99999999", 206, MAP[5:]),
        ("bytes=9-5", 200, MAP),
        ("bytes=0-1,4-5", 200, MAP),
        ("lines=1-2", 200, MAP),
        (f"bytes={len(MAP)}-", 416, None),
        ("bytes=-0", 416, None),
    ):
        answer = fetch(world, robot, Range=asked, If_Range=tag)
        assert answer.status_code == status, asked
        if found is not None:
            assert (answer.content == found, answer.headers["ETag"]) == (True, tag)
        else:
            assert answer.headers["Content-Range"] == f"bytes */{len(MAP)}"
    assert fetch(world, robot, Range="bytes=5-9").headers["Content-Range"] == f"bytes 5-9/{len(MAP)}"
    assert fetch(world, robot, Range="bytes=5-9", If_Range='"sha256:other"').content == MAP
    head = world.client.head(f"/v1/device/contents/{digest(MAP)}", auth=(robot.id.lower(), SECRET))
    assert (head.content, head.headers["Content-Length"]) == (b"", str(len(MAP)))


def test_who_is_no_device_learns_nothing(world: World, robot: Robot) -> None:
    order(world)
    token = world.client.headers["Authorization"]
    answers = [
        fetch(world, robot, password="wrong" * 8),
        fetch(world, Robot(world, "DEV-0000000000000000")),
        fetch(world, Robot(world, "nobody\x00")),
        world.client.get(f"/v1/device/contents/{digest(MAP)}"),
        world.client.get(f"/v1/device/contents/{digest(MAP)}", headers={"Authorization": token}),
        world.client.get(f"/v1/device/contents/{digest(MAP)}", headers={"Authorization": "Basic !!"}),
    ]
    for answer in answers:
        assert (answer.status_code, answer.json()["code"]) == (401, "device_unknown")
        assert answer.headers["WWW-Authenticate"] == 'Basic realm="shallop"'
    for _ in range(guesses.MOST):
        last = fetch(world, robot, password="wrong" * 8)
    assert (last.status_code, last.json()["code"], last.headers["Retry-After"]) == (429, "too_many_failures", "60")
    assert fetch(world, robot).content == MAP
    world.client.headers["Authorization"] = token
    world.must("POST", "/v1/devices/amr-1:archive")
    world.ashore.app.state.guesses = guesses.Guesses()
    assert fetch(world, robot).status_code == 401


def test_uploads_are_checked_idempotent_and_bounded(world: World) -> None:
    assert upload(world, MAP).json() == {"digest": digest(MAP), "size": len(MAP), "text": False}
    assert upload(world, MAP).status_code == 200
    text = ("ä" * 900_000).encode()
    assert upload(world, text).json()["text"] is True
    assert world.must("GET", f"/v1/contents/{digest(text)}") == {
        "digest": digest(text),
        "size": len(text),
        "text": True,
    }
    for said, code in ((digest(b"other"), "digest_differs"), ("md5:00", "digest_invalid")):
        answer = upload(world, b"some", said)
        assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert world.api("GET", f"/v1/contents/{digest(b'other')}").status_code == 404
    limit = world.ashore.shore.limits.content
    answer = world.api("GET", f"/v1/contents/{digest(b'other')}", size=limit + 1)
    assert (answer.status_code, answer.json()["code"]) == (413, "content_too_large")
    assert "--content-limit" in answer.json()["detail"]


def test_what_no_config_names_is_dropped_after_a_day(
    world: World, robot: Robot, monkeypatch: pytest.MonkeyPatch
) -> None:
    order(world)
    upload(world, b"\xff never used")
    monkeypatch.setattr(uploads, "KEPT", -uploads.KEPT)
    upload(world, b"another")
    with world.ashore.shore.database.read() as connection:
        kept = contents.find(connection, [digest(MAP), digest(b"\xff never used"), digest(b"another")])
    assert set(kept) == {digest(MAP), digest(b"another")}


def test_an_upload_that_was_cut_short_is_no_content_and_can_be_repeated(world: World, robot: Robot) -> None:
    shore = world.ashore.shore
    with shore.database.write() as connection:
        contents.begin_upload(connection, contents.Content(digest(MAP), len(MAP), False), shore.now())
        contents.add_chunks(connection, digest(MAP), 0, MAP[: contents.CHUNK])
    assert world.api("GET", f"/v1/contents/{digest(MAP)}").status_code == 404
    configs = [{"config_type": "map", "content_digest": digest(MAP)}]
    body = {"device": "amr-1", "release": "1.0.0", "configs": configs}
    answer = world.api("POST", "/v1/deployments", body)
    assert (answer.status_code, answer.json()["code"]) == (422, "content_unknown")
    order(world)
    assert fetch(world, robot).content == MAP


def test_a_config_has_one_content(world: World, robot: Robot) -> None:
    for given in ({}, {"content": "a", "content_base64": "YQ=="}, {"content": None}, {"content_base64": "?"}):
        body = {"device": "amr-1", "release": "1.0.0", "configs": [{"config_type": "map", **given}]}
        assert world.api("POST", "/v1/deployments", body).json()["code"] == "request_invalid", given
    configs = [{"config_type": "map", "content_base64": "/wA="}]
    made = world.must("POST", "/v1/deployments", {**body, "configs": configs})
    assert made["config_instances"][0]["digest"] == digest(b"\xff\x00")
    answer = world.api("POST", "/v1/deployments", {**body, "configs": [{**configs[0], "config_type": "motion"}]})
    assert answer.json()["code"] == "config_invalid"
    assert "not UTF-8 text" in answer.text


def test_binary_files_are_compared_by_size_and_digest(world: World, robot: Robot) -> None:
    first = order(world)
    second = order(world, MAP + b"\xff", "max: 2\n")
    files = world.must("GET", "/v1/diff", before=first, after=second)["files"]
    assert [each["kind"] for each in files] == ["changed", "changed"]
    assert files[0]["text"] == f"binary, 2.3 MB -> 2.3 MB, {digest(MAP)} -> {digest(MAP + bytes([255]))}\n"
    assert (files[0]["before"]["size"], files[0]["changes"], files[1]["changes"][0]["after"]) == (len(MAP), [], 2)
    answer = world.api(
        "POST", f"/v1/deployments/{first}:patch", {"set": [{"config_type": "map", "pointer": "/a", "value": 1}]}
    )
    assert (answer.status_code, "give the whole file" in answer.text) == (422, True)
    patched = world.must(
        "POST", f"/v1/deployments/{first}:patch", {"set": [{"config_type": "motion", "pointer": "/max", "value": 3}]}
    )
    assert patched["config_instances"][0]["digest"] == digest(MAP)


def test_a_bundle_has_the_order_and_all_that_it_refers_to(world: World, robot: Robot) -> None:
    assert world.api("GET", "/v1/devices/amr-1/bundle").json()["code"] == "nothing_ordered"
    key = order(world)
    answer = world.api("GET", "/v1/devices/amr-1/bundle")
    assert answer.headers["Content-Length"] == str(len(answer.content))
    assert 'filename="amr-1-1-1.shallop-bundle"' in answer.headers["Content-Disposition"]
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as tar:
        files = {each.name: (tar.extractfile(each) or io.BytesIO()).read() for each in tar}
    assert files.pop("keys.json") == world.ashore.shore.keyring.standing.envelope
    sent = desired.open_desired(files.pop("desired.json"), {SIGNER.key.keyid: SIGNER.key}, robot.id.lower())
    assert sent.deployment is not None
    assert (sent.deployment.id, sent.confirm_s) == (key, None)
    assert files == {f"contents/{digest(MAP)[7:]}": MAP}


def test_a_report_that_is_carried_counts_as_one_that_was_heard(world: World, robot: Robot) -> None:
    key = order(world)
    robot.obey()
    report = robot.report().to_bytes()
    for news in (True, False):
        answer = world.client.post(
            "/v1/devices/amr-1/report", content=report, headers={"Content-Type": "application/json"}
        )
        assert answer.json() == {"device_id": robot.id, "news": news}
    assert world.statuses(key)[3] == "deployed"
    history = world.must("GET", "/v1/devices/amr-1/history")["data"]
    assert [(row["actor"], row["action"]) for row in history][-1] == ("admin", "report_brought")
    foreign = {**json.loads(report), "device": "dev-0000000000000000", "seq": 9}
    for body in (foreign, {}, {"v": 2}):
        answer = world.api("POST", "/v1/devices/amr-1/report", body)
        assert (answer.status_code, answer.json()["code"]) == (422, "report_invalid")


@pytest.fixture(autouse=True)
def _authorized(world: World) -> None:
    """``fetch`` takes the operator's token off for itself; whoever comes next has it again."""
    token = world.client.headers["Authorization"]
    send = world.client.request

    def request(method: str, url: str, **more: Any) -> Any:
        if not str(url).startswith("/v1/device/"):
            world.client.headers["Authorization"] = token
        return send(method, url, **more)

    world.client.request = request  # pyright: ignore[reportAttributeAccessIssue]
