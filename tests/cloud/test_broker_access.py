"""A broker that asks over HTTP gets the answers that the access rules give, and nobody else gets any."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from cloud_world import World
from shallop_protocol import ids
from shallop_protocol.topics import CLOUD, MONITOR, Access, Kind

SECRET = "a-secret-of-the-robot-of-at-least-32-characters"
OTHER = "dev-0000000000000000"


@pytest.fixture
def database_url() -> None:
    """SQLite: nothing here depends on the kind of database."""


@pytest.fixture
def wire(world: World) -> str:
    """A device that is enrolled, as the broker knows it; from now on the client is the broker."""
    made = world.must("POST", "/v1/devices", {"name": "amr-1"})
    world.must("POST", "/v1/enrolments", {"token": made["token"], "secret": SECRET})
    return ids.on_wire(made["id"])


def broker(world: World) -> dict[str, str]:
    return {"Authorization": f"Bearer {(world.directory / 'mqtt' / 'broker.token').read_text().strip()}"}


def asked(world: World, what: str, **body: Any) -> str:
    answer = world.client.post(f"/v1/broker/{what}", json=body, headers=broker(world))
    assert answer.status_code == 200, answer.text
    return answer.json()["result"]


def logs_in(world: World, username: str | None, password: str | None, clientid: str | None) -> bool:
    return asked(world, "authenticate", username=username, password=password, clientid=clientid) == "allow"


def test_who_may_log_in(world: World, wire: str) -> None:
    cloud, monitor = (getattr(world.ashore.shore.credentials, name) for name in (CLOUD, MONITOR))
    expected = {
        (wire, SECRET, wire): True,
        (wire, SECRET, OTHER): False,
        (wire, SECRET, ""): False,
        (wire, SECRET, CLOUD): False,
        (wire, "", wire): False,
        (wire, cloud, wire): False,
        (wire.upper(), SECRET, wire.upper()): False,
        (OTHER, SECRET, OTHER): False,
        ("", "", ""): False,
        (None, None, None): False,
        (CLOUD, cloud, "cloud-link"): True,
        (CLOUD, cloud, CLOUD): True,
        (CLOUD, monitor, "cloud-link"): False,
        (CLOUD, cloud, wire): False,
        (CLOUD, cloud, "mosq-x"): False,
        (MONITOR, monitor, "mosq-x"): True,
        (MONITOR, monitor, wire): False,
        (MONITOR, monitor, "cloud-link"): False,
        (MONITOR, cloud, "mosq-x"): False,
    }
    assert {each: logs_in(world, *each) for each in expected} == expected


def test_nobody_is_a_superuser(world: World, wire: str) -> None:
    body = {"username": CLOUD, "password": world.ashore.shore.credentials.cloud, "clientid": "cloud-link"}
    answer = world.client.post("/v1/broker/authenticate", json=body, headers=broker(world))
    assert answer.json() == {"result": "allow", "is_superuser": False}


def test_what_they_may_do_is_what_the_access_rule_says(world: World, wire: str) -> None:
    topics = world.ashore.shore.topics
    own = [topics.of(wire, kind) for kind in Kind if kind not in (Kind.HELLO, Kind.KEYS)]
    others = [topics.of(OTHER, Kind.DESIRED), topics.of(OTHER, Kind.REPORT)]
    wide = ["#", f"{topics.root}/#", topics.every(Kind.REPORT), topics.every(Kind.DESIRED), f"$share/g/{own[0]}"]
    wanted = [*own, *others, *wide, topics.hello, topics.keys, "elsewhere", "", "$SYS/#"]
    clients = {wire: wire, CLOUD: "cloud-link", MONITOR: "mosq-x"}
    granted = 0
    for username, action, topic in itertools.product(clients, ("publish", "subscribe"), wanted):
        body = {"username": username, "clientid": clients[username], "topic": topic, "action": action}
        expected = topics.allows(username, Access(action), topic)
        assert asked(world, "authorize", **body) == ("allow" if expected else "deny"), body
        granted += expected
    assert granted > 15


@pytest.mark.parametrize(("username", "clientid"), [(OTHER, OTHER), (None, None), ("", ""), ("dev-x", "dev-x")])
def test_who_does_not_exist_may_do_nothing(world: World, wire: str, username: str | None, clientid: str | None) -> None:
    for topic in (f"shallop/v1/{username}/report", world.ashore.shore.topics.hello):
        for action in ("publish", "subscribe"):
            assert asked(world, "authorize", username=username, clientid=clientid, topic=topic, action=action) == "deny"


def test_a_client_id_of_another_may_do_nothing(world: World, wire: str) -> None:
    topic = f"shallop/v1/{wire}/report"
    assert asked(world, "authorize", username=wire, clientid=wire, topic=topic, action="publish") == "allow"
    assert asked(world, "authorize", username=wire, clientid=OTHER, topic=topic, action="publish") == "deny"


def test_a_revoked_device_may_nothing_though_it_is_connected(world: World, wire: str) -> None:
    world.must("POST", "/v1/devices/amr-1:revoke")
    topic = f"shallop/v1/{wire}/report"
    assert not logs_in(world, wire, SECRET, wire)
    assert asked(world, "authorize", username=wire, clientid=wire, topic=topic, action="publish") == "deny"


@pytest.mark.parametrize("what", ["authenticate", "authorize"])
def test_only_the_broker_is_answered(world: World, wire: str, what: str) -> None:
    body = {"username": wire, "clientid": wire, "topic": "x", "action": "publish"}
    right = broker(world)["Authorization"]
    for header in (None, "Bearer", "Bearer x", right[:-1], f"{right}x", right.replace("Bearer", "Basic")):
        world.client.headers.pop("Authorization", None)
        headers = {} if header is None else {"Authorization": header}
        answer = world.client.post(f"/v1/broker/{what}", json=body, headers=headers)
        assert (answer.status_code, answer.json()["code"][:6]) == (401, "token_"), header


def test_the_brokers_token_opens_nothing_else(world: World, wire: str) -> None:
    answer = world.client.get("/v1/devices", headers=broker(world))
    assert (answer.status_code, answer.json()["code"]) == (401, "token_invalid")


def test_what_is_not_a_question_is_refused(world: World, wire: str) -> None:
    body = {"username": wire, "clientid": wire, "topic": "x", "action": "delete"}
    assert world.client.post("/v1/broker/authorize", json=body, headers=broker(world)).status_code == 422
