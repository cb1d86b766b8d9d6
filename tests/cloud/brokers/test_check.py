"""`shallop broker check` against brokers that are as they should be, and against every way in which they are not."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import system_world
from cloud.bench.raw_mqtt import BOUND, password_of, settings_for
from shallop_cloud.bench.broker import BenchBroker
from shallop_cloud.bench.broker_plugins import PasswordFile, TopicAccess
from shallop_cloud.bench.broker_run import BrokerThread
from shallop_cloud.bench.broker_wire import Wire
from shallop_cloud.brokers.check import access, messages, probes, rig
from shallop_cloud.brokers.check.peer import Account, Broker, Deadline
from shallop_cloud.brokers.check.rig import Rig
from shallop_cloud.brokers.check.verdicts import Verdict
from shallop_protocol.topics import Topics

USERS = ["cloud", "monitor", "dev-a", "dev-b"]
SLOW = {"keep-alive"}
"""What waits for seconds of silence."""


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broker in this process needs no time to settle."""
    for module in (rig, access):
        monkeypatch.setattr(module, "SETTLE_S", 0.05)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[tuple[str, int]]:
    with BrokerThread(settings_for(tmp_path, USERS)) as running:
        yield running.address


def rig_for(address: tuple[str, int], within: float = 30.0) -> Rig:
    cloud, first, second = (Account(user, password_of(user)) for user in ("cloud", "dev-a", "dev-b"))
    return Rig(Broker(*address, False, None, Deadline(within)), Topics(), cloud, (first, second))


def look(address: tuple[str, int], subject: str) -> probes.Result:
    probe = next(each for each in probes.PROBES if each.subject == subject)
    return probes._look(rig_for(address), probe)


def test_the_bench_broker_is_fit(broker):
    found = {each.subject: look(broker, each.subject) for each in probes.PROBES if each.subject not in SLOW}

    assert {name: each.verdict.value for name, each in found.items() if each.verdict is not Verdict.OK} == {
        "MQTT 5": "weaker"
    }


def allow_all(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(TopicAccess, "allows", lambda *_: True)


def allow_hearing(patch: pytest.MonkeyPatch) -> None:
    rule = TopicAccess.allows
    patch.setattr(
        TopicAccess, "allows", lambda self, user, deed, topic: deed != "publish" or rule(self, user, deed, topic)
    )


def allow_nothing(patch: pytest.MonkeyPatch) -> None:
    rule = TopicAccess.allows
    patch.setattr(
        TopicAccess, "allows", lambda self, user, deed, topic: user == "cloud" and rule(self, user, deed, topic)
    )


def know_all(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(PasswordFile, "is_right", lambda *_: True)


def bind_nobody(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(PasswordFile, "may_use_client_id", lambda *_: True)


def keep_nothing(patch: pytest.MonkeyPatch) -> None:
    publish = BenchBroker._publish
    patch.setattr(
        BenchBroker, "_publish", lambda self, topic, data, qos, *, retain: publish(self, topic, data, qos, retain=False)
    )


def delete_nothing(patch: pytest.MonkeyPatch) -> None:
    publish = BenchBroker._publish

    def stubborn(self: Any, topic: str, data: bytes, qos: int, *, retain: bool) -> None:
        publish(self, topic, data, qos, retain=retain and bool(data))

    patch.setattr(BenchBroker, "_publish", stubborn)


def replay_exact(patch: pytest.MonkeyPatch) -> None:
    replay = BenchBroker._replay
    patch.setattr(
        BenchBroker, "_replay", lambda self, to, name, qos: None if "+" in name else replay(self, to, name, qos)
    )


def will_nothing(patch: pytest.MonkeyPatch) -> None:
    leave = BenchBroker._leave

    def forgetful(self: Any, client: Any) -> None:
        client.will = None
        leave(self, client)

    patch.setattr(BenchBroker, "_leave", forgetful)


def carry_little(patch: pytest.MonkeyPatch) -> None:
    publish = BenchBroker._publish

    def small(self: Any, topic: str, data: bytes, qos: int, *, retain: bool) -> None:
        if len(data) <= 40_000:
            publish(self, topic, data, qos, retain=retain)

    patch.setattr(BenchBroker, "_publish", small)
    patch.setattr(messages, "LARGEST", 1 << 17)


def allow_silence(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Wire, "_check_silence", lambda *_: None)
    patch.setattr(messages, "MUTE_WITHIN_S", 3.0)
    patch.setattr(messages, "MUTE_KEEPALIVE_S", 1)


FAULTS = [
    (allow_all, "publish", "unfit", "dev-a published to shallop/v1/cloud/desired, shallop/v1/cloud/echo,"),
    (allow_all, "subscribe", "unfit", "dev-a heard shallop/v1/cloud/desired,"),
    (allow_all, "wills and access", "unfit", "dev-a had its will said on shallop/v1/cloud/desired,"),
    (allow_hearing, "subscribe", "unfit", "dev-a heard, by a wildcard or a share, shallop/v1/cloud/desired,"),
    (allow_nothing, "publish", "unfit", "dev-a may, and could not: shallop/v1/dev-a/event,"),
    (know_all, "strangers", "unfit", "let in with a wrong password"),
    (bind_nobody, "client id", "unfit", "dev-b pushed dev-a off by its client id"),
    (keep_nothing, "retained", "unfit", "a new subscriber got [[], [], []]"),
    (delete_nothing, "retained", "weaker", "does not delete what is stored: [b'second']"),
    (replay_exact, "replay", "weaker", "0 of 2 retained reports"),
    pytest.param(will_nothing, "will", "weaker", "no will", marks=pytest.mark.slow),
    (carry_little, "payload", "weaker", "32,768 bytes arrive, 65,536 do not"),
    pytest.param(allow_silence, "keep-alive", "weaker", "a client silent for 3 s with", marks=pytest.mark.slow),
]


@pytest.mark.parametrize(("fault", "subject", "verdict", "observed"), FAULTS)
def test_a_broker_that_is_not_as_it_should_be_is_found_out(broker, monkeypatch, fault, subject, verdict, observed):
    fault(monkeypatch)

    result = look(broker, subject)

    assert (result.verdict.value, observed in result.observed) == (verdict, True), result
    assert result.means not in (probes._EITHER, "")


def test_it_leaves_nothing_behind(broker):
    list(probes.examine(rig_for(broker, within=1.5)))

    with rig_for(broker).opened(Account("cloud", password_of("cloud"))) as cloud:
        assert cloud.subscribe("shallop/v1/#")
        assert list(cloud.heard(within=0.2)) == []


def test_a_server_that_says_nothing_costs_no_more_than_the_deadline(monkeypatch):
    monkeypatch.setattr(probes, "PURGE_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        started = time.monotonic()
        results = list(probes.examine(rig_for(mute.getsockname(), within=1.0)))

    assert [(each.subject, each.verdict) for each in results] == [("accounts", Verdict.UNKNOWN)]
    assert time.monotonic() - started < 3.0


CHECK = ["--cloud", "cloud:@cloud.password", "--device", f"dev-a:{password_of('dev-a')}",
         "--device", f"dev-b:{password_of('dev-b')}"]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["amqtt", pytest.param("mosquitto", marks=pytest.mark.mosquitto)])
def test_the_command(tmp_path: Path, kind: str):
    (tmp_path / "mqtt").mkdir()
    (tmp_path / "cloud.password").write_text(password_of("cloud") + "\n")
    file = settings_for(tmp_path / "mqtt", USERS).password_file.rename(tmp_path / "mqtt" / "passwords")
    port = system_world.free_port()
    if kind == "mosquitto":
        if system_world.find_mosquitto() is None:
            pytest.skip("mosquitto is not on this machine (apt install mosquitto)")
        command = system_world.mosquitto(tmp_path, tmp_path / "mosquitto", port)
    else:
        command = [*system_world.SHALLOP, "broker", "run", "--listen", f"127.0.0.1:{port}", "--passwords", str(file)]
    running = system_world.Process(command, tmp_path / "log", tmp_path)
    running.start()
    try:
        system_world.wait("it listens", lambda: system_world.listens(port), BOUND)
        done = subprocess.run(
            [*system_world.SHALLOP, "broker", "check", f"mqtt://127.0.0.1:{port}", *CHECK, "-o", "json"],
            cwd=tmp_path, capture_output=True, text=True, timeout=70, check=False,
        )  # fmt: skip
    finally:
        running.end()

    answer = json.loads(done.stdout)
    assert (done.returncode, done.stderr, answer["fit"]) == (0, "", True), done
    assert [each["subject"] for each in answer["data"]] == [each.subject for each in probes.PROBES]
    assert {each["subject"] for each in answer["data"] if each["verdict"] != "ok"} == (
        {"MQTT 5"} if kind == "amqtt" else set()
    )
