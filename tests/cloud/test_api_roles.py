"""Who may do what: every operation of the OpenAPI document, asked for by everyone."""

from __future__ import annotations

import datetime
import re
from typing import Any

import pytest
from cloud_world import World
from shallop_cloud.services import guesses
from shallop_cloud.store import tokens
from shallop_cloud.store.tokens import New, Role


@pytest.fixture
def database_url() -> None:
    """SQLite: nothing here depends on the kind of database."""


ROLES = ["viewer", "operator", "admin"]
OPEN = {"health", "openapi", "enrol", "enrol_many", "fetch_content", "authenticate", "authorize"}
"""Those behind the enrolments have credentials of another kind: test_owasp_authorization.py."""


@pytest.fixture(autouse=True)
def _no_events(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream of events would not end; and who asks everything with a wrong token is not told to stop."""
    monkeypatch.setattr(guesses, "MOST", 1_000_000)
    world.ashore.app.state.feed.stop()


def _operations(world: World) -> list[tuple[str, str, dict[str, Any]]]:
    paths = world.must("GET", "/v1/openapi.json")["paths"]
    return [
        (method.upper(), re.sub(r"\{\w+\}", "x", path), operation)
        for path, methods in paths.items()
        for method, operation in methods.items()
    ]


def _token(world: World, name: str, role: str, **times: datetime.datetime) -> str:
    shore = world.ashore.shore
    with shore.database.write() as connection:
        key = f"TOK-{name.upper():X<16}"
        tokens.insert(connection, New(key, name, name, Role(role), shore.now(), "test", times.get("expires_at")))
        if "revoked_at" in times:
            tokens.revoke(connection, times["revoked_at"], key=key)
    return name


def _ask(world: World, method: str, path: str, authorization: str | None) -> tuple[int, str]:
    headers = {"Authorization": authorization} if authorization else {}
    answer = world.client.request(method, path, headers=headers, json={} if method != "GET" else None)
    return answer.status_code, answer.json().get("code", "")


def _head(world: World) -> str:
    return world.must("GET", "/v1/history:verify")["head"]


def _as_nobody(world: World) -> list[str | None]:
    before = world.ashore.shore.now() - datetime.timedelta(seconds=1)
    expired = _token(world, "expired", "admin", expires_at=before)
    revoked = _token(world, "revoked", "admin", revoked_at=before)
    return [None, "Bearer wrong", "Bearer", "Basic expired", f"Bearer {expired}", f"Bearer {revoked}"]


def test_who_is_nobody_may_do_nothing_and_changes_nothing(world: World) -> None:
    headers = _as_nobody(world)
    operations, head = _operations(world), _head(world)
    admin = world.client.headers.pop("Authorization")
    for method, path, operation in operations:
        if operation["operationId"] in OPEN:
            continue
        for header in headers:
            status, code = _ask(world, method, path, header)
            assert (status, code[:6]) == (401, "token_"), (method, path, header)
    world.client.headers["Authorization"] = admin
    assert _head(world) == head


@pytest.mark.parametrize("role", ROLES)
def test_a_role_opens_what_the_document_says_and_nothing_else(world: World, role: str) -> None:
    bearer = f"Bearer {_token(world, f'a-{role}', role)}"
    operations = _operations(world)
    asked = 0
    for method, path, operation in operations:
        needed = operation.get("x-shallop-role")
        if needed is None:
            assert operation["operationId"] in OPEN
            continue
        head = _head(world)
        status, code = _ask(world, method, path, bearer)
        may = ROLES.index(role) >= ROLES.index(needed)
        assert (code == "role_insufficient") is not may, (method, path, code)
        assert (status == 403) is not may
        assert may or _head(world) == head, (method, path)
        assert status != 401
        asked += 1
    assert asked > 20


def test_what_the_roles_are_for(world: World) -> None:
    needed = {operation["operationId"]: operation.get("x-shallop-role") for _, _, operation in _operations(world)}
    assert needed["list_devices"] == needed["whoami"] == needed["follow_events"] == "viewer"
    assert needed["create_release"] == needed["create_deployment"] == needed["deploy"] == "operator"
    assert needed["create_device"] == needed["create_token"] == needed["list_tokens"] == "admin"
