"""No secret is anywhere but where it belongs.

A whole life on a server and a robot that log all they can: made, enrolled, deployed, wrong in every way. Afterwards
every secret is looked for in what was logged, answered, recorded and shown.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json
import secrets
import sqlite3
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from shallop_cloud.bench.robots import Robot
from shallop_device import store
from shallop_device.door import client
from system_world import SHALLOP, Process, World, wait

pytestmark = pytest.mark.slow

CONTENT = "canary-in-a-config"
SCHEMA = {"entry": "s.json", "documents": {"s.json": '{"properties": {"max": {"type": "number"}}}'}}
MOTION = {"name": "motion", "schema": SCHEMA, "format": "yaml", "path": "motion.yaml"}
RELEASE = {"version": "1.0.0", "config_types": [MOTION]}
GOOD = f"max: 1\npassword: {CONTENT}\n"
KEPT_IN = {"content_chunks"}
"""Tables whose business contents are."""
SHOWN_ONCE = ("/v1/devices", "/v1/devices/amr-1:renew-token", "/v1/tokens")
"""POSTs whose answer is a new secret."""


@dataclasses.dataclass
class Life:
    """What was secret, and what was said where."""

    secrets: dict[str, str]
    said: dict[str, str]

    def forms(self, name: str) -> Iterator[str]:
        """A secret as it may stand in a text."""
        secret = self.secrets[name]
        raw = bytes.fromhex(secret) if "seed" in name else secret.encode()
        yield secret
        yield urllib.parse.quote(secret, safe="")
        yield base64.b64encode(raw).decode().rstrip("=")[4:-4] or secret
        yield raw.hex()


class Asked:
    """The API, with all that it answers noted unless the answer is to be a secret."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.answers: list[str] = []

    def __call__(self, method: str, path: str, token: str | None, body: Any = None, **headers: str) -> httpx.Response:
        given = {"Authorization": f"Bearer {token}"} if token else {}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        content = body if isinstance(body, (bytes, type(None))) else json.dumps(body)
        if content is not None:
            given.setdefault("Content-Type", "application/json")
        answer = httpx.request(method, self.url + path, content=content, headers=given, timeout=30)
        if not (method == "POST" and path in SHOWN_ONCE and answer.is_success):
            asked = f"{method} {path.partition('?')[0]} {answer.status_code}"
            self.answers.append(f"{asked} {dict(answer.headers)} {answer.text}")
        return answer


@pytest.fixture(scope="module")
def life(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:
    world = World(tmp_path_factory.mktemp("life"), "amqtt")
    world.data.mkdir(mode=0o700)
    admin = f"shallop-admin-canary-{secrets.token_urlsafe(12)}"
    (world.data / "admin.token").write_text(f"{admin}\n")
    listen = world.url.removeprefix("http://")
    serve = [*SHALLOP, "serve", "--data", str(world.data), "--listen", listen, "--log-level", "debug"]
    broker = ["--embedded-broker", "--broker-listen", f"127.0.0.1:{world.broker_port}"]
    world.cloud = Process([*serve, *broker], world.cloud.log, world.directory)
    world.cloud.start()
    robot = _Talkative("amr-1", world.directory / "amr-1")
    try:
        wait("the cloud serves", lambda: httpx.get(f"{world.url}/v1/health").json()["broker_connected"])
        yield _lived(world, robot, admin)
    finally:
        robot.kill()
        world.cloud.kill()


class _Talkative(Robot):
    """Its agent logs all it can."""

    @property
    def command(self) -> list[str]:
        (self.directory / "agent.toml").write_text('[log]\nlevel = "debug"\n')
        return [*super().command, "--config", str(self.directory / "agent.toml")]


def _lived(world: World, robot: Robot, admin: str) -> Life:
    ask = Asked(world.url)
    viewer = ask("POST", "/v1/tokens", admin, {"name": "eve", "role": "viewer"}).json()["token"]
    enrolment = ask("POST", "/v1/devices", admin, {"name": "amr-1"}).json()["token"]
    unused = ask("POST", "/v1/devices", admin, {"name": "amr-2"}).json()["token"]
    assert ask("POST", "/v1/releases", admin, RELEASE).is_success
    robot.enrol(world.url, enrolment)
    robot.start()
    memory = store.Store.open_to_read(robot.state)
    who = memory.identity
    memory.close()
    assert who is not None
    known = {
        "the admin's token": admin,
        "a viewer's token": viewer,
        "an enrolment token": enrolment,
        "an enrolment token that was not used": unused,
        "a device's password": who.password,
        "the cloud's password": (world.data / "mqtt" / "cloud.password").read_text().strip(),
        "the broker's token": (world.data / "mqtt" / "broker.token").read_text().strip(),
        "the monitor's password": (world.data / "mqtt" / "monitor.password").read_text().strip(),
        "the seed of the signing key": (world.data / "signing.key").read_text().strip(),
        "the seed of the root key": _seed(world.data / "root.key"),
        "the content of a config": CONTENT,
    }
    _deployed(ask, admin, robot)
    _wrong(ask, known, who.wire_id)
    events = _events(world.url, admin)
    at_the_door = client.Client(robot.state / "shallopd.sock")
    door = [
        json.dumps(at_the_door.get(f"/v1/{each}")) for each in ("status", "device", "deployment", "holds", "health")
    ]
    status = [world.shallopd("status", "--state", str(robot.state), "-o", each) for each in ("table", "json")]
    doctor = world.shallopd("doctor", "--state", str(robot.state))
    asked = ("device show amr-1", "why amr-1", "audit list", "token list", "device history amr-1")
    listed = [world.run(*each.split()) for each in asked]
    robot.stop()
    world.cloud.end()
    return Life(
        known,
        {
            "the server's log": world.cloud.log.read_text(),
            "the agent's log": robot.log.read_text(),
            "the answers": "\n".join(ask.answers),
            "the history": "\n".join(each for each in ask.answers if each.startswith("GET /v1/history")),
            "the events": events,
            "the database": _dumped(world.data),
            "the door": "\n".join(door),
            "shallopd": "\n".join(f"{each.out}{each.err}" for each in (*status, doctor)),
            "shallop": "\n".join(f"{each.out}{each.err}" for each in listed),
        },
    )


def _seed(pem: Path) -> str:
    key = serialization.load_pem_private_key(pem.read_bytes(), None)
    assert isinstance(key, ed25519.Ed25519PrivateKey)
    return key.private_bytes_raw().hex()


def _deployed(ask: Asked, admin: str, robot: Robot) -> None:
    config = {"config_type": "motion", "content": GOOD}
    made = ask("POST", "/v1/deployments", admin, {"device": "amr-1", "release": "1.0.0", "configs": [config]}).json()
    wait("it is deployed", lambda: ask("GET", f"/v1/deployments/{made['id']}", admin).json()["status"] == "deployed")
    assert CONTENT in robot.files()["motion.yaml"].decode()
    patched = {"set": [{"config_type": "motion", "pointer": "/max", "value": 2}], "description": "faster"}
    second = ask("POST", f"/v1/deployments/{made['id']}:patch", admin, patched, Idempotency_Key="one").json()
    wait("it is deployed", lambda: ask("GET", f"/v1/deployments/{second['id']}", admin).json()["status"] == "deployed")


def _wrong(ask: Asked, known: dict[str, str], device: str) -> None:
    """Every secret in every wrong place."""
    admin = known["the admin's token"]
    bad = {"config_type": "motion", "content": GOOD.replace("max: 1", "max: x")}
    answer = ask("POST", "/v1/deployments", admin, {"device": "amr-1", "release": "1.0.0", "configs": [bad]})
    assert answer.status_code == 422
    for secret in known.values():
        header = "".join(each for each in secret if each.isprintable())
        for path in ("/v1/devices", "/v1/whoami", "/v1/device/contents/x", "/v1/events?after=x"):
            ask("GET", path, f"{header}x")
            ask("GET", path, None, authorization=f"Digest {header}")
        ask("GET", f"/v1/devices?token={urllib.parse.quote(secret)}", admin)
        ask("POST", "/v1/enrolments", None, {"token": f"{secret}x", "secret": "y" * 40})
        ask("POST", "/v1/enrolments", None, {"token": 5, "secret": {"nested": secret}, "more": secret})
        ask("POST", "/v1/enrolments", None, {"token": "x", "secret": f"\x00{secret}"})
        ask("POST", "/v1/enrolments", None, f'{{"token": "{secret}", '.encode())
        ask("POST", "/v1/devices", admin, {"name": "x y", "labels": {"k": secret * 20}})
        ask("POST", "/v1/tokens", None, {"name": secret})
        ask("PUT", "/v1/contents/sha256:" + "0" * 64, admin, secret.encode())
        basic = base64.b64encode(f"{device}:{secret}x".encode()).decode()
        ask("GET", "/v1/device/contents/sha256:" + "0" * 64, None, authorization=f"Basic {basic}")
        ask("POST", "/v1/devices/amr-1/report", admin, {"v": 1, "device": secret})
    ask("POST", "/v1/devices/amr-1:renew-token", admin)
    for path in ("/v1/history?limit=500", "/v1/devices", "/v1/devices/amr-1", "/v1/devices/amr-1/why", "/v1/tokens",
                 "/v1/deployments", "/v1/devices/amr-1/history", "/v1/summary", "/v1/releases"):  # fmt: skip
        assert ask("GET", path, admin).is_success


def _events(url: str, admin: str) -> str:
    told: list[str] = []
    headers = {"Authorization": f"Bearer {admin}"}
    followed = httpx.stream("GET", f"{url}/v1/events?after=0", headers=headers, timeout=2)
    with contextlib.suppress(httpx.ReadTimeout), followed as came:
        told.extend(came.iter_lines())
    return "\n".join(told)


def _dumped(data: Path) -> str:
    """Every row of every table but those that are for contents."""
    with contextlib.closing(sqlite3.connect(data / "shallop.db")) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        assert {"devices", "api_tokens", "history"} | KEPT_IN <= set(tables), tables
        rows = [row for table in tables if table not in KEPT_IN for row in database.execute(f'SELECT * FROM "{table}"')]
    return "\n".join(str([each.decode("latin-1") if isinstance(each, bytes) else each for each in row]) for row in rows)


PLACES = ("the server's log", "the agent's log", "the answers", "the history", "the events", "the database", "the door",
          "shallopd", "shallop")  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_no_secret_is_told(life: Life, place: str) -> None:
    told = life.said[place]
    places = {name: [at for form in life.forms(name) if (at := told.find(form)) >= 0] for name in life.secrets}
    leaks = {name: told[max(0, at[0] - 200) : at[0] + 100] for name, at in places.items() if at}
    assert leaks == {}


def test_what_was_looked_through_is_there(life: Life) -> None:
    """Nothing was told would be true of an empty log as well."""
    expected = {
        "the server's log": "many wrong credentials",
        "the agent's log": '"level": "debug"',
        "the answers": "token_invalid",
        "the history": "device_enrolled",
        "the events": "device_enrolled",
        "the database": "amr-1",
        "the door": "deployed",
        "shallopd": "in force",
        "shallop": "eve",
    }
    assert [place for place, word in expected.items() if word not in life.said[place]] == []
    assert set(expected) == set(PLACES)
