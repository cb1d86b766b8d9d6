"""The doctor: what it finds, and that it never takes the agent's session over."""

from __future__ import annotations

import json
import threading

import pytest
from certificates_world import Authority
from shallop_device import daemon, doctor, inbox, settings, store
from shallop_protocol import strict_json

pytestmark = pytest.mark.mosquitto


@pytest.fixture
def health(cloud):
    """A cloud that is well."""
    handler = cloud.RequestHandlerClass

    def answer(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    handler.do_GET = answer
    yield cloud
    del handler.do_GET


@pytest.fixture
def robot_of(tmp_path, shore, health):
    """Enrols a robot at a broker's address; gives its settings."""

    def enrol(url: str, protocol: str = "3.1.1", **more) -> settings.Loaded:
        (tmp_path / "root").mkdir(exist_ok=True)
        memory = store.Store.open(tmp_path / "state")
        memory.begin_enrolment(health.url, tmp_path / "root", "token")
        memory.finish_enrolment(strict_json.dumps(shore.answer(url, protocol)))
        memory.close()
        (tmp_path / "state").chmod(0o700)
        return settings.Loaded(settings.Settings(state=tmp_path / "state", **more), {})

    return enrol


def found(loaded: settings.Loaded) -> dict[str, list[str]]:
    """What does not say ``ok``, and all that was said of broker and cloud."""
    told: dict[str, list[str]] = {}
    for each in doctor.examine(loaded):
        if each.subject in ("broker", "cloud", "hooks", "door") or (each.grade != "ok" and each.subject != "clock"):
            told.setdefault(each.subject, []).append(f"{each.grade}: {each.words}")
    return told


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
def test_all_is_well(protocol, robot_of, broker, watch, tmp_path, health, eventually):
    where = f"127.0.0.1:{broker.port} (127.0.0.1) takes connections"

    assert found(robot_of(broker.url, protocol)) == {
        "door": [f"ok: it will be {tmp_path}/state/shallopd.sock"],
        "broker": [
            f"ok: {where}",
            f"ok: took the account dev-0123456789abcdef, MQTT {protocol}",
            "ok: hears shallop/v1/dev-0123456789abcdef/desired",
            "ok: takes what is said at shallop/v1/dev-0123456789abcdef/event",
        ],
        "cloud": [f"ok: {health.url[7:]} (127.0.0.1) takes connections", f"ok: {health.url} answers 200"],
    }
    eventually(lambda: watch.of("shallop/v1/dev-0123456789abcdef/event"))
    assert watch.of("shallop/v1/dev-0123456789abcdef/presence") == []


def test_a_running_agent_keeps_its_session(robot_of, broker, watch, eventually):
    loaded = robot_of(broker.url)
    items = inbox.Inbox()
    thread = threading.Thread(target=daemon.run, args=(loaded.settings, items))
    thread.start()
    try:
        eventually(lambda: watch.of("shallop/v1/dev-0123456789abcdef/report"))

        told = found(loaded)

        assert told["broker"][0].startswith("ok: the agent is connected, since ")
        assert len(told["broker"]) == 2
        births = [json.loads(body) for body in watch.of("shallop/v1/dev-0123456789abcdef/presence")]
        assert [birth["connection"] for birth in births] == [1]
    finally:
        items.put(inbox.Stop())
        thread.join(15)


def test_a_robot_that_is_stale(robot_of, broker, watch, eventually):
    loaded = robot_of(broker.url)
    memory = store.Store.open(loaded.settings.state)
    memory.note_unproven(60 * 3600.0)
    memory.close()
    items = inbox.Inbox()
    thread = threading.Thread(target=daemon.run, args=(loaded.settings, items))
    thread.start()
    try:
        eventually(lambda: watch.of("shallop/v1/dev-0123456789abcdef/report"))

        words = "for 60.0 hours the cloud has not answered whether this robot has its newest order"
        assert found(loaded)["freshness"] == [f"warn: stale: {words}"]
    finally:
        items.put(inbox.Stop())
        thread.join(15)


def test_a_broker_that_is_gone_and_a_password_that_is_wrong(robot_of, broker, tmp_path):
    loaded = robot_of(broker.url)
    broker.stop()
    assert "refused" in found(loaded)["broker"][0]
    (tmp_path / "passwords").write_text("")
    broker.start("allow_anonymous false", f"password_file {tmp_path / 'passwords'}")

    *_, refused = found(loaded)["broker"]

    assert refused == "fail: refused the account dev-0123456789abcdef, MQTT 3.1.1: Not authorized"


def test_a_certificate_that_will_not_do(robot_of, broker, tmp_path):
    certificate, key = Authority(tmp_path, "ca").sign("broker")
    broker.stop()
    broker.start("allow_anonymous true", f"certfile {certificate}", f"keyfile {key}")

    *_, bad = found(robot_of(f"mqtts://127.0.0.1:{broker.port}"))["broker"]

    assert bad.startswith(f"fail: TLS with 127.0.0.1:{broker.port}: the server's certificate comes from an authority")


def test_what_was_set_up_wrong(robot_of, broker, tmp_path):
    plain, open_ = tmp_path / "plain", tmp_path / "open"
    plain.write_text("")
    open_.write_text("#!/bin/sh\n")
    open_.chmod(0o777)
    hooks = settings.Hooks(check=(str(plain),), applied=(str(open_),), health=(str(tmp_path / "none"),))
    loaded = robot_of("mqtt://127.0.0.1:1", hooks=hooks)
    (tmp_path / "state").chmod(0o755)

    told = found(loaded)

    assert told["hooks"] == [
        f"fail: check: {plain} cannot be run",
        f"warn: applied: others than its owner may change {open_}",
        f"fail: health: {tmp_path / 'none'}: No such file or directory",
    ]
    assert told["permissions"] == [f"warn: others may look into {tmp_path / 'state'} (mode 0755)"]


def test_a_robot_that_is_not_enrolled(tmp_path):
    told = found(settings.Loaded(settings.Settings(state=tmp_path / "none"), {}))

    assert told["state"] == [f"fail: {tmp_path / 'none'}: No such file or directory"]
    assert told["identity"][0].startswith("fail: there is no ")
