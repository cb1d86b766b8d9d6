"""What holds for every route: versions, cursors, what is unknown, and the edge."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from cloud_world import World
from shallop_cloud.api import edge, etags, models
from structlog.testing import capture_logs


@pytest.fixture
def database_url() -> None:
    """SQLite: nothing here depends on the kind of database."""


JSON = {"Content-Type": "application/json"}


@pytest.fixture
def ordered(world: World) -> World:
    """A shore with a device that has a deployment."""
    world.release()
    world.device()
    world.order("max: 1\n")
    return world


def _get(world: World, path: str, **headers: str) -> Any:
    return world.client.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})


def _code(answer: Any) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, answer.json()["code"]


# versions


def test_what_may_change_has_an_etag_that_changes_with_it(world: World) -> None:
    made = world.must("POST", "/v1/tokens", {"name": "ci", "role": "viewer"})
    first = _get(world, "/v1/tokens/ci")
    tag = first.headers["etag"]
    assert re.fullmatch(r'"[0-9a-f]{32}"', tag)
    for seen in (tag, f'"x", {tag}', f"W/{tag}", "*"):
        again = _get(world, "/v1/tokens/ci", If_None_Match=seen)
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    assert _get(world, "/v1/tokens/ci", If_None_Match='"x"').status_code == 200
    world.must("POST", f"/v1/tokens/{made['id']}:revoke")
    changed = _get(world, "/v1/tokens/ci", If_None_Match=tag)
    assert (changed.status_code, changed.headers["etag"] == tag) == (200, False)


def test_what_never_changes_may_be_kept_for_ever(ordered: World) -> None:
    instance = ordered.must("GET", "/v1/deployments")["data"][0]["config_instances"][0]
    release = ordered.must("GET", "/v1/releases/1.0.0")
    schema = release["config_types"][0]
    for path, text in (
        ("/v1/releases/1.0.0", release["id"]),
        (f"/v1/config-instances/{instance['id']}", instance["id"]),
        (f"/v1/config-instances/{instance['id']}/content", instance["digest"]),
        (f"/v1/config-schemas/{schema['schema_id']}", schema["schema_digest"]),
    ):
        answer = _get(ordered, path)
        assert (answer.headers["etag"], answer.headers["cache-control"]) == (f'"{text}"', etags.FOR_EVER)
        seen = _get(ordered, path, If_None_Match=f'"{text}"')
        assert (seen.status_code, seen.content) == (304, b"")


def test_an_etag_does_not_count_seconds() -> None:
    class Thing(models.Shown):
        name: str
        age_s: float
        parts: list[dict[str, float]]

    one, two = (etags.of(Thing(name="a", age_s=age, parts=[{"last_age_s": age}])) for age in (1.0, 2.0))
    assert one == two
    assert etags.of(Thing(name="b", age_s=1.0, parts=[])) != one


def test_a_precondition() -> None:
    from shallop_cloud import errors

    shown = models.Reason(code="a", message="b")
    for fits in (None, "*", etags.of(shown), f'"x", {etags.of(shown)}'):
        etags.Precondition(fits).check(shown)
    for other in ('"x"', "", etags.of(shown).strip('"')):
        with pytest.raises(errors.Problem) as raised:
            etags.Precondition(other).check(shown)
        assert (raised.value.status, raised.value.code) == (412, "precondition_failed")


# cursors


def test_a_cursor_belongs_to_its_list_and_its_filters(world: World) -> None:
    for name in ("a", "b", "c"):
        world.device(name)
    cursor = world.must("GET", "/v1/history", limit=1, actor="admin")["next_cursor"]
    assert world.api("GET", "/v1/history", actor="admin", limit=2, cursor=cursor).status_code == 200
    for path, query in (
        ("/v1/history", {}),
        ("/v1/history", {"actor": "other"}),
        ("/v1/history", {"actor": "admin", "device": "a"}),
        ("/v1/devices", {"label": "a=b"}),
        ("/v1/tokens", {}),
        ("/v1/devices/a/history", {}),
    ):
        assert _code(world.api("GET", path, cursor=cursor, **query)) == (400, "cursor_invalid")


def test_history_is_filtered_and_newest_first(world: World) -> None:
    for name in ("a", "b", "c"):
        world.device(name)
    world.must("POST", "/v1/devices/b:renew-token")
    since = world.must("GET", "/v1/history", limit=1)["data"][0]["at"]

    def actions(**query: str) -> list[str]:
        return [each["action"] for each in world.must("GET", "/v1/history", **query)["data"]]

    assert actions() == ["token_renewed", *3 * ["device_created"]]
    assert actions(device="b") == ["token_renewed", "device_created"]
    assert actions(action="token_renewed") == actions(since=since) == ["token_renewed"]
    assert actions(actor="nobody") == []
    entry = world.must("GET", "/v1/history", limit=1)["data"][0]
    verdict = world.must("GET", "/v1/history:verify", head=entry["hash"])
    assert verdict == {"whole": True, "entries": 4, "head": entry["hash"], "broken_at": None, "reason": ""}
    assert world.must("GET", "/v1/history:verify", head=64 * "0")["whole"] is True
    assert world.must("GET", "/v1/history:verify", head=64 * "a")["whole"] is False


@pytest.mark.parametrize("since", ["2026-03-01", "2026-03-01T12:00:00", "0", "yesterday", "2026-13-01T00:00:00Z",
                                   "0001-01-01T00:00:00+23:59", "2026-03-01T12:00:00 01:00"])  # fmt: skip
def test_a_time_without_its_offset_is_none(world: World, since: str) -> None:
    assert _code(world.api("GET", "/v1/history", since=since)) == (422, "request_invalid")


# what is unknown


@pytest.mark.parametrize(
    ("method", "path", "body", "hint"),
    [
        ("GET", "/v1/devices?lable=a=b", None, "did you mean 'label'?"),
        ("GET", "/v1/health?x=1", None, "'x'"),
        ("GET", "/v1/devices?limit=1&limit=2", None, "more than once"),
        ("POST", "/v1/devices?dry=1", {"name": "a"}, "'dry'"),
        ("POST", "/v1/devices", {"name": "a", "lables": {}}, "did you mean 'labels'?"),
        ("POST", "/v1/devices/a:renew-token", {"force": True}, "takes no body"),
        ("POST", "/v1/enrolments", {"token": "a", "secret": "b", "tokn": ""}, "did you mean 'token'?"),
    ],
)
def test_what_a_route_does_not_know_is_refused(world: World, method: str, path: str, body: object, hint: str) -> None:
    world.device("a")
    answer = world.client.request(method, path, json=body)
    assert _code(answer) == (422, "request_invalid")
    assert hint in json.dumps(answer.json(), ensure_ascii=False)


# the edge


def test_a_request_keeps_the_id_that_it_came_with(world: World) -> None:
    assert _get(world, "/v1/health", X_Request_ID="my-id.1").headers["x-request-id"] == "my-id.1"
    for bad in ("", "a b", 65 * "x", "a\x7f", "é"):
        headers = {b"x-request-id": bad.encode()}
        assert world.client.get("/v1/health", headers=headers).headers["x-request-id"].startswith("req-")


def test_a_failure_is_logged_under_the_id_and_says_nothing_else(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("a secret of the server's")

    monkeypatch.setattr("shallop_cloud.store.fleet.count", fail)
    with capture_logs() as logs:
        answer = _get(world, "/v1/summary", X_Request_ID="mine")
    assert _code(answer) == (500, "internal_error")
    assert (answer.json()["request_id"], "secret" in answer.text) == ("mine", False)
    assert [(line["request_id"], line["log_level"]) for line in logs if line["log_level"] != "debug"] == [
        ("mine", "error")
    ]


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("/v1/devices", "GET, HEAD, OPTIONS, POST"),
        ("/v1/devices/a:renew-token", "OPTIONS, POST"),
        ("/v1/openapi.json", "GET, HEAD, OPTIONS"),
    ],
)
def test_which_methods_a_path_takes(world: World, path: str, allow: str) -> None:
    for method in ("OPTIONS", "DELETE", "PUT", "TRACE"):
        answer = world.client.request(method, path)
        assert (answer.status_code, answer.headers["allow"]) == (204 if method == "OPTIONS" else 405, allow)
        if method != "OPTIONS":
            assert _code(answer) == (405, "method_not_allowed")
    assert _code(world.client.options("/v1/nothing")) == (404, "route_not_found")


def test_head_is_get_without_the_body(world: World) -> None:
    got, head = world.client.get("/v1/openapi.json"), world.client.head("/v1/openapi.json")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == got.headers["content-length"]
    assert world.client.head("/v1/devices/nobody").status_code == 404


@pytest.mark.parametrize("kind", [None, "text/plain", "application/x-www-form-urlencoded", "application/jsonx"])
def test_a_body_says_that_it_is_json(world: World, kind: str | None) -> None:
    headers = {"Content-Type": kind} if kind else {}
    answer = world.client.post("/v1/devices", content=b'{"name": "a"}', headers=headers)
    assert _code(answer) == (415, "content_type_unsupported")
    named = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert world.client.post("/v1/devices", content=b'{"name": "a"}', headers=named).status_code == 201


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"{", (400, "json_invalid")),
        (b"\xff", (400, "json_invalid")),
        (b"[" * 100_000, (400, "json_invalid")),
        (b'{"name": "\\ud800"}', (422, "request_invalid")),
        (b'{"name": "a", "\\ud800": 1}', (422, "request_invalid")),
        (b'{"name": "a\\u0000"}', (422, "name_invalid")),
        (b"1" * 5_000, (400, "json_invalid")),
        (b" " * (edge.MAX_BODY + 1), (413, "body_too_large")),
    ],
)
def test_bodies_that_are_none(world: World, body: bytes, expected: tuple[int, str]) -> None:
    assert _code(world.client.post("/v1/devices", content=body, headers=JSON)) == expected


@pytest.mark.parametrize(
    ("path", "headers", "expected"),
    [
        ("/v1/devices?label=" + "x" * edge.MAX_TARGET, {}, (414, "url_too_long")),
        ("/v1/devices", {"X-Much": "x" * edge.MAX_HEADERS}, (431, "headers_too_large")),
        ("/v1/devices/a%00b", {}, (400, "url_invalid")),
        ("/v1/devices?label=a%3D%00", {}, (400, "url_invalid")),
        ("/v1/devices/a:b", {}, (404, "route_not_found")),
        ("/v1/devices/%FF", {}, (404, "device_not_found")),
    ],
)
def test_urls_and_headers_have_bounds(
    world: World, path: str, headers: dict[str, str], expected: tuple[int, str]
) -> None:
    assert _code(world.client.get(path, headers=headers)) == expected


# the document


def test_the_document_describes_what_is_served(world: World) -> None:
    from shallop_cloud.api import routes

    document = world.must("GET", "/v1/openapi.json")
    operations = [
        (method.upper(), path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    served = {(method, route.path_format) for route in routes.all_routes() for method in route.methods}
    assert {(method, path) for method, path, _ in operations} == served
    ids = [operation["operationId"] for *_, operation in operations]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", each) for each in ids)
    for method, path, operation in operations:
        assert operation["description"], path
        problems = {status for status in operation["responses"] if status >= "400"}
        assert {"400", "413", "415", "422", "500"} <= problems
        assert ("401" in problems) == bool(operation.get("security")) or "enrolments" in path
        parameters = {each["name"] for each in operation.get("parameters", ())}
        guarded_post = method == "POST" and {"token": []} in operation.get("security", ())
        assert ("Idempotency-Key" in parameters) == guarded_post, path
    for response in document["components"]["responses"].values():
        assert list(response["content"]) == ["application/problem+json"]
        assert "X-Request-ID" in response["headers"]
