"""A fleet that is worth attacking, and everybody who might: what the tests named after OWASP's list have in common.

OWASP API Security Top 10 (2023): https://owasp.org/API-Security/editions/2023/en/0x11-t10/
"""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import datetime
import hashlib
import json
import urllib.parse
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cloud_world import RELEASE, Robot, World
from shallop_cloud.store import tokens
from shallop_cloud.store.tokens import New, Role
from shallop_cloud.testing.ashore import TOKEN

SECRET = "a robot's own choice of thirty-two"
MINE, OTHERS = b"map of my own\n", b"map of another\n"
ROLE_OF: dict[str, str | None] = {
    "health": None,
    "openapi": None,
    "enrol": None,
    "enrol_many": None,
    "fetch_content": None,
    "summary": "viewer",
    "whoami": "viewer",
    "create_token": "admin",
    "list_tokens": "admin",
    "show_token": "admin",
    "revoke_token": "admin",
    "create_release": "operator",
    "list_releases": "viewer",
    "show_release": "viewer",
    "deploy_staged": "operator",
    "archive_staged": "operator",
    "show_config_schema": "viewer",
    "create_device": "admin",
    "create_devices": "admin",
    "list_devices": "viewer",
    "show_device": "viewer",
    "change_device": "operator",
    "archive_device": "admin",
    "restore_device": "admin",
    "renew_token": "admin",
    "roll_back": "operator",
    "show_why": "viewer",
    "download_bundle": "operator",
    "bring_report": "operator",
    "device_history": "viewer",
    "create_deployment": "operator",
    "create_deployments": "operator",
    "list_deployments": "viewer",
    "show_deployment": "viewer",
    "deploy": "operator",
    "deploy_many": "operator",
    "archive": "operator",
    "archive_many": "operator",
    "show_review": "viewer",
    "restage": "operator",
    "show_merge": "viewer",
    "merge": "operator",
    "patch": "operator",
    "deployment_history": "viewer",
    "show_diff_of": "viewer",
    "show_config_instance": "viewer",
    "config_instance_content": "viewer",
    "upload_content": "operator",
    "show_content": "viewer",
    "list_history": "viewer",
    "verify_history": "viewer",
    "follow_events": "viewer",
    "show_keys": "viewer",
    "generate_key": "admin",
    "publish_keys": "admin",
    "revoke_device": "admin",
    "authenticate": "broker",
    "authorize": "broker",
}
"""Who may do what, by operation; the broker's token is no role, and opens nothing else. Written down here a second
time, so that no route changes hands unseen.
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """Of a problem; empty for what is none."""
        is_problem = self.headers.get("content-type") == "application/problem+json"
        return self.json["code"] if is_problem and self.body else ""


@dataclasses.dataclass(frozen=True, slots=True)
class Operation:
    """One of the document's."""

    id: str
    method: str
    path: str
    document: dict[str, Any]

    @property
    def body(self) -> dict[str, Any] | None:
        """The schema of its JSON body."""
        content = self.document.get("requestBody", {}).get("content", {})
        return content.get("application/json", {}).get("schema")


class Fleet:
    """A shore with two robots, each with a map of its own that travels by reference; and the API, asked directly."""

    def __init__(self, directory: Path) -> None:
        self.world = World(directory)
        self.app = self.world.ashore.app
        self._loop = asyncio.new_event_loop()
        self.world.must("POST", "/v1/releases", RELEASE)
        self.mine, self.other = self._robot("mine", MINE), self._robot("other", OTHERS)
        self.document: dict[str, Any] = self.ask("GET", "/v1/openapi.json").json
        self.credentials = self._credentials()

    def close(self) -> None:
        self._loop.close()
        self.world.close()

    def _robot(self, name: str, content: bytes) -> Robot:
        made = self.world.must("POST", "/v1/devices", {"name": name})
        self.world.must("POST", "/v1/enrolments", {"token": made["token"], "secret": secret(name)})
        put = self.world.client.put(f"/v1/contents/{digest(content)}", content=content)
        assert put.status_code == 200
        config = {"config_type": "motion", "content_digest": digest(content)}
        body = {"device": name, "release": "1.0.0", "configs": [config]}
        self.world.must("POST", "/v1/deployments", body)
        return Robot(self.world, made["id"])

    def _credentials(self) -> dict[str, str | None]:
        """Values of ``Authorization``, by whose they are."""
        past = self.world.ashore.shore.now() - datetime.timedelta(seconds=1)
        return {
            "nobody": None,
            "garbage": "Bearer \xff\x01",
            "no scheme": "shallop-admin",
            "expired": f"Bearer {self._token('expired', 'admin', expires_at=past)}",
            "revoked": f"Bearer {self._token('revoked', 'admin', revoked_at=past)}",
            "viewer": f"Bearer {self._token('a-viewer', 'viewer')}",
            "operator": f"Bearer {self._token('an-operator', 'operator')}",
            "admin": f"Bearer {self._token('an-admin', 'admin')}",
            "device": basic(self.mine.id, secret("mine")),
            "other device": basic(self.other.id, secret("other")),
            "device with another's secret": basic(self.mine.id, secret("other")),
            "broker": f"Bearer {self.world.ashore.shore.credentials.broker_token}",
            "device's secret as a token": f"Bearer {secret('mine')}",
            "hash of a token": f"Bearer {hashlib.sha256(TOKEN.encode()).hexdigest()}",
        }

    def _token(self, name: str, role: str, **times: datetime.datetime) -> str:
        shore = self.world.ashore.shore
        key = f"TOK-{name.upper().replace('-', ''):X<16}"
        with shore.database.write() as connection:
            new = New(key, name, name, Role(role), shore.now(), "test", times.get("expires_at"))
            tokens.insert(connection, new)
            if "revoked_at" in times:
                tokens.revoke(connection, times["revoked_at"], key=key)
        return name

    def head(self) -> str:
        """Of the history: whoever changes something changes it."""
        return self.as_admin("GET", "/v1/history:verify").json["head"]

    def operations(self) -> Iterator[Operation]:
        for path, methods in self.document["paths"].items():
            for method, document in methods.items():
                yield Operation(document["operationId"], method.upper(), path, document)

    def role(self, operation: Operation) -> str | None:
        """Who it is for, as the document says."""
        schemes = {name for each in operation.document.get("security", ()) for name in each}
        return "broker" if schemes == {"broker"} else operation.document.get("x-shallop-role")

    def operation(self, name: str) -> Operation:
        return next(each for each in self.operations() if each.id == name)

    def target(self, operation: Operation, key: str = "none") -> str:
        """Its URL, with ``key`` for the thing that it is about."""
        return operation.path.replace("{key}", key).replace("{digest}", digest(MINE)) + (
            "?before=x&after=x" if operation.id == "show_diff_of" else ""
        )

    def as_admin(self, method: str, path: str, body: object = None) -> Answer:
        return self.ask(method, path, f"Bearer {TOKEN}", body)

    def ask(
        self,
        method: str,
        path: str,
        authorization: str | None = None,
        body: object = None,
        *,
        address: str = "192.0.2.1",
        **headers: str,
    ) -> Answer:
        """Asks the app as the server does, without a connection; ``body`` may be bytes, or is sent as JSON."""
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        given |= {"authorization": authorization} if authorization else {}
        given = ({"content-type": "application/json"} if raw else {}) | given
        return self._loop.run_until_complete(_ask(self.app, method, path, given, raw, address))


async def _ask(app: Any, method: str, target: str, headers: dict[str, str], body: bytes, address: str) -> Answer:
    path, _, query = target.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": urllib.parse.unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()],
        "client": (address, 1),
        "server": ("127.0.0.1", 80),
    }
    coming: list[dict[str, Any]] = [{"type": "http.request", "body": body, "more_body": False}]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return coming.pop() if coming else await asyncio.Future()

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app(scope, receive, send)
    fields = {name.decode().lower(): value.decode("latin-1") for name, value in sent[0]["headers"]}
    return Answer(sent[0]["status"], fields, b"".join(each.get("body", b"") for each in sent[1:]))


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def secret(name: str) -> str:
    return f"{SECRET} of {name}"


def basic(device: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{device.lower()}:{password}".encode()).decode()
