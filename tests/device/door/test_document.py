"""The OpenAPI document: it is the committed one, and every answer of every route is as it says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import door_world
import jsonschema
import pytest
from door_world import Answer, eventually
from shallop_device.door import document, problems, routes

COMMITTED = Path(__file__).parents[3] / "docs" / "local-door.openapi.json"
COMMAND = "uv run python -m shallop_device.door.document > docs/local-door.openapi.json"


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    return document.make()


def test_it_is_the_committed_one(made):
    assert json.loads(COMMITTED.read_text()) == made, f"make it anew: {COMMAND}"


def test_every_reference_leads_somewhere(made):
    references = re.findall(r'"#/components/schemas/(\w+)"', json.dumps(made))
    assert set(references) <= set(made["components"]["schemas"])
    ids = [operation["operationId"] for path in made["paths"].values() for operation in path.values()]
    assert len(ids) == len(set(ids)) == len(routes.ROUTES)


def test_every_code_that_is_raised_is_named(made):
    package = Path(document.__file__).parent
    source = "".join(path.read_text() for path in package.glob("*.py") if path.name != "client.py")
    raised = set(re.findall(r'Problem\(\s*\d{3}, "(\w+)"', source)) | set(re.findall(r'\d{3}: "(\w+_\w+)"', source))
    named = set(re.findall(r"`(\w+)`", json.dumps(made["paths"])))
    assert len(raised) > 15
    assert raised - {"route_not_found", "version_not_supported"} <= named, "those two are answers of no route"


class Asked:
    """Asks, and holds every answer against the document."""

    def __init__(self, local: door_world.Local, made: dict[str, Any]) -> None:
        self.local = local
        self.made = made
        self.seen: set[tuple[str, int]] = set()

    def ask(self, method: str, path: str, status: int, body: object = None, **headers: str) -> Answer:
        answer = self.local.ask(method, path, body, {name.replace("_", "-"): text for name, text in headers.items()})
        assert answer.status == status, answer
        route, _ = routes.find(method, path.partition("?")[0])
        said = self.made["paths"][route.path][route.method.lower()]["responses"][str(status)]
        self.seen.add((f"{route.method} {route.path}", status))
        content = said.get("content")
        if content is None:
            assert answer.body == b""
            return answer
        [(media_type, kind)] = content.items()
        assert answer.headers["content-type"] == media_type
        if media_type in (routes.JSON, problems.MEDIA_TYPE):
            # References in the document are from its root.
            schema = {**kind["schema"], "components": self.made["components"]}
            jsonschema.Draft202012Validator(schema).validate(answer.json)
        if media_type == problems.MEDIA_TYPE:
            assert answer.json["code"] in re.findall(r"`(\w+)`", said["description"])
        for name in said.get("headers", ()):
            assert name.lower() in answer.headers
        return answer


def test_every_answer_is_as_the_document_says(made):
    with door_world.local(door_world.ACKED) as local:
        at = Asked(local, made)
        for path in ("/v1/deployment", "/v1/deployment/files", "/v1/deployment/files/f"):
            at.ask("GET", path, 404)
        first = local.order({"f": "1"})
        local.ask("POST", "/v1/acks", {"name": "nav2", "deployment": first.id})
        eventually(lambda: local.ask("GET", "/v1/deployment").json["activity"] == "deployed")
        second = local.order({"f": "2"}, fallback=first.id)
        at.ask("PUT", "/v1/holds/dock", 201, {"expires_in_s": 5, "reason": "docking", "while_pid": True})
        at.ask("PUT", "/v1/holds/dock", 200, {"expires_in_s": 5})
        at.ask("PUT", "/v1/holds/dock", 422, {"expires_in_s": 3601})
        at.ask("PUT", "/v1/holds/dock", 400, b"{")
        at.ask("PUT", "/v1/holds/dock", 413, b"x" * 70_000)
        for path in ("/v1/device", "/v1/deployment", "/v1/deployment/files", "/v1/status", "/v1/health", "/v1/holds"):
            at.ask("GET", path, 200)
            at.ask("GET", f"{path}?x=1", 400)
        at.ask("GET", "/v1/openapi.json", 200)
        tag = at.ask("GET", "/v1/deployment/files/f", 200).headers["etag"]
        at.ask("GET", "/v1/deployment/files/f", 304, If_None_Match=tag)
        at.ask("GET", "/v1/deployment/files/g", 404)
        at.ask("POST", "/v1/acks", 422, {"name": "nav2"})
        at.ask("POST", "/v1/acks", 200, {"name": "nav2", "deployment": second.id, "ok": False, "message": "no"})
        at.ask("POST", "/v1/acks", 409, {"name": "nav2", "deployment": second.id})
        at.ask("POST", "/v1/retry", 204)
        at.ask("DELETE", "/v1/holds/dock", 204)
        at.ask("DELETE", "/v1/holds/dock", 404)
        eventually(lambda: local.ask("GET", "/v1/deployment").json["id"] == first.id)
        at.ask("GET", "/v1/deployment", 200)
        envelope = local.shore.seal(local.shore.order(first))
        at.ask("POST", "/v1/orders", 200, envelope)
        at.ask("POST", "/v1/orders", 409, envelope.replace(b"payloadType", b"payloadTypo"))
        at.ask("POST", "/v1/keys", 200, local.shore.rotate())
        at.ask("POST", "/v1/keys", 409, envelope)
        with local.raw() as stream:
            stream.sendall(b"GET /v1/events HTTP/1.1\r\n\r\n")
            assert b"Content-Type: text/event-stream" in stream.recv(65_536)
            at.seen.add(("GET /v1/events", 200))

    wanted = {(f"{route.method} {route.path}", status) for route in routes.ROUTES for status in route.gives}
    assert wanted <= at.seen
