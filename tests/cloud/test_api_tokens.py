"""Tokens: made, shown once, revoked; what is kept of them, and what the history says."""

from __future__ import annotations

import datetime
import hashlib
from typing import Any

import pytest
import sqlalchemy as sa
from cloud_world import World
from shallop_cloud.store import tables, tokens
from shallop_cloud.testing.ashore import TOKEN


def _make(world: World, name: str = "ci", role: str = "operator", **more: Any) -> dict[str, Any]:
    return world.must("POST", "/v1/tokens", {"name": name, "role": role, **more})


def _who(world: World, token: str) -> Any:
    return world.client.get("/v1/whoami", headers={"Authorization": f"Bearer {token}"})


def _code(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


def test_a_token_is_shown_once_and_only_its_hash_is_kept(world: World) -> None:
    made = _make(world)
    secret = made.pop("token")
    assert secret.startswith("shallop-operator-")
    assert len(secret) == len("shallop-operator-") + 32
    assert world.must("GET", "/v1/tokens/ci") == made == world.must("GET", "/v1/tokens")["data"][0]
    assert (made["created_by"], made["revoked_at"], made["expires_at"]) == ("admin", None, None)
    with world.ashore.shore.database.read() as connection:
        row = (
            connection.execute(sa.select(tables.api_tokens).where(tables.api_tokens.c.id == made["id"]))
            .mappings()
            .one()
        )
    assert row["hash"] == hashlib.sha256(secret.encode()).hexdigest()
    assert secret not in str(dict(row)) + world.api("GET", "/v1/history").text
    assert _who(world, secret).json() == {"id": made["id"], "name": "ci", "role": "operator", "expires_at": None}


def test_the_history_says_who_made_and_revoked_it(world: World) -> None:
    made = _make(world, expires_at="2099-01-01T01:00:00+01:00")
    world.must("POST", f"/v1/tokens/{made['id']}:revoke")
    shown = {"id": made["id"], "name": "ci", "role": "operator", "expires_at": "2099-01-01T00:00:00+00:00"}
    entries = world.must("GET", "/v1/history")["data"]
    assert [(each["actor"], each["action"], each["after"]) for each in entries] == [
        ("admin", "token_revoked", shown),
        ("admin", "token_created", shown),
    ]


def test_a_revoked_token_is_worthless_at_once_and_its_name_is_free(world: World) -> None:
    first = _make(world)
    assert _code(world.api("POST", "/v1/tokens", {"name": "ci", "role": "viewer"})) == (409, "token_exists")
    revoked = world.must("POST", "/v1/tokens/ci:revoke")
    assert revoked["revoked_at"] is not None
    assert _code(_who(world, first["token"])) == (401, "token_invalid")
    assert _code(world.api("POST", "/v1/tokens/ci:revoke")) == (409, "token_revoked")
    second = _make(world)
    assert world.must("GET", "/v1/tokens/ci")["id"] == second["id"]
    assert world.must("GET", f"/v1/tokens/{first['id']}")["revoked_at"] == revoked["revoked_at"]


def test_an_expired_token_is_worthless_and_its_name_is_free(world: World) -> None:
    made = _make(world, expires_at="2099-01-01T00:00:00Z")
    assert _who(world, made["token"]).json()["expires_at"] == "2099-01-01T00:00:00Z"
    with world.ashore.shore.database.write() as connection:
        past = world.ashore.shore.now() - datetime.timedelta(seconds=1)
        change = tables.api_tokens.update().where(tables.api_tokens.c.id == made["id"])
        connection.execute(change.values(expires_at=past))
    assert _code(_who(world, made["token"])) == (401, "token_invalid")
    assert _make(world)["id"] != made["id"]
    actions = [each["action"] for each in world.must("GET", "/v1/history")["data"]]
    assert actions == ["token_created", "token_revoked", "token_created"]


def test_the_last_admin_token_stays(world: World) -> None:
    _make(world, "second", "viewer")
    _make(world, "third", "admin", expires_at="2099-01-01T00:00:00Z")
    world.must("POST", "/v1/tokens/third:revoke")
    assert _code(world.api("POST", "/v1/tokens/admin:revoke")) == (409, "token_last_admin")
    other = _make(world, "fourth", "admin")["token"]
    assert world.api("POST", "/v1/tokens/admin:revoke").status_code == 200
    assert _code(world.api("GET", "/v1/tokens")) == (401, "token_invalid")
    world.client.headers["Authorization"] = f"Bearer {other}"
    assert _code(world.api("POST", "/v1/tokens/fourth:revoke")) == (409, "token_last_admin")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"name": "-x", "role": "viewer"}, "name_invalid"),
        ({"name": "TOK-0000000000000000", "role": "viewer"}, "name_invalid"),
        ({"name": "x", "role": "root"}, "request_invalid"),
        ({"name": "x"}, "request_invalid"),
        ({"name": "x", "role": "viewer", "expires_at": "2020-01-01T00:00:00Z"}, "expiry_invalid"),
        ({"name": "x", "role": "viewer", "expires_at": "2099-01-01T00:00:00"}, "request_invalid"),
        ({"name": "x", "role": "viewer", "expires_at": 4102444800}, "request_invalid"),
    ],
)
def test_what_no_token_can_be(world: World, body: dict[str, Any], code: str) -> None:
    assert _code(world.api("POST", "/v1/tokens", body)) == (422, code)
    assert len(world.must("GET", "/v1/tokens")["data"]) == 1


def test_an_admin_token_that_was_revoked_does_not_come_back_with_the_next_start(world: World) -> None:
    database = world.ashore.shore.database
    _make(world, "other", "admin")
    world.must("POST", "/v1/tokens/admin:revoke")
    with database.write() as connection:
        tokens.ensure(connection, "TOK-0000000000000009", "admin", TOKEN, world.ashore.shore.now())
    assert _code(_who(world, TOKEN)) == (401, "token_invalid")


def test_a_new_admin_token_file_replaces_the_old_token(world: World) -> None:
    with world.ashore.shore.database.write() as connection:
        tokens.ensure(connection, "TOK-0000000000000009", "admin", "another", world.ashore.shore.now())
    assert _code(_who(world, TOKEN)) == (401, "token_invalid")
    assert _who(world, "another").json()["id"] == "TOK-0000000000000009"
