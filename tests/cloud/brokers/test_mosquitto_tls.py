"""mosquitto as `shallop broker config mosquitto` sets it up for a network: TLS, robots with certificates or without."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import system_world
from certificates_world import Authority
from cloud.bench.raw_mqtt import BOUND, password_of, settings_for
from paho.mqtt.enums import MQTTProtocolVersion
from shallop_cloud.brokers.check import probes
from shallop_cloud.brokers.check.peer import Account, Broker, Deadline, NoAnswer, Peer
from shallop_cloud.brokers.check.rig import Rig
from shallop_cloud.brokers.check.verdicts import Verdict
from shallop_cloud.cli import main
from shallop_cloud.link.connection import BrokerUrl, Connection
from shallop_protocol.topics import Topics

pytestmark = [pytest.mark.mosquitto, pytest.mark.slow]
USERS = ["cloud", "monitor", "dev-a", "dev-b"]
SUBJECTS = ("accounts", "strangers", "client id", "publish", "subscribe")


@pytest.fixture(params=["passwords", "passwords and certificates"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[int, bool]]:
    """Its port for robots, and whether they show certificates."""
    program = system_world.find_mosquitto()
    if program is None:
        pytest.skip("mosquitto is not on this machine (apt install mosquitto)")
    authority = Authority(tmp_path, "ca")
    for user in USERS:
        authority.sign(user)
    certificate, key = authority.sign("broker")
    (tmp_path / "mqtt").mkdir()
    settings_for(tmp_path / "mqtt", USERS).password_file.rename(tmp_path / "mqtt" / "passwords")
    port, inner = system_world.free_port(), system_world.free_port()
    certified = request.param != "passwords"
    asked = ["--client-certificates", "--ca", str(authority.file)] if certified else []
    listening = ["--listen", f"127.0.0.1:{port}", "--inner", f"127.0.0.1:{inner}"]
    where = ["--data", str(tmp_path), "--cert", str(certificate), "--key", str(key)]
    assert main(["broker", "config", "mosquitto", *where, *listening, *asked]) == 0
    command = [program, "-c", str(tmp_path / "mqtt" / "mosquitto" / "mosquitto.conf")]
    running = system_world.Process(command, tmp_path / "log", tmp_path)
    running.start()
    try:
        system_world.wait("it listens", lambda: system_world.listens(port) and system_world.listens(inner), BOUND)
        yield port, certified
    finally:
        running.end()


def test_robots_and_strangers(place, tmp_path):
    port, certified = place

    def account(user: str) -> Account:
        shown = (tmp_path / f"{user}.pem", tmp_path / f"{user}.key") if certified else ()
        return Account(user, password_of(user), *shown)

    broker = Broker("127.0.0.1", port, True, tmp_path / "ca.pem", Deadline(50))
    rig = Rig(broker, Topics(), account("cloud"), (account("dev-a"), account("dev-b")))

    results = [probes._look(rig, each) for each in probes.PROBES if each.subject in SUBJECTS]

    assert [(each.subject, each.verdict) for each in results] == [(name, Verdict.OK) for name in SUBJECTS], results


def test_the_cloud(place, tmp_path):
    port, certified = place
    own = (tmp_path / "cloud.pem", tmp_path / "cloud.key") if certified else None
    url = BrokerUrl("127.0.0.1", port, "cloud", password_of("cloud"), True, (tmp_path / "ca.pem").read_text(), own)
    heard: list[bytes] = []
    up = threading.Event()
    hello = Topics().hello
    link = Connection(url, "5", [hello], lambda _, payload: heard.append(payload), up.set, lambda: True)
    link.start()
    try:
        assert up.wait(BOUND)
        link.publish_many([(hello, b"here")], retain=False)
        system_world.wait("it hears itself", lambda: heard == [b"here"], BOUND)
    finally:
        link.stop()


@pytest.mark.parametrize("place", ["passwords and certificates"], indirect=True)
def test_a_certificate_and_a_password_are_both_asked_for_and_the_password_says_who_it_is(place, tmp_path):
    port, _ = place
    broker = Broker("127.0.0.1", port, True, tmp_path / "ca.pem", Deadline(50))
    own, other = ((tmp_path / f"{user}.pem", tmp_path / f"{user}.key") for user in ("dev-a", "cloud"))

    def connects(account: Account) -> bool:
        try:
            Peer(broker, account, account.user, MQTTProtocolVersion.MQTTv311).close()
        except NoAnswer:
            return False
        return True

    assert connects(Account("dev-a", password_of("dev-a"), *own))
    assert not connects(Account("dev-a", password_of("dev-a")))
    assert not connects(Account("dev-a", "", *own))
    assert not connects(Account("dev-a", password_of("dev-b"), *own))
    assert not connects(Account("cloud", "", *other)), "a certificate makes nobody the cloud"
