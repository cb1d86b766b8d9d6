"""What can be seen through the door."""

from __future__ import annotations

import door_world
from door_world import eventually
from shallop_device import inbox
from shallop_protocol import digests


def test_who_this_is(local):
    shown = local.ask("GET", "/v1/device").json
    assert (shown["id"], shown["name"], shown["online"], shown["online_since"]) == (
        "DEV-0123456789ABCDEF",
        "amr-1",
        False,
        None,
    )
    local.sleep(3)
    local.connect()
    shown = local.ask("GET", "/v1/device").json
    assert (shown["online"], shown["online_since"]) == (True, "2026-01-01T00:00:03Z")


def test_whether_it_has_the_newest_order(local):
    local.connect()
    asking = local.do(lambda: local.robot.report)
    local.items.put(inbox.Echoed(local.shore.echo(asking)))
    fresh = {"stale": False, "code": None, "message": None, "proven_at": "2026-01-01T00:00:00Z"}
    assert local.ask("GET", "/v1/status").json["freshness"] == fresh

    local.sleep(16 * 3600)
    assert local.ask("GET", "/v1/status").json["freshness"] == {
        "stale": True,
        "code": "unanswered",
        "message": "for 16.0 hours the cloud has not answered whether this robot has its newest order",
        "proven_at": "2026-01-01T00:00:00Z",
    }


def test_nothing_in_force(local):
    for path in ("/v1/deployment", "/v1/deployment/files", "/v1/deployment/files/f"):
        answer = local.ask("GET", path)
        assert (answer.status, answer.json["code"]) == (404, "nothing_in_force")
        assert answer.headers["content-type"] == "application/problem+json"


def test_the_deployment_in_force(local):
    manifest = local.order({"nav2/params.yaml": "a: 1\n", "b": ""})
    shown = local.ask("GET", "/v1/deployment").json
    assert shown == {
        "id": manifest.id,
        "release": "1.0.0",
        "digest": manifest.digest,
        "activity": "deployed",
        "since": "2026-01-01T00:00:00Z",
        "files": [
            {"path": "b", "mode": "0644", "size": 0, "digest": digests.of_bytes(b""), "slot": "default"},
            {
                "path": "nav2/params.yaml",
                "mode": "0644",
                "size": 5,
                "digest": digests.of_bytes(b"a: 1\n"),
                "slot": "default",
            },
        ],
    }


def test_a_file_is_byte_for_byte(local):
    manifest = local.order({"maps/façade 1.yaml": "é: 1.0\r\n"})
    answer = local.ask("GET", "/v1/deployment/files/maps/fa%C3%A7ade%201.yaml")
    assert answer.body == "é: 1.0\r\n".encode()
    assert answer.headers["etag"] == f'"{digests.of_bytes(answer.body)}"'
    assert answer.headers["shallop-deployment"] == manifest.id

    head = local.ask("HEAD", "/v1/deployment/files/maps/fa%C3%A7ade%201.yaml")
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", "9")
    same = local.ask(
        "GET", "/v1/deployment/files/maps/fa%C3%A7ade%201.yaml", None, {"If-None-Match": head.headers["etag"]}
    )
    assert (same.status, same.body) == (304, b"")


def test_no_path_leads_out(local):
    (local.robot.root / "secret").write_text("x")
    local.order({"dir/f": "1"})
    (local.robot.root / "current" / "link").symlink_to("/etc/passwd")
    for path in (
        "../../secret",
        "..%2f..%2fsecret",
        "%2e%2e/%2e%2e/secret",
        "/etc/passwd",
        "link",
        "dir",
        "dir/f/",
        "",
        "%00",
    ):
        answer = local.ask("GET", f"/v1/deployment/files/{path}")
        assert answer.status == 404, path
        assert b"root:" not in answer.body


def test_a_fallback_is_shown_although_its_manifest_is_gone():
    with door_world.local(door_world.ACKED) as local:
        first = local.order({"f": "1"})
        local.ask("POST", "/v1/acks", {"name": "nav2", "deployment": first.id})
        second = local.order({"f": "2"}, fallback=first.id)
        local.ask("POST", "/v1/acks", {"name": "nav2", "deployment": second.id, "ok": False})
        eventually(lambda: local.do(local.robot.visible) == {"f": "1"})

        shown = local.ask("GET", "/v1/deployment").json

    assert (shown["id"], shown["release"], shown["digest"]) == (first.id, None, first.digest)
    assert shown["files"] == [{"path": "f", "mode": "0644", "size": 1, "digest": digests.of_bytes(b"1"), "slot": None}]


def test_a_deployment_can_be_read_to_its_end_after_another_took_its_place(local):
    first = local.order({"f": "1"})
    local.order({"f": "2"}, fallback=first.id)
    path = f"/v1/deployment/files/f?deployment={first.id}"
    assert local.ask("GET", path).body == b"1"
    assert local.ask("GET", "/v1/deployment/files/f").body == b"2"
    assert [each["path"] for each in local.ask("GET", f"/v1/deployment/files?deployment={first.id}").json["files"]] == [
        "f"
    ]

    local.order({"f": "3"})
    local.do(local.robot.settle)
    assert local.ask("GET", path).json["code"] == "deployment_not_found"
    assert local.ask("GET", "/v1/deployment/files?deployment=..").json["code"] == "deployment_not_found"


def test_what_a_route_does_not_know_is_refused(local):
    assert local.ask("GET", "/v1/status?verbose=1").json["code"] == "query_invalid"
    assert local.ask("GET", "/v2/status").json["code"] == "route_not_found"
    answer = local.ask("POST", "/v1/holds/x")
    assert (answer.status, answer.json["code"], answer.headers["allow"]) == (405, "method_not_allowed", "DELETE, PUT")


def test_the_agent_is_well(local):
    assert local.ask("GET", "/v1/health").json == {"status": "ok"}
