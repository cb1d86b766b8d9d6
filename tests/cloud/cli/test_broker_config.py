"""``shallop broker config``: what it writes, and what it refuses."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from certificates_world import Authority
from shallop_cloud.bench import broker_settings
from shallop_cloud.passwords import hash_password, write_passwords
from shallop_protocol.topics import Topics

NAMES = ("mosquitto.conf", "acl", "reload")
DATA = ("--data", "shallop-data")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_files_are_for_their_owner_alone_and_named(run, tmp_path):
    ran = run("broker", "config", "mosquitto", *DATA)

    where = tmp_path / "shallop-data" / "mqtt" / "mosquitto"
    assert ran.code == 0, ran
    wrote = "".join(f"wrote {where / name}\n" for name in NAMES)
    assert ran.out.startswith(f"{wrote}\nStart the cloud first")
    assert {file.name: file.stat().st_mode & 0o777 for file in where.iterdir()} == dict.fromkeys(NAMES, 0o600)
    assert [each.stat().st_mode & 0o777 for each in where.parents[:3]] == [0o700] * 3


def test_written_again_it_is_the_same(run, tmp_path):
    run("broker", "config", "mosquitto", *DATA, "--out", "broker")
    before = {file: file.read_bytes() for file in (tmp_path / "broker").iterdir()}

    assert run("broker", "config", "mosquitto", *DATA, "--out", "broker").code == 0
    assert {file: file.read_bytes() for file in (tmp_path / "broker").iterdir()} == before


def test_the_bench_brokers_own_settings_read_it(run, tmp_path):
    assert run("broker", "config", "amqtt", *DATA, "--listen", "[::1]:1999", "--topic-root", "acme/2").code == 0

    settings = broker_settings.load_settings(tmp_path / "shallop-data" / "mqtt" / "amqtt" / "broker.yaml")
    bundled = broker_settings.load_settings()
    passwords = tmp_path / "shallop-data" / "mqtt" / "passwords"
    own = {"bind": "[::1]:1999", "topic_root": "acme/2", "password_file": passwords}
    limits = {"max_packet_bytes": settings.max_packet_bytes, "max_unread_bytes": settings.max_unread_bytes}
    assert settings == dataclasses.replace(bundled, **own, **limits)
    assert settings.max_packet_bytes > 1 << 20, "a payload of a megabyte, and its topic"
    assert Topics(settings.topic_root).root == "acme/2"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["mosquitto", "--cert", "own.pem"], "--cert and --key belong together"),
        (["mosquitto", "--client-certificates"], "--client-certificates needs --ca"),
        (["mosquitto", "--inner", "127.0.0.1:1884"], "--inner belongs to --cert"),
        (["mosquitto", "--crl", "own.pem"], "--crl belongs to --client-certificates"),
        (["mosquitto", "--topic-root", "a//b"], "topic root 'a//b'"),
        (["mosquitto", "--listen", "1883"], "is not HOST:PORT"),
        (["amqtt", "--cert", "own.pem", "--key", "own.key"], "plain TCP only"),
        (["nats"], "NATS cannot check the passwords"),
        (["nats", "--cert", "own.pem", "--key", "own.key"], "NATS cannot check the passwords"),
        (["rabbit"], "'rabbit' is not one of"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_written(run, tmp_path, options, said):
    Authority(tmp_path, "ca").sign("own")
    before = sorted(tmp_path.iterdir())

    ran = run("broker", "config", *options, *DATA)

    assert (ran.code, said in ran.err, sorted(tmp_path.iterdir())) == (2, True, before), ran


def test_a_directory_that_cannot_be_written_to(run, tmp_path):
    (tmp_path / "file").write_text("")

    ran = run("broker", "config", "mosquitto", *DATA, "--out", "file/below")

    assert (ran.code, "choose a directory that you may write to" in ran.err) == (1, True), ran


def test_emqx_asks_the_api_with_the_secret_of_the_data_directory(run, tmp_path):
    tls = Authority(tmp_path, "ca").sign("own")
    options = [
        "--cert",
        str(tls[0]),
        "--key",
        str(tls[1]),
        "--listen",
        "0.0.0.0:8884",
        "--api",
        "https://shallop.example/",
    ]

    assert run("broker", "config", "emqx", *DATA, *options).code == 0

    text = (tmp_path / "shallop-data" / "mqtt" / "emqx" / "emqx.conf").read_text()
    token = (tmp_path / "shallop-data" / "mqtt" / "broker.token").read_text().strip()
    assert text.count(f'authorization = "Bearer {token}"') == 2
    assert 'url = "https://shallop.example/v1/broker/authenticate"' in text
    assert 'url = "https://shallop.example/v1/broker/authorize"' in text
    assert f'certfile = "{tls[0]}"' in text
    assert 'bind = "0.0.0.0:8884"' in text
    assert 'listeners.tcp.default.bind = "127.0.0.1:1883"' in text
    assert "no_match = deny" in text
    assert (text.count("{") - text.count("}"), text.count("[") - text.count("]")) == (0, 0)


def test_nats_knows_who_is_in_the_password_file_now(run, tmp_path):
    tls = Authority(tmp_path, "ca").sign("own")
    options = ["--cert", str(tls[0]), "--key", str(tls[1]), "--ca", str(tmp_path / "ca.pem"), "--client-certificates"]
    where = tmp_path / "shallop-data" / "mqtt"
    seen = []
    for users in ([], ["cloud", "monitor", "dev-a"], ["cloud", "monitor", "dev-b"]):
        if users:
            write_passwords(where / "passwords", {user: hash_password("x") for user in users})
        assert run("broker", "config", "nats", *DATA, *options).code == 0
        seen.append([each["user"] for each in json.loads((where / "nats" / "users.conf").read_text())["users"]])

    own = ["CN=cloud", "CN=monitor"]
    assert seen == [own, [*own, "CN=dev-a"], [*own, "CN=dev-b"]]


def test_a_password_file_that_is_none(run, tmp_path):
    tls = Authority(tmp_path, "ca").sign("own")
    options = ["--cert", str(tls[0]), "--key", str(tls[1]), "--ca", str(tmp_path / "ca.pem"), "--client-certificates"]
    (tmp_path / "shallop-data" / "mqtt").mkdir(parents=True)
    (tmp_path / "shallop-data" / "mqtt" / "passwords").write_text("what\n")

    ran = run("broker", "config", "nats", *DATA, *options)

    assert (ran.code, "passwords: line 1: " in ran.err) == (2, True), ran
